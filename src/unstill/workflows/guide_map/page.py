"""The report of a guided model: where it fits, where it moved, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unstill.guidance.start import GuidedModel
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
from unstill.report.density_view import DensityPanel, Sticks, density_panels
from unstill.report.lines import Line, LinePanel, line_panels
from unstill.report.numbers import number
from unstill.report.page import Page, Section
from unstill.workflows.guide_map.guiding import GuideResult
from unstill.workflows.guide_map.judging import densities, residues_of
from unstill.workflows.guide_map.occupancies import states_of

_MOST_VIEWS = 6
_ROOM = 1
_MOST_ROWS = 40


def guide_page(
    result: GuideResult,
    *,
    subject: str,
    provenance: Mapping[str, Any],
    warnings: Sequence[str] = (),
) -> Page:
    """Lay out the report of a run of :func:`~unstill.workflows.guide_map.guide_map`."""
    before, after = result.before, result.after
    lead = (
        f"{result.state.n_members} members explain the density around the model with a "
        f"correlation of {number(after.work)}; the conformer that guidance started from has "
        f"{number(before.work)}. {_held_words(result)}"
    )
    sections = [
        Section("Fit along the chain", _chain(result)),
        Section("Density and models", _views(result)),
        Section("States", [*_states(result), *_members(result)]),
        Section("Fit against geometry", [_table(result), *_strengths(result)]),
    ]
    return Page(
        title=f"Ensemble guided by {subject}",
        kind="density",
        subject=subject,
        lead=[Prose(lead, lead=True), _keys(result)],
        sections=sections,
        provenance=provenance,
        warnings=[*result.model.notes, *warnings],
    )


def _held_words(result: GuideResult) -> str:
    before, after = result.before, result.after
    start, end = result.r_start, result.r_end
    if start is not None and end is not None:
        change = "falls" if end.free < start.free else "does not fall"
        return (
            f"R_free, of reflections that no fit saw, {change}: {number(start.free, 4)} before, "
            f"{number(end.free, 4)} after."
        )
    if not np.isfinite(after.held):
        return "No Fourier terms were held out, so that nothing speaks against overfitting."
    better = after.held > before.held
    half = result.data.has_judge
    verb = f"{'is' if half else 'are'} {'' if better else 'not '}predicted better"
    what = "The other half map" if half else "Held-out Fourier terms"
    return (
        f"{what}, which no fit saw, {verb}: {number(before.held)} before, "
        f"{number(after.held)} after."
    )


def _keys(result: GuideResult) -> KeyFigures:
    before, after = result.before, result.after
    return KeyFigures(
        [
            KeyFigure(
                "Residues",
                number(float(np.nanmedian(after.rscc))),
                f"median real-space correlation; {number(float(np.nanmedian(before.rscc)))} "
                "before",
            ),
            *_evidence(result),
            *_diffuse(result),
            KeyFigure(
                "Bonds", number(after.bond_rmsd), "root mean square from targets", detail=" Å"
            ),
            KeyFigure(
                "Clashscore", number(after.clashscore, 1),
                f"per thousand atoms; {number(before.clashscore, 1)} before",
            ),
        ]
    )  # fmt: skip


def _evidence(result: GuideResult) -> list[KeyFigure]:
    before, after, start, end = result.before, result.after, result.r_start, result.r_end
    if start is not None and end is not None:
        return [
            KeyFigure("R_work", number(end.work, 4), f"{number(start.work, 4)} before"),
            KeyFigure("R_free", number(end.free, 4), f"{number(start.free, 4)} before"),
        ]
    if not np.isfinite(after.held):
        return [KeyFigure("Held out", "–", "no terms were held out")]
    unseen = "the half map" if result.data.has_judge else "terms"
    return [
        KeyFigure(
            "Held out", number(after.held),
            f"correlation with {unseen} not seen; {number(before.held)} before",
        ),
        KeyFigure("Gap", number(after.gap), "work minus held-out: fitted, and not there"),
    ]  # fmt: skip


def _diffuse(result: GuideResult) -> list[KeyFigure]:
    if result.diffuse_cc is None:
        return []
    told = "anisotropic correlation of the members' diffuse intensity with the map"
    return [KeyFigure("Diffuse", number(result.diffuse_cc), told)]


def _chain(result: GuideResult) -> list[Block]:
    blocks: list[Block] = []
    atoms = result.model.atoms.atoms
    residue = residues_of(result.model)
    first = np.array([np.flatnonzero(residue == n)[0] for n in range(int(residue.max()) + 1)])
    chain = np.asarray(atoms.chain_id, dtype=str)[first]
    at = np.asarray(atoms.res_id, dtype=float)[first]
    polymer = np.isin(first, _first_anchors(result.model, residue))
    for place, name in enumerate(dict.fromkeys(chain[polymer].tolist())):
        chosen = (chain == name) & polymer
        svg = line_panels(
            [
                LinePanel(
                    f"Chain {name}: real-space correlation",
                    "residue",
                    "RSCC",
                    [
                        Line("ensemble", at[chosen], result.after.rscc[chosen]),
                        Line("start", at[chosen], result.before.rscc[chosen]),
                    ],
                ),
                LinePanel(
                    "Spread of the members",
                    "residue",
                    "RMSF (Å)",
                    [Line("", at[chosen], result.after.rmsf[chosen])],
                    floor=0.0,
                ),
            ],
            name=f"chain{place}",
            title=f"Real-space correlation and spread along chain {name}",
        )
        blocks.append(
            FigureBlock(
                svg,
                f"Correlation of map and model within 2 Å of every residue of chain {name}, and "
                "how far its members spread.",
                "A residue that gained has its accent line above the thin one; spread without a "
                "gain is not asked for by the map.",
            )
        )
    return blocks


def _first_anchors(model: GuidedModel, residue: np.ndarray) -> np.ndarray:
    numbers = np.unique(residue[model.anchors])
    return np.array([np.flatnonzero(residue == n)[0] for n in numbers], dtype=int)


def _views(result: GuideResult) -> list[Block]:
    gain = result.after.rscc - result.before.rscc
    score = np.where(np.isfinite(gain), gain, 0.0) * np.minimum(result.after.rmsf, 2.0)
    residue = residues_of(result.model)
    observed, _ = densities(result.data, result.state)
    atoms = result.model.atoms.atoms
    blocks: list[Block] = [
        Prose(
            "The residues that gained most where their members spread. Contours at 1, 2 and 3.5 "
            "standard deviations of the map, the largest value through a slab of 2.4 Å."
        )
    ]
    taken: list[int] = []
    for number_ in np.argsort(-score, kind="stable").tolist():
        if len(taken) == _MOST_VIEWS or score[number_] <= 0:
            break
        if any(abs(number_ - other) <= _ROOM for other in taken):
            continue
        taken.append(number_)
        chosen = np.flatnonzero(abs(residue - number_) <= _ROOM)
        own = np.flatnonzero(residue == number_)
        bonds = _bonds_within(result.model.restraints.bonds, chosen)
        i = own[0]
        label = f"{atoms.chain_id[i]} {atoms.res_name[i]} {atoms.res_id[i]}{atoms.ins_code[i]}"
        svg = density_panels(
            [
                DensityPanel(
                    f"{label.strip()}: start, RSCC {number(result.before.rscc[number_], 2)}",
                    observed,
                    [Sticks(result.start.coord[:, chosen], bonds)],
                ),
                DensityPanel(
                    f"ensemble, RSCC {number(result.after.rscc[number_], 2)}",
                    observed,
                    [Sticks(result.state.coord[:, chosen], bonds, result.state.weights)],
                ),
            ],
            result.state.coord[:, own].reshape(-1, 3),
            name=f"view{len(taken)}",
            title=f"Density around {label.strip()}, start and ensemble",
        )
        blocks.append(
            FigureBlock(
                svg,
                f"{label.strip()} in the map: left the conformer at the start, right all members, "
                "darker with more weight.",
                "Members should run along density, and all of the density should have members.",
            )
        )
    if not taken:
        blocks.append(Prose("No residue gained by spreading."))
    return blocks


def _bonds_within(bonds: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    place = np.full(int(max(bonds.max(initial=0), chosen.max())) + 1, -1)
    place[chosen] = np.arange(len(chosen))
    local = place[bonds]
    kept: np.ndarray = local[(local >= 0).all(axis=1)]
    return kept


def _members(result: GuideResult) -> list[Block]:
    state = result.state
    mean = np.tensordot(state.weights, state.coord, 1)
    apart = np.sqrt(((state.coord - mean) ** 2).sum(axis=-1).mean(axis=-1))
    rows = [
        Row([str(n + 1), number(float(weight)), number(float(spread), 2)])
        for n, (weight, spread) in enumerate(zip(state.weights, apart, strict=True))
    ]
    return [
        Table(
            [Column("member", style="text"), Column("weight"), Column("from the mean", "Å RMSD")],
            rows,
            note="Members have equal weight; how much of the density of a residue each of its "
            "places holds stands in the table of states.",
        )
    ]


def _states(result: GuideResult) -> list[Block]:
    several = states_of(result)
    if not several:
        return [Prose("No residue needs more than one place to explain the map.")]
    atoms = result.model.atoms.atoms
    rows = []
    for one in several[:_MOST_ROWS]:
        i = one.atom
        label = f"{atoms.chain_id[i]} {atoms.res_name[i]} {atoms.res_id[i]}{atoms.ins_code[i]}"
        shares = " : ".join(number(float(share), 2) for share in one.shares)
        rows.append(Row([label.strip(), shares, number(one.apart, 2)]))
    left = len(several) - len(rows)
    more = f" The {left} that differ least are in the --json only." if left > 0 else ""
    return [
        Table(
            [
                Column("residue", style="text"),
                Column("shares", style="text"),
                Column("apart", "Å RMSD"),
            ],
            rows,
            note=f"{len(several)} of {result.shares.shape[1]} residues have several places, by "
            f"the Bayesian information criterion; those that differ most come first.{more}",
        )
    ]


def _table(result: GuideResult) -> Table:
    before, after = result.before, result.after

    def row(name: str, one: float, other: float, digits: int) -> Row:
        return Row([name, number(one, digits), number(other, digits)])

    unseen = "the other half map" if result.data.has_judge else "terms held out"
    held = [row(f"correlation, {unseen}", before.held, after.held, 4)]
    if result.r_start is not None and result.r_end is not None:
        held = [
            row("R_work", result.r_start.work, result.r_end.work, 4),
            row("R_free", result.r_start.free, result.r_end.free, 4),
        ]
    rows = [
        row("correlation with the map, terms seen", before.work, after.work, 4),
        *held,
        row("bonds, rms (Å)", before.bond_rmsd, after.bond_rmsd, 4),
        row("angles, rms (degrees)", before.angle_rmsd, after.angle_rmsd, 2),
        row("centres of the wrong hand", before.flips, after.flips, 0),
        row("clashscore", before.clashscore, after.clashscore, 1),
    ]
    return Table([Column("", style="text"), Column("start"), Column("ensemble")], rows, wide=True)


def _strengths(result: GuideResult) -> list[Block]:
    if not result.tried:
        return [Prose(f"Strength {result.strength:g}.")]
    rows = [
        Row(
            [f"{strength:g}", number(held, 4)],
            style="chosen" if strength == result.strength else "",
        )
        for strength, held in result.tried.items()
    ]
    return [
        Table(
            [Column("strength", style="text"), Column("held-out correlation")],
            rows,
            note="Of short runs; the best of them was taken for the whole run.",
        )
    ]
