r"""The reverse diffusion, whose every step has a density.

Given coordinates at a noise level, those at a lower one follow by a Gaussian,
exactly so if the prior is one of variance τ²:

.. math::
   x' \sim \mathcal N\Big(x + (1 - \sigma'^2/\sigma^2)(D(x,\sigma) - x),\;
   (\sigma^2 - \sigma'^2) \frac{\tau^2 + \sigma'^2}{\tau^2 + \sigma^2}\Big)

τ = 0 is ancestral sampling, which forgets that the clean coordinates are
uncertain and loses variance; a large τ is the Euler–Maruyama method, which
leaves noise in stiff modes.

Source: Song et al. (2021), https://doi.org/10.48550/arXiv.2011.13456,
equations 9 and 47; the variance for a Gaussian is Bayes' theorem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.guidance.levels import checked_levels
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords, Float


@dataclass(frozen=True, eq=False)
class ReverseSde:
    """Ancestral sampling.

    Parameters
    ----------
    levels
        ``(n_steps + 1,)`` falling noise levels (Å).
    softness
        τ (Å), how far the prior lets atoms go.

    Raises
    ------
    InputError
        If the softness is negative.
    """

    levels: Float[np.ndarray, " levels"]
    softness: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", checked_levels(self.levels))
        if not 0 <= self.softness < np.inf:
            raise InputError("the softness is negative", found=self.softness, fix="give 0 or more")

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
        moved = self.mean(x, denoiser.denoise(x, sigma), sigma, following)
        spread = self.spread(sigma, following)
        return moved + spread * rng.standard_normal(x.shape) if spread > 0 else moved

    def mean(self, x: Coords, clean: Coords, sigma: float, following: float) -> Coords:
        """Mean of the step from level ``sigma`` to ``following``."""
        mean: np.ndarray = x + (1 - (following / sigma) ** 2) * (clean - x)
        return mean

    def spread(self, sigma: float, following: float) -> float:
        """Return the standard deviation (Å) of the step; 0 in the last one to σ = 0."""
        if following == 0:
            return 0.0
        soft = self.softness**2
        lost = (sigma**2 - following**2) * (soft + following**2)
        return float(np.sqrt(lost / (soft + sigma**2)))
