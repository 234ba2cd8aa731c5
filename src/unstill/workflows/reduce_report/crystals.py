"""Crystals that were kept and dropped, with the reasons."""

from __future__ import annotations

from unstill.reduction.crystals.crystals import CrystalVerdict
from unstill.reduction.pipeline.outcome import Outcome
from unstill.report.blocks import Block, Column, Prose, Row, Table
from unstill.report.numbers import number

_MOST_ROWS = 25


def crystal_blocks(found: Outcome) -> list[Block]:
    """One row a crystal; nothing where there is one only."""
    if found.crystals is None or len(found.crystals.choice.verdicts) < 2:
        return []
    choice = found.crystals.choice
    turned = [name for name in found.crystals.operators if name not in ("", "h,k,l")]
    words = (
        f"{len(choice.kept)} of {len(choice.verdicts)} crystals are in the map. Crystals must "
        "have one unit cell, and intensities that agree as far as their noise allows."
    )
    if turned:
        words += (
            f" {len(turned)} were indexed in another of the settings that the lattice allows, and "
            "were brought to the common one."
        )
    # Those that were dropped come first, then those that agree least.
    order = [*choice.dropped, *sorted(choice.kept, key=lambda i: _cc(choice.verdicts[i]))]
    order = order[:_MOST_ROWS]
    rows = [_row(choice.verdicts[i], found.crystals.operators[i]) for i in order]
    note = "CC: correlation of the anisotropic part with all crystals that were kept, but itself."
    if len(choice.verdicts) > len(rows):
        note += (
            f" Of {len(choice.verdicts)}, those that were dropped or agree least are shown; "
            "summary.json has all."
        )
    columns = [
        Column("Crystal", style="text"),
        Column("In the map", style="text"),
        Column("Cell differs", "%"),
        Column("CC"),
        Column("Expected"),
        Column("Observations"),
        Column("Indexing", style="text"),
        Column("Reason", style="note"),
    ]
    return [Prose(words), Table(columns, rows, note, wide=True)]


def _cc(verdict: CrystalVerdict) -> float:
    return -1.0 if verdict.agreement is None else verdict.agreement.cc


def _row(verdict: CrystalVerdict, operator: str) -> Row:
    agreement = verdict.agreement
    return Row(
        [
            verdict.name,
            "yes" if verdict.kept else "no",
            number(100 * verdict.cell_difference, 2),
            "–" if agreement is None else f"{number(agreement.cc)} ± {number(agreement.error)}",
            "–" if agreement is None else number(agreement.expected),
            number(verdict.n_rows, 0),
            operator or "h,k,l",
            verdict.reason,
        ],
        "" if verdict.kept else "control",
    )
