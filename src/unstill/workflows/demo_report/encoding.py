"""The weighed ensemble as a model in a file: its tree, what came back, what validation says."""

from __future__ import annotations

from unstill.report.blocks import Block, Column, Prose, Row, Table
from unstill.report.numbers import number
from unstill.workflows.demo_encoding import EPS, N_COPIES, EncodingDemo, Road
from unstill.workflows.heterogeneity_report.alternatives import drawn_states
from unstill.workflows.heterogeneity_report.findings import finding_blocks
from unstill.workflows.heterogeneity_report.tree_figure import tree_blocks

_MOST = 3


def encoding_blocks(demo: EncodingDemo) -> list[Block]:
    """Tell what was encoded, show the tree, and set what came back beside what went in."""
    return [
        Prose(_encoded(demo)),
        *tree_blocks(demo.model, drawn_states(demo.model)),
        _table(demo),
        Prose(_judged(demo)),
        *finding_blocks(demo.findings, _MOST),
    ]


def _encoded(demo: EncodingDemo) -> str:
    same = (
        "Inferred from its altlocs alone, the tree has the same states."
        if demo.inferred_same
        else "Inferred from its altlocs alone, the tree has other states."
    )
    return (
        f"The {demo.n_frames} simulated frames, with the weights that were found for them, are "
        "put into one mmCIF file and read back, one molecule of each. Laid on each other, so "
        "that what molecules move as a whole is in B, and encoded such that every residue of "
        f"every frame stays within {EPS:g} Å, they are {demo.model.n_rows} atom records where "
        f"the frames have {number(float(demo.n_frames * demo.n_atoms), 0)}. The weight of state "
        f"A, {number(demo.share)}, is the occupancy of the loop in its place, "
        f"{number(demo.occupancy)}; which frame is in which state stands in the file. {same}"
    )


def _table(demo: EncodingDemo) -> Table:
    nothing = ["–"] * 3
    rows = [
        Row(["Weighed frames", "–", str(demo.n_frames), number(demo.share), *nothing]),
        *(_row(road) for road in demo.roads),
    ]
    return Table(
        [
            Column("Ensemble", style="text"),
            Column("Records"),
            Column("Members"),
            Column("Share of A"),
            Column("Distances", "error, Å"),
            Column("Spread", "error, Å"),
            Column("RMSD", "Å"),
        ],
        rows,
        note="Records: lines of atoms in the file. Distances between all pairs of Cα atoms: "
        "largest errors of their weighted mean and of their standard deviation over the members "
        "(spread). RMSD: of the member that moved most from the frame that it was. Share of A: "
        "members whose distances are nearer to those of state A. Made anew: whole copies of "
        "equal weight from the occupancies, without the members that the file records; the "
        f"share of {N_COPIES} copies is a multiple of {1 / N_COPIES:g}, and distances follow it. "
        "Lossless: every frame where it is, with the digits that give the same numbers again.",
        wide=True,
    )


def _row(road: Road) -> Row:
    kept = "lossless" if road.profile == "lossless" else f"within {EPS:g} Å"
    where = "laid" if road.molecules == "laid" else "moving"
    how = "as recorded" if road.members == "recorded" else "made anew"
    return Row(
        [
            f"{where[0].upper()}{where[1:]}, {kept}, {how}",
            number(float(road.n_rows), 0),
            str(road.n_members),
            number(road.share),
            number(road.mean_error, 4),
            number(road.spread_error, 4),
            "–" if road.shift is None else number(road.shift, 4),
        ],
        "chosen" if road.members == "recorded" else "",
    )


def _judged(demo: EncodingDemo) -> str:
    counts = demo.as_dict()["findings"]
    return (
        "The loop was swung about its ends without regard for what it meets, and the rules of "
        f"the hierarchy say so: {counts['error']} errors, {counts['warning']} warnings. A model "
        "of nature with such warnings would need another look."
    )
