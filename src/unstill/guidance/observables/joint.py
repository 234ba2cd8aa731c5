"""Several data at once: independent measurements of one ensemble add their losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.errors import InputError
from unstill.guidance.protocols import EnsembleState, Evaluation, Observable


class Joint:
    """Σ weight × observable, itself an observable, so that they nest.

    Parameters
    ----------
    parts
        Pairs of observable and weight; weight 1 believes the σ that was stated.

    Raises
    ------
    InputError
        If there is no part, or a weight is negative or no number.
    """

    def __init__(self, parts: Sequence[tuple[Observable, float]]) -> None:
        self.parts = tuple(parts)
        weights = [weight for _, weight in self.parts]
        if not weights or not np.isfinite(weights).all() or min(weights) < 0:
            raise InputError(
                "joint data need weights of zero or more",
                found=weights,
                fix="give pairs of an observable and its weight, such as (data, 1.0)",
            )

    def value_and_grad(self, state: EnsembleState, resolution: float) -> Evaluation:
        """Loss and gradients of all parts; those of weight 0 are not evaluated."""
        total = Evaluation(
            0.0,
            np.zeros(state.coord.shape),
            np.zeros(len(state.weights)),
            np.zeros(len(state.b_factor)),
            np.zeros(state.coord.shape[:2]),
        )
        for part, weight in self.parts:
            if weight == 0:
                continue
            found = part.value_and_grad(state, resolution)
            total = Evaluation(
                total.loss + weight * found.loss,
                total.coord + weight * found.coord,
                total.weights + weight * found.weights,
                total.b_factor + weight * found.b_factor,
                total.curvature + weight * found.curvature,
            )
        return total
