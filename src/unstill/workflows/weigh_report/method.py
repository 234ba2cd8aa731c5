"""How it was done: what a referee asks for before believing the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.report.blocks import Block, Column, Row, Table
from unstill.report.numbers import number
from unstill.weighting.data import Observed
from unstill.weighting.result import Weighed, WeighResult
from unstill.workflows.weigh_report.words import SIGMA_TEXT, TARGET_TEXT, plural, theta_text

_SIGMA_SHORT = {"file": "of the file", "mates": "from mates", "shell": "unknown"}
_RULE = {
    "cross-validation": "largest that predicts left-out folds of the work set as well as the best",
    "l-curve": "elbow of misfit against KL in the work set",
    "given": "given by hand; not chosen from these data, or by a choice that is not on this page",
}


def method_blocks(result: Weighed, own: Sequence[Row]) -> list[Block]:
    """Rows of the method itself, then partition, noise and indexing."""
    blocks: list[Block] = [
        Table(
            [Column("", style="text"), Column("Value"), Column("What it means", style="note")],
            [*own, *_common_rows(result)],
        )
    ]
    if len(result.candidates) > 1:
        blocks.append(_indexing(result))
    return blocks


def weigh_rows(result: WeighResult) -> list[Row]:
    """Target, price and search."""
    return [
        Row(["Target", result.target, TARGET_TEXT.get(result.target, "a target of your own")]),
        Row(["Price of entropy θ", theta_text(result.theta), _theta_note(result)]),
        Row(
            [
                "Iterations",
                number(result.iterations, 0),
                "converged" if result.converged else "not converged: distrust the weights",
            ]
        ),
        Row(
            [
                "Refits",
                number(len(result.weight_draws), 0),
                "to blocks of the work set drawn with replacement; their spread is the "
                "uncertainty of the weights",
            ]
        ),
    ]


def _theta_note(result: WeighResult) -> str:
    if result.theta == float("inf"):
        return f"{_RULE[result.theta_rule]}: here the prior weights themselves"
    return _RULE[result.theta_rule]


def _common_rows(result: Weighed) -> list[Row]:
    held, data = result.held, result.observed
    n_blocks = len(np.unique(held.block[held.measured]))
    n_free_blocks = len(np.unique(held.block[held.free & held.measured]))
    s = data.orbits.s[data.measured]
    divisions = " × ".join(str(n) for n in data.orbits.divisions)
    return [
        Row(
            [
                "Work set",
                number(held.n_work, 0),
                f"Laue-unique points in {n_blocks - n_free_blocks} blocks of reciprocal space, "
                f"{int(held.fold.max()) + 1} folds",
            ]
        ),
        Row(
            [
                "Free set",
                number(held.n_free, 0),
                f"Laue-unique points in {plural(n_free_blocks, 'block', 'blocks')} of their own; "
                "no fit saw them, and no choice but that of the indexing; "
                f"{held.touching:.0%} have a neighbour in the work set",
            ]
        ),
        Row(
            [
                "Resolution used",
                f"{number(1 / float(s.min()), 1)} – {number(1 / float(s.max()), 2)} Å",
                f"points of a {divisions} supercell, Laue class {data.orbits.crystal.laue_group}",
            ]
        ),
        Row(["Uncertainty of the data", _SIGMA_SHORT[data.sigma_source], _sigma_note(data)]),
        Row(
            [
                "Null control",
                "–" if result.null is None else number(result.null.n_permutations, 0),
                "not run"
                if result.null is None
                else "permutations of Laue orbits within shells, everything found anew for each"
                + ("; and again at the same θ" if result.null.same_theta is not None else ""),
            ]
        ),
        Row(["Scale", f"{result.scale:.4g}", "from calculated to observed intensities"]),
        Row(["Indexing", result.operator, _indexing_note(result)]),
        Row(["Seed", str(result.seed), "of free set, folds, permutations and bootstraps"]),
    ]


def _sigma_note(data: Observed) -> str:
    known = data.sigma_source != "shell"
    floor = "; no sigma counts as less than a tenth of the median" if known else ""
    return f"{SIGMA_TEXT[data.sigma_source]}{floor}"


def _indexing_note(result: Weighed) -> str:
    if len(result.candidates) > 1:
        return "of the map onto the members; chosen by anisotropic CC with the prior weights"
    return "of the map onto the members; no other was tried"


def _indexing(result: Weighed) -> Table:
    return Table(
        [Column("Indexing tried", style="text"), Column("Anisotropic CC")],
        [
            Row(
                [one.operator.name, number(one.cc_aniso)],
                "chosen" if one.operator.name == result.operator else "",
            )
            for one in result.candidates
        ],
        note="With the prior weights, over work and free set alike: the choice is between a few, "
        "and made before anything was weighed. Good: one row far ahead. Bad: two rows within "
        "0.05, which is a tie.",
    )
