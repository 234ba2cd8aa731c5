"""Weights of a two-state ensemble: maximum entropy beside the published recipe and the truth."""

from __future__ import annotations

import numpy as np

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import number, signed
from unstill.weighting.result import NullRun, WeighResult
from unstill.weighting.sigmoid_cc import SigmoidRecipe
from unstill.weighting.states import StatePopulation
from unstill.workflows.demo_weighting import NOISE, WeightingDemo
from unstill.workflows.weigh_report.figures import null_strip
from unstill.workflows.weigh_report.words import answer, drawn_null, theta_text


def weighting_blocks(demo: WeightingDemo) -> list[Block]:
    """Tell what was simulated, what weighing found of it, and what the recipe found."""
    blocks: list[Block] = [
        Prose(_simulated(demo)),
        Prose(
            f"{answer(demo.found)} This is said of maximum entropy; the published recipe, on the "
            f"same data, is judged “{demo.recipe.verdict}”."
        ),
        _table(demo),
    ]
    if demo.found.null is not None:
        blocks.append(_strip(demo.found, demo.found.null))
    if demo.recipe.recipe is not None:
        blocks.append(Prose(_recipe(demo.recipe, demo.recipe.recipe)))
    return blocks


def _simulated(demo: WeightingDemo) -> str:
    loop, a = demo.swing, round(100 * demo.share)
    return (
        "Frames and map of this section are simulated, whatever the data above, so that the "
        f"answer is known. {len(demo.state)} frames of a unit cell are to be weighed. In half of "
        "them, state A, every molecule is as in the coordinates; in the other half, state B, the "
        f"loop between residues {loop.first} and {loop.last} is swung by {loop.angle:g}° about "
        "the line through the Cα atoms of these two. In both, molecules move as rigid bodies by "
        f"σ = {demo.sigma:g} Å along each axis. The map, to {loop.d_min:g} Å, is that of "
        f"{demo.n_truth} other frames, mixed {a}:{100 - a}, with noise of {NOISE:g} of its "
        "spread; it shares the coordinates with the frames and nothing else. A fifth of it, in "
        "whole blocks of reciprocal space, is seen by no fit."
    )


def _table(demo: WeightingDemo) -> Table:
    found, recipe = demo.found, demo.recipe
    in_a = demo.populations[0]
    rows = [
        Row(["Truth", number(demo.share), *("–" for _ in range(6))]),
        _row("Prior, 50:50", found, in_a, prior=True),
        _row("Maximum entropy", found, in_a, style="chosen"),
        _row("Published recipe", recipe, None, share=demo.share_of_a(recipe.weights)),
    ]
    if found.null is not None:
        rows.append(Row(["Permuted data, means"], "group"))
        rows.append(_null_row("Maximum entropy, θ chosen anew", found.null))
        if found.null.same_theta is not None:
            rows.append(_null_row("Maximum entropy, same θ", found.null.same_theta))
    if recipe.null is not None:
        rows.append(_null_row("Published recipe", recipe.null))
    return Table(
        [
            Column("Weights", style="text"),
            Column("Share of A"),
            Column("± data"),
            Column("± time"),
            Column("Total CC", "free set"),
            Column("Anisotropic CC", "free set"),
            Column("Gain", "anisotropic, free"),
            Column("N_eff", f"of {found.n_members}"),
        ],
        rows,
        note="Share of A: sum of the weights of the frames in state A. ± data: weights refitted "
        "to blocks of reciprocal space drawn with replacement; ± time: so few visits of each "
        "state; one standard error each. Gain: over the prior weights. N_eff: members left by "
        "entropy, N·exp(−KL); for these data maximum entropy chose θ = "
        f"{theta_text(found.theta)} by held-out prediction. Permuted data are scrambled within "
        "shells of resolution: a trustworthy method gains nothing on them, and keeps its members.",
        wide=True,
    )


def _row(
    name: str,
    result: WeighResult,
    in_a: StatePopulation | None,
    *,
    share: float = float("nan"),
    prior: bool = False,
    style: str = "",
) -> Row:
    agreement = result.uniform_free if prior else result.cc_free
    gain = float("nan") if prior else result.cc_free.aniso - result.uniform_free.aniso
    errors = (float("nan"), float("nan"))
    if in_a is not None:
        share = in_a.prior if prior else in_a.population
        errors = (
            float("nan") if prior else in_a.error_data,
            in_a.prior_error if prior else in_a.error_time,
        )
    return Row(
        [
            name,
            number(share),
            *(number(error) for error in errors),
            number(agreement.total),
            number(agreement.aniso),
            signed(gain),
            number(float(result.n_members) if prior else result.n_eff_kl, 1),
        ],
        style,
    )


def _null_row(name: str, null: NullRun) -> Row:
    return Row(
        [
            name,
            "–",
            "–",
            "–",
            number(float(null.values("free", "total").mean())),
            number(float(null.values("free", "aniso").mean())),
            signed(float(null.gains("free", "aniso").mean())),
            number(float(null.n_eff_kl.mean()), 1),
        ],
        "control",
    )


def _strip(found: WeighResult, null: NullRun) -> FigureBlock:
    return FigureBlock(
        null_strip(found, drawn_null(null)),
        "Gain of the free anisotropic correlation by maximum entropy. Dots: "
        f"{null.n_permutations} permutations of the data, weighed at the same θ; line: these "
        "data, their 95 % interval shaded; dotted: 1/√n, by which the correlation of n unrelated "
        "pairs scatters, n the points of the free set.",
        "Good: the line stands clear of all dots and its shading clear of zero. Bad: the line "
        "among the dots.",
        narrow=True,
    )


def _recipe(result: WeighResult, recipe: SigmoidRecipe) -> str:
    """Say where the recipe starts, and what it makes of noise."""
    start, end = recipe.cc_at_start, recipe.cc
    prior = result.uniform_work.total
    than = "less than" if end[0] < prior else "against"
    text = (
        "The published recipe, sigmoid-cc, gives each frame a weight of its own, starts all at "
        f"½, and raises the total correlation. At the start Σw = {number(recipe.sum_at_start, 0)} "
        f"where a variance needs 1: {number(100 * recipe.negative_at_start, 0)} % of the "
        "intensities are negative and correlate with the data by "
        f"{number(float(start[0]))}. It ends at {number(float(end[0]))} in the data that it fits, "
        f"{than} the {number(prior)} of the prior weights, from which it did not start."
    )
    if result.null is None:
        return text
    return (
        f"{text} On permuted data, where there is nothing to find, it rises as well, from "
        f"{number(float(np.mean(start[1:])))} to {number(float(np.mean(end[1:])))}: a rise of "
        "this number says nothing about frames."
    )
