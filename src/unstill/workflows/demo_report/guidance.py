"""Guidance on two states: what was hidden, what was found, and a picture of it."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.protocols import EnsembleState
from unstill.maps.density_map import DensityMap
from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.density_view import DensityPanel, Sticks, density_panels
from unstill.report.numbers import number
from unstill.workflows.demo_guidance import D_MIN, NOISE, SHARE, GuidanceDemo
from unstill.workflows.guide_map.judging import densities

_OUTER = 2.0
"""Of the outermost contour, in standard deviations of what the start leaves over."""
_MOVED = 0.5
"""Å by which an atom of a second place is elsewhere."""


def guidance_blocks(demo: GuidanceDemo) -> list[Block]:
    """Tell what was hidden, draw the best ordered of it, and compare with the truth."""
    return [Prose(_told(demo)), *_view(demo), _table(demo), Prose(_judged(demo))]


def _told(demo: GuidanceDemo) -> str:
    n = len(demo.places)
    shares = f"{100 * SHARE:.0f} % of the first, {100 * (1 - SHARE):.0f} % of the second"
    return (
        f"{n} side chains were turned to a second place where there is room, and a density of "
        f"both states was made: {shares}, to {D_MIN:g} Å, with noise of {NOISE:g} of its spread. "
        "Guidance starts from the first state alone, loses its atoms in noise of 1 Å, and lets "
        f"chemistry and the density bring {demo.result.state.n_members} members back; then every "
        "residue keeps the fewest places that explain the density."
    )


def _view(demo: GuidanceDemo) -> list[Block]:
    if not demo.places:
        return []
    result = demo.result
    graph = ResidueGraph(result.model.atoms)
    observed, _ = densities(result.data, result.state)
    far = max(demo.places, key=lambda one: _seen(demo, graph, observed, one.residue))
    residue = far.residue
    chosen = np.flatnonzero(abs(graph.number - residue) <= 1)
    own = np.flatnonzero(graph.number == residue)
    place = np.full(graph.n_atoms, -1)
    place[chosen] = np.arange(len(chosen))
    bonds = place[graph.bonds]
    bonds = bonds[(bonds >= 0).all(axis=1)]
    left = [_left_over(demo, state) for state in (result.start, result.state)]
    spread = _OUTER * float(left[0].values.std())
    svg = density_panels(
        [
            DensityPanel(
                f"{far.label}: truth",
                observed,
                [Sticks(demo.truth[:, chosen], bonds, np.array([SHARE, 1 - SHARE]))],
            ),
            DensityPanel(
                "start, and what it leaves over",
                left[0],
                [Sticks(result.start.coord[:, chosen], bonds)],
                spread,
            ),
            DensityPanel(
                "found, and what it leaves over",
                left[1],
                [Sticks(result.state.coord[:, chosen], bonds, result.state.weights)],
                spread,
            ),
        ],
        np.concatenate([demo.truth[:, own].reshape(-1, 3)]),
        name="guided",
        title=f"Density around {far.label}: both states, the start, and what guidance found",
    )
    return [
        FigureBlock(
            svg,
            f"The density around {far.label}, whose places are {number(far.apart, 1)} Å apart. "
            "Left the density with both states, the second paler as its share is less, and "
            "contours at 1, 2 and 3.5 standard deviations, which a small share may not reach. "
            "Then the start, and the "
            f"{result.state.n_members} members that were found, many of them on each other, in "
            f"what either leaves of the density: contours at {_OUTER:g}, {2 * _OUTER:g} and "
            f"{3.5 * _OUTER:g} standard deviations of what the start leaves. The largest values "
            "through a slab of 2.4 Å.",
            "Good: what the start leaves over stands at the second place, members stand there "
            "too, and they leave nothing over. Bad: members where nothing was left over, or "
            "density that stays.",
            panels=True,
        )
    ]


def _left_over(demo: GuidanceDemo, state: EnsembleState) -> DensityMap:
    """Density less that of an ensemble, with the scale and the constant that fit best."""
    observed, calculated = densities(demo.result.data, state)
    slope, constant = np.polyfit(calculated.values.reshape(-1), observed.values.reshape(-1), 1)
    return DensityMap(observed.crystal, observed.values - slope * calculated.values - constant)


def _seen(demo: GuidanceDemo, graph: ResidueGraph, observed: DensityMap, residue: int) -> float:
    """Least density at an atom of the second place: a picture shows what the map shows."""
    own = np.flatnonzero(graph.number == residue)
    moved = np.linalg.norm(demo.truth[1, own] - demo.truth[0, own], axis=-1) > _MOVED
    frac = observed.crystal.fractional(demo.truth[1, own[moved]])
    at = (frac - np.floor(frac)) * np.array(observed.shape)
    return float(
        scipy.ndimage.map_coordinates(observed.values, at.T, order=1, mode="grid-wrap").min()
    )


def _table(demo: GuidanceDemo) -> Table:
    rows = [
        Row(
            [
                one.label,
                number(one.apart, 2),
                number(one.rmsd_a, 2),
                number(one.rmsd_b, 2),
                number(one.share_a, 2),
                number(one.rscc_before, 3),
                number(one.rscc_after, 3),
            ]
        )
        for one in demo.places
    ]
    return Table(
        [
            Column("Side chain", style="text"),
            Column("apart", "Å RMSD"),
            Column("first", "Å RMSD"),
            Column("second", "Å RMSD"),
            Column("share of first"),
            Column("RSCC before"),
            Column("after"),
        ],
        rows,
        note=f"First, second: RMSD of the nearest member from either place. The true share of the "
        f"first is {SHARE:g}. RSCC: correlation with the density around the residue.",
        wide=True,
    )


def _judged(demo: GuidanceDemo) -> str:
    before, after = demo.result.before, demo.result.after
    extra = (
        "No other residue was given a second place."
        if demo.n_false == 0
        else f"{demo.n_false} other residues were given a second place that they do not have."
    )
    control = demo.control
    null = (
        "gives no residue a second place"
        if demo.n_control == 0
        else f"gives {demo.n_control} residues a second place"
    )
    return (
        f"{extra} Held-out Fourier terms correlate with {number(before.held, 4)} before and "
        f"{number(after.held, 4)} after; bonds deviate by {number(after.bond_rmsd, 4)} Å; the "
        f"clashscore is {number(after.clashscore, 1)}, that of the start "
        f"{number(before.clashscore, 1)}, that of the truth {number(demo.clashscore_truth, 1)}. "
        f"Null control: the same run on a density of the first state alone {null}; held-out terms "
        f"go from {number(control.before.held, 4)} to {number(control.after.held, 4)} there."
    )
