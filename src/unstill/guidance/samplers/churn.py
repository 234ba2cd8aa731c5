"""The probability-flow ODE, stirred: noise is added before every step.

Source: Karras et al. (2022), algorithm 2,
https://doi.org/10.48550/arXiv.2206.00364.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.guidance.levels import checked_levels
from unstill.guidance.protocols import Denoiser
from unstill.guidance.samplers.heun import heun_step
from unstill.shapes import Coords, Float


@dataclass(frozen=True, eq=False)
class ChurnedHeun:
    """Heun's method after a rise of the noise level by a share.

    Parameters
    ----------
    levels
        ``(n_steps + 1,)`` falling noise levels (Å).
    churn
        Share γ by which the level rises before a step; 0 is :class:`OdeHeun`.
    least
        Level (Å) below which nothing is stirred.

    Raises
    ------
    InputError
        If the churn is negative.
    """

    levels: Float[np.ndarray, " levels"]
    churn: float = 0.1
    least: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", checked_levels(self.levels))
        if not 0 <= self.churn < np.inf:
            raise InputError("the churn is negative", found=self.churn, fix="give 0 or more")

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
        gamma = self.churn if sigma > self.least else 0.0
        raised = sigma * (1 + gamma)
        if gamma:
            x = x + np.sqrt(raised**2 - sigma**2) * rng.standard_normal(x.shape)
        return heun_step(denoiser, x, raised, following)
