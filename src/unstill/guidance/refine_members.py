"""Members against data: the likelihood asks, chemistry answers, B follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from unstill.guidance.guides.proximal import descend
from unstill.guidance.guides.steering import Steering
from unstill.guidance.priors.finish import Finish
from unstill.guidance.protocols import EnsembleState, Observable
from unstill.guidance.refine_b import refine_b
from unstill.guidance.start import GuidedModel

_ASKED, _ANSWERED = 0.1, 0.02
"""Å that data may move atoms in a step, and that chemistry may move them back: about what
coordinates are known to in a good map."""


def refine_members(
    model: GuidedModel,
    data: Observable,
    state: EnsembleState,
    resolution: float,
    *,
    refresh: Callable[[EnsembleState], None] | None = None,
    strength: float = 1.0,
    n_rounds: int = 2,
    b_factors: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> EnsembleState:
    """Return the ensemble after a few steps towards the data.

    Parameters
    ----------
    model
        What is guided.
    data
        Of its atoms: amplitudes, or several data together.
    state
        Members that chemistry has seen.
    resolution
        Of the data (Å).
    refresh
        Fits what the data keep, such as scales, to an ensemble; called before each use.
    strength
        Factor on the loss.
    n_rounds
        Of data, chemistry and B.
    b_factors
        Refine B.
    progress
        Told of rounds done and to do.
    """
    finish = Finish(model)
    renew = refresh or (lambda found: None)
    for number in range(n_rounds):
        renew(state)
        steering = Steering(
            data, strength, d_min=resolution, weights=state.weights, b_factor=state.b_factor
        )
        asked = descend(steering, state.coord, _ASKED, 1)
        asked = np.where(model.movable[:, None], asked, state.coord)
        state = replace(state, coord=finish.relax(asked, _ANSWERED, 1))
        # B last, so that it is that of the places which are told.
        if b_factors:
            renew(state)
            state = refine_b(
                data,
                state,
                resolution,
                reference=state.b_factor,
                strength=strength,
                n_steps=2,
            )
        if progress is not None:
            progress(number + 1, n_rounds)
    return state
