r"""Langevin dynamics at every noise level, from the largest to the last.

.. math::
   x \leftarrow x + \epsilon\,(D(x,\sigma) - x) + \sqrt{2\epsilon}\,\sigma z

keeps the distribution at its level (to first order in ε), whatever came
before. Source: Song & Ermon (2019), https://doi.org/10.48550/arXiv.1907.05600.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.guidance.levels import checked_levels
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords, Float


@dataclass(frozen=True, eq=False)
class AnnealedLangevin:
    """A few steps of Langevin dynamics a level.

    Parameters
    ----------
    levels
        ``(n_steps + 1,)`` falling noise levels (Å); at the last, if it is 0, one denoising.
    n_moves
        Steps a level.
    step
        ε, the step in units of σ²; the stationary variance of a mode much wider than σ is
        right, that of the noise too large by the factor 1/(1 − ε/2).

    Raises
    ------
    InputError
        If the step is outside (0, 1) or there are no moves.
    """

    levels: Float[np.ndarray, " levels"]
    n_moves: int = 5
    step: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", checked_levels(self.levels))
        if not (0 < self.step < 1 and self.n_moves >= 1):
            raise InputError(
                "Langevin dynamics would not be stable, or not move",
                found=f"step {self.step:g}, {self.n_moves} moves a level",
                fix="give a step between 0 and 1, and at least one move",
            )

    def sample(self, denoiser: Denoiser, x: Coords, rng: np.random.Generator) -> Coords:
        """Members at the last level from members with the noise of the first."""
        for sigma, following in zip(self.levels[:-1], self.levels[1:], strict=True):
            for _ in range(self.n_moves):
                drift = self.step * (denoiser.denoise(x, float(sigma)) - x)
                x = x + drift + np.sqrt(2 * self.step) * sigma * rng.standard_normal(x.shape)
            # Down to the next level by the ODE, so that the noise suits it.
            slope = (x - denoiser.denoise(x, float(sigma))) / sigma
            x = x + (following - sigma) * slope
        return x
