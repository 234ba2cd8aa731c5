"""Guidance on two states: what was hidden, what was found, and a picture of it."""

from __future__ import annotations

import numpy as np

from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.density_view import DensityPanel, Sticks, density_panels
from unstill.report.numbers import number
from unstill.workflows.demo_guidance import D_MIN, NOISE, SHARE, GuidanceDemo
from unstill.workflows.guide_map.judging import densities


def guidance_blocks(demo: GuidanceDemo) -> list[Block]:
    """Tell what was hidden, draw the best ordered of it, and compare with the truth."""
    return [Prose(_told(demo)), *_view(demo), _table(demo), Prose(_judged(demo))]


def _told(demo: GuidanceDemo) -> str:
    n = len(demo.places)
    return (
        f"{n} side chains were turned to a second place where there is room, and a density of "
        f"both states was made: {SHARE:.0%} of the first, {1 - SHARE:.0%} of the second, to "
        f"{D_MIN:g} Å, with {NOISE:.0%} of noise. Guidance starts from the first state alone, "
        "loses its atoms in noise of 1 Å, and lets chemistry and the density bring "
        f"{demo.result.state.n_members} members back; then every residue keeps the fewest places "
        "that explain the density."
    )


def _view(demo: GuidanceDemo) -> list[Block]:
    if not demo.places:
        return []
    result = demo.result
    graph = ResidueGraph(result.model.atoms)
    # The best ordered one, whose density is seen best.
    b_factor = np.bincount(graph.number, result.model.b_factor) / np.bincount(graph.number)
    far = min(demo.places, key=lambda one: b_factor[one.residue])
    residue = far.residue
    chosen = np.flatnonzero(abs(graph.number - residue) <= 1)
    own = np.flatnonzero(graph.number == residue)
    place = np.full(graph.n_atoms, -1)
    place[chosen] = np.arange(len(chosen))
    bonds = place[graph.bonds]
    bonds = bonds[(bonds >= 0).all(axis=1)]
    observed, _ = densities(result.data, result.state)
    svg = density_panels(
        [
            DensityPanel(
                f"{far.label}: truth",
                observed,
                [Sticks(demo.truth[:, chosen], bonds, np.array([SHARE, 1 - SHARE]))],
            ),
            DensityPanel("start", observed, [Sticks(result.start.coord[:, chosen], bonds)]),
            DensityPanel(
                "found",
                observed,
                [Sticks(result.state.coord[:, chosen], bonds, result.state.weights)],
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
            "Contours at 1, 2 and 3.5 standard deviations.",
            "Members should lie where the truth does; the start leaves half of the density empty.",
        )
    ]


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
    return (
        f"{extra} Held-out Fourier terms correlate with {number(before.held, 4)} before and "
        f"{number(after.held, 4)} after; bonds deviate by {number(after.bond_rmsd, 4)} Å; the "
        f"clashscore is {number(after.clashscore, 1)}, {number(before.clashscore, 1)} before."
    )
