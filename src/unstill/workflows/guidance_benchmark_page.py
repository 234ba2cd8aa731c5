"""The report of the guidance benchmark: every entry, and fit against geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unstill.report.blocks import (
    Block,
    Column,
    FigureBlock,
    KeyFigure,
    KeyFigures,
    Prose,
    Row,
    Table,
)
from unstill.report.numbers import number
from unstill.report.page import Page, Section
from unstill.report.scatter import Trace, trade_off


def benchmark_page(
    entries: Sequence[Mapping[str, Any]],
    *,
    missing: Sequence[str],
    provenance: Mapping[str, Any],
) -> Page:
    """Lay out the entries of :func:`unstill.workflows.guidance_benchmark.run_two_state`.

    Parameters
    ----------
    entries
        One a model and strength, each with ``id`` and ``strength``.
    missing
        Entries of the published set that were not at hand.
    provenance
        Of the run.
    """
    strengths = sorted({float(entry["strength"]) for entry in entries})
    by_strength = {
        strength: [entry for entry in entries if float(entry["strength"]) == strength]
        for strength in strengths
    }
    best = max(strengths, key=lambda s: _median(by_strength[s], "rscc_median"))
    chosen = by_strength[best]
    sections = [
        Section("Fit against geometry", [_plot(by_strength)]),
        Section("Entries", [_entries(entries)]),
        Section(f"Segments at strength {best:g}", [_segments(chosen)]),
    ]
    if missing:
        text = f"Of the published set of 40 these were not at hand: {', '.join(missing)}."
        sections.append(Section("Not at hand", [Prose(text)]))
    n_models = len({entry["id"] for entry in entries})
    lead = (
        f"{n_models} models, {sum(len(entry['segments']) for entry in chosen)} segments: at "
        f"strength {best:g} the median correlation is "
        f"{number(_median(chosen, 'rscc_median'))}, and both states have a member within 1 Å in "
        f"{100 * float(np.mean([_both(entry) for entry in chosen])):.0f} % of the segments."
    )
    return Page(
        title="Guidance: are both states found?",
        kind="synthetic",
        subject="two-state maps of known models",
        lead=[Prose(lead, lead=True), _keys(chosen)],
        sections=sections,
        provenance=provenance,
    )


def _both(entry: Mapping[str, Any]) -> float:
    return float(entry["both_states_1A"])


def _median(entries: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.median([entry[key] for entry in entries]))


def _keys(entries: Sequence[Mapping[str, Any]]) -> KeyFigures:
    return KeyFigures(
        [
            KeyFigure(
                "Correlation", number(_median(entries, "rscc_median")),
                f"of segments; {number(_median(entries, 'rscc_start_median'))} at the start",
            ),
            KeyFigure(
                "Bonds", number(_median(entries, "bond_rmsd"), 4), "root mean square", detail=" Å"
            ),
            KeyFigure(
                "Wrong hands", str(sum(int(entry["chirality_flips"]) for entry in entries)),
                "centres of chirality, all members",
            ),
            KeyFigure(
                "Clashscore", number(_median(entries, "clashscore"), 1),
                f"{number(_median(entries, 'clashscore_start'), 1)} at the start",
            ),
        ]
    )  # fmt: skip


def _plot(by_strength: Mapping[float, Sequence[Mapping[str, Any]]]) -> Block:
    ids = list(dict.fromkeys(e["id"] for entries in by_strength.values() for e in entries))
    traces = []
    for name in ids:
        own = [e for entries in by_strength.values() for e in entries if e["id"] == name]
        traces.append(
            Trace(
                str(name),
                np.array([e["clashscore"] for e in own]),
                np.array([e["rscc_median"] for e in own]),
                [f"{float(e['strength']):g}" for e in own],
            )
        )
    svg = trade_off(
        traces[:4],
        xlabel="clashscore",
        ylabel="median RSCC of segments",
        name="trade",
        title="Fit against geometry, by strength",
    )
    return FigureBlock(
        svg,
        "Every point is a run; its strength stands beside it.",
        "A guide that breaks down turns down and to the right as the strength grows.",
    )


def _entries(entries: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("entry", style="text"),
        Column("strength"),
        Column("segments"),
        Column("RSCC", "median"),
        Column("both states", "within 1 Å"),
        Column("bonds", "Å"),
        Column("flips"),
        Column("clashscore"),
        Column("held out"),
        Column("CPU", "s"),
    ]
    rows = [
        Row(
            [
                str(entry["id"]),
                f"{float(entry['strength']):g}",
                str(len(entry["segments"])),
                number(entry["rscc_median"]),
                f"{100 * _both(entry):.0f} %",
                number(entry["bond_rmsd"], 4),
                str(entry["chirality_flips"]),
                number(entry["clashscore"], 1),
                number(entry["held_out"]) if entry["held_out"] is not None else "–",
                number(entry["cpu_s"], 0),
            ]
        )
        for entry in entries
    ]
    return Table(columns, rows, wide=True)


def _segments(entries: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("segment", style="text"),
        Column("apart", "Å"),
        Column("RSCC", "start"),
        Column("RSCC", "ensemble"),
        Column("to A", "Å"),
        Column("to B", "Å"),
    ]
    rows: list[Row] = []
    for entry in entries:
        rows.append(Row([str(entry["id"])], style="group"))
        for s in entry["segments"]:
            span = s["first"] if s["first"] == s["last"] else f"{s['first']}–{s['last']}"
            rows.append(
                Row(
                    [
                        f"{s['chain']} {span}",
                        number(s["apart"], 2),
                        number(s["rscc_start"]),
                        number(s["rscc"]),
                        number(s["rmsd_a"], 2),
                        number(s["rmsd_b"], 2),
                    ]
                )
            )
    return Table(columns, rows, wide=True)
