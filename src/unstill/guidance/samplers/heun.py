r"""The probability-flow ODE, by Heun's method.

.. math:: \frac{dx}{d\sigma} = \frac{x - D(x, \sigma)}{\sigma}

Deterministic: all chance is in where it starts. Source: Karras et al. (2022),
algorithm 1, https://doi.org/10.48550/arXiv.2206.00364.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.guidance.levels import checked_levels
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords, Float


@dataclass(frozen=True, eq=False)
class OdeHeun:
    """Second order in the step; two calls of the denoiser a step, one in the last to σ = 0.

    Parameters
    ----------
    levels
        ``(n_steps + 1,)`` falling noise levels (Å).
    """

    levels: Float[np.ndarray, " levels"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", checked_levels(self.levels))

    def sample(self, denoiser: Denoiser, x: Coords, rng: np.random.Generator) -> Coords:
        """Members at the last level from members with the noise of the first."""
        for sigma, following in zip(self.levels[:-1], self.levels[1:], strict=True):
            x = self.step(denoiser, x, float(sigma), float(following), rng)
        return x

    def step(
        self,
        denoiser: Denoiser,
        x: Coords,
        sigma: float,
        following: float,
        rng: np.random.Generator,
    ) -> Coords:
        """Members at the level ``following`` from those at ``sigma`` (Å)."""
        del rng
        return heun_step(denoiser, x, sigma, following)


def heun_step(denoiser: Denoiser, x: Coords, sigma: float, following: float) -> Coords:
    """One step of the ODE from noise level ``sigma`` to ``following`` (Å)."""
    slope = (x - denoiser.denoise(x, sigma)) / sigma
    ahead: np.ndarray = x + (following - sigma) * slope
    if following > 0:
        other = (ahead - denoiser.denoise(ahead, following)) / following
        ahead = x + (following - sigma) * 0.5 * (slope + other)
    return ahead
