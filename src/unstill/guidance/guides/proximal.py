r"""The proximal guide: the data's best compromise with the denoised coordinates.

.. math:: D'(x,\sigma) = \arg\min_y\; |y - D|^2/2r^2 + L(y)

found by curvature-scaled steps that must lower the sum. Source: Zhu et al.
(2023), DiffPIR, https://doi.org/10.48550/arXiv.2305.08995.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.guidance.guides.steering import Steering
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords

_SHORTEST = 1 / 64


@dataclass(frozen=True, eq=False)
class Proximal:
    """A denoiser followed by a few descents of data and distance to what was denoised.

    Parameters
    ----------
    denoiser
        The prior, or another guide.
    steering
        The data.
    n_descents
        Steps a level, at most.

    Raises
    ------
    InputError
        If there is no step.
    """

    denoiser: Denoiser
    steering: Steering
    n_descents: int = 3

    def __post_init__(self) -> None:
        if self.n_descents < 1:
            raise InputError(
                "the proximal guide needs a step", found=self.n_descents, fix="give 1 or more"
            )

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å), as prior and data have them."""
        clean = self.denoiser.denoise(x, sigma)
        if self.steering.strength == 0:
            return clean
        return descend(self.steering, clean, sigma, self.n_descents)


def descend(steering: Steering, clean: Coords, sigma: float, n_descents: int) -> Coords:
    """Lower |y − clean|²/2r² + L(y) from ``clean`` by at most so many curvature-scaled steps.

    Members share the data and the diagonal does not know it: a step is shortened until it helps.
    """
    held = 1 / steering.uncertainty(sigma)
    place, found = clean, steering.evaluate(clean, sigma)
    cost, length = found.loss, 1.0
    for _ in range(n_descents):
        slope = found.coord + held * (place - clean)
        step = slope / (found.curvature + held)[..., None]
        if not np.any(step):
            break
        while True:
            trial = place - length * step
            tried = steering.evaluate(trial, sigma)
            new = tried.loss + 0.5 * held * float(((trial - clean) ** 2).sum())
            if new < cost or length <= _SHORTEST:
                break
            length /= 2
        if new >= cost:
            break
        place, found, cost = trial, tried, new
        length = min(1.0, 2 * length)
    return place
