"""The published recipe: where it starts, where it ends, and why that is no variance."""

from __future__ import annotations

from unstill.report.blocks import Row
from unstill.report.numbers import number
from unstill.weighting.sigmoid_cc import LEARNING_RATE, SigmoidRecipe


def recipe_words(recipe: SigmoidRecipe) -> str:
    """Tell what the recipe did."""
    return (
        "The recipe gives every member its own w = 1/(1 + e^−p) and raises the total correlation "
        "of Σw|F|² − |Σw F|² with the data. This is a variance only where Σw = 1. The recipe "
        f"starts at w = ½, hence at Σw = {number(recipe.sum_at_start, 1)}, where "
        f"{_percent(recipe.negative_at_start)} of these intensities are negative, as no intensity "
        f"can be, and correlate with the data by {number(float(recipe.cc_at_start[0]))}. "
        f"{recipe.n_steps} steps of Adam take Σw to {number(float(recipe.raw[0].sum()), 2)} and "
        f"the correlation to {number(float(recipe.cc[0]))}; how much of that was repair of the "
        "start, the recipe cannot tell."
    )


def recipe_rows(recipe: SigmoidRecipe) -> list[Row]:
    """Start and end, as rows of the method."""
    return [
        Row(["Target", "sigmoid-cc", "1 − total CC with the work set; w need not sum to one"]),
        Row(
            [
                "Σw",
                f"{number(recipe.sum_at_start, 1)} → {number(float(recipe.raw[0].sum()), 2)}",
                "start and end; a variance needs 1, and on this page w is divided by its sum",
            ]
        ),
        Row(
            [
                "Negative at the start",
                _percent(recipe.negative_at_start),
                "of the intensities of the work set",
            ]
        ),
        Row(
            [
                "Its own CC",
                f"{number(float(recipe.cc_at_start[0]))} → {number(float(recipe.cc[0]))}",
                "start and end; total, work set, w as it is",
            ]
        ),
        Row(
            [
                "Steps",
                number(recipe.n_steps, 0),
                f"of Adam with learning rate {LEARNING_RATE:g}; nothing decides where to stop, "
                "and no entropy holds the weights back",
            ]
        ),
    ]


def _percent(share: float) -> str:
    return f"{number(100 * share, 0 if share < 0.985 else 1)} %"
