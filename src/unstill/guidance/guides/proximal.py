r"""The proximal guide: the data's best compromise with the denoised coordinates.

.. math:: D'(x,\sigma) = \arg\min_y\; |y - D|^2/2r^2 + L(y)

found by curvature-scaled steps whose length a parabola gives. Source: Zhu et al.
(2023), DiffPIR, https://doi.org/10.48550/arXiv.2305.08995.
"""

from __future__ import annotations

from dataclasses import dataclass

from unstill.errors import InputError
from unstill.guidance.guides.steering import Steering
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords

_SHORTER = 6
"""Times that a step is halved where it leads up."""
_LONGEST = 2.0
"""Of a step, in units of what the diagonal of the curvature suggests."""


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

    Members share the data and the diagonal does not know it: how far a step goes is found from a
    second value of the loss, as for a parabola.
    """
    held = 1 / steering.uncertainty(sigma)
    place = clean
    for _ in range(n_descents):
        found = steering.evaluate(place, sigma)
        away = place - clean
        slope = found.coord + held * away
        step = -slope / (found.curvature + held)[..., None]
        downhill = float((slope * step).sum())
        if downhill >= 0:
            break

        def cost(length: float, away: Coords = away, step: Coords = step) -> float:
            moved = away + length * step
            return steering.value(clean + moved, sigma) + 0.5 * held * float((moved**2).sum())

        # A parabola through what is known at both ends of the step, and the slope at one.
        there, here = cost(1.0), found.loss + 0.5 * held * float((away**2).sum())
        bend = 2 * (there - here - downhill)
        length = min(-downhill / bend, _LONGEST) if bend > 0 else _LONGEST
        if there > here:
            # So far from its minimum a loss may be no parabola: go no way that leads up.
            for _ in range(_SHORTER):
                if cost(length) < here:
                    break
                length /= 2
            else:
                break
        place = place + length * step
    return place
