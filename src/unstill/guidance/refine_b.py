r"""B factors from the data, held to what they were.

.. math:: \min_B\; L(B) + \sum_j (B_j - B_j^0)^2 / 2\sigma_B^2

by conjugate gradients (Polak & Ribière) whose steps are Newton's along their
line: two evaluations a step. B of an ensemble falls where members take over
the spread that one conformer had to put into its B.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unstill.guidance.protocols import EnsembleState, Observable
from unstill.shapes import PerAtom

LEAST, MOST = 2.0, 300.0
"""Bounds of a refined B (Å²)."""
_PROBE, _FARTHEST = 1.0, 10.0
"""Changes of B (Å²) that the curvature is measured over, and that one step makes at most."""


def refine_b(
    observable: Observable,
    state: EnsembleState,
    resolution: float,
    *,
    reference: PerAtom,
    spread: float = 5.0,
    strength: float = 1.0,
    n_steps: int = 3,
) -> EnsembleState:
    """Return the ensemble with B (Å²) that suit the data better.

    Parameters
    ----------
    observable, resolution
        The data.
    state
        The ensemble; members share the B of an atom.
    reference, spread
        ``(n_atoms,)`` B⁰ (Å²) and σ_B (Å²), how far B may stray.
    strength
        Factor on the loss.
    n_steps
        Conjugate-gradient steps.
    """
    b = np.clip(state.b_factor, LEAST, MOST)
    direction = previous = np.zeros(0)
    for _ in range(n_steps):
        slope = _slope(observable, replace(state, b_factor=b), resolution, strength)
        gradient = slope * spread**2 + (b - reference)
        if not np.any(gradient):
            break
        if len(previous):
            beta = max(0.0, float(gradient @ (gradient - previous) / (previous @ previous)))
            direction = beta * direction - gradient
        else:
            direction = -gradient
        previous = gradient
        # How the gradient changes along a short way tells how far to go.
        probe = direction * (_PROBE / np.abs(direction).max())
        ahead = np.clip(b + probe, LEAST, MOST)
        taken = ahead - b
        trial = _slope(observable, replace(state, b_factor=ahead), resolution, strength)
        bend = float((trial - slope) @ taken) * spread**2 + float(taken @ taken)
        gain = -float(gradient @ taken)
        if gain <= 0:
            break
        length = min(gain / bend, _FARTHEST / _PROBE) if bend > 0 else 1.0
        b = np.clip(b + length * taken, LEAST, MOST)
    return replace(state, b_factor=b)


def _slope(
    observable: Observable, state: EnsembleState, resolution: float, strength: float
) -> np.ndarray:
    slope: np.ndarray = strength * observable.value_and_grad(state, resolution).b_factor
    return slope
