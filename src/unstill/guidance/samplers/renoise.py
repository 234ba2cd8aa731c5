r"""Denoise, and put noise back at the next level: the walk of plug-and-play denoisers.

.. math::
   x' = D + \sigma' \big(\sqrt{1-\zeta}\;(x - D)/\sigma + \sqrt{\zeta}\; z\big)

With ζ = 1 a step forgets all but the denoised coordinates, so that what a
guide or a jump did to them holds in full; ζ = 0 is the ODE by Euler's method.
A denoiser that answers with the most probable coordinates, as the built-in
geometry does, belongs with it.

Source: Zhu et al. (2023), DiffPIR, https://doi.org/10.48550/arXiv.2305.08995.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.guidance.levels import checked_levels
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords, Float


@dataclass(frozen=True, eq=False)
class Renoise:
    """One call of the denoiser a level.

    Parameters
    ----------
    levels
        ``(n_steps + 1,)`` falling noise levels (Å).
    fresh
        ζ, the share of the noise that is new at every level.

    Raises
    ------
    InputError
        If the share is not between 0 and 1.
    """

    levels: Float[np.ndarray, " levels"]
    fresh: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", checked_levels(self.levels))
        if not 0 <= self.fresh <= 1:
            raise InputError(
                "the share of fresh noise lies between 0 and 1",
                found=self.fresh,
                fix="give 1 to forget the old noise, 0 to keep it",
            )

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
        clean = denoiser.denoise(x, sigma)
        if following == 0:
            return clean
        kept = np.sqrt(1 - self.fresh) / sigma * (x - clean)
        noise = kept + np.sqrt(self.fresh) * rng.standard_normal(x.shape)
        moved: np.ndarray = clean + following * noise
        return moved
