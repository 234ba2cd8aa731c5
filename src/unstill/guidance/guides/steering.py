"""What every guide needs: the data, how hard, to what resolution, and in which weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.guidance.protocols import EnsembleState, Evaluation, Observable, Valued
from unstill.shapes import Coords, Float, PerAtom


@dataclass(frozen=True, eq=False)
class Steering:
    r"""Data with the strength and the resolution that suit a noise level.

    At noise σ the denoised coordinates are uncertain by

    .. math:: r^2 = \sigma^2\tau^2/(\sigma^2 + \tau^2)

    where τ is how far the prior lets atoms go. Guides weigh the data by r, so
    that early levels, which know nothing of details, are not torn by them.

    Parameters
    ----------
    observable
        The data.
    strength
        Factor on the loss; 0 leaves the prior alone.
    spread
        τ (Å).
    d_min
        Resolution (Å) of the data.
    blur
        At noise σ data count to the resolution max(d_min, blur × σ).
    weights, b_factor
        Of the members (equal by default) and atoms (20 Å² by default), fixed here.

    Raises
    ------
    InputError
        If the strength is negative or the spread not positive.
    """

    observable: Observable
    strength: float = 1.0
    spread: float = 1.0
    d_min: float = 2.0
    blur: float = 2.0
    weights: Float[np.ndarray, " n_members"] | None = None
    b_factor: PerAtom | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.strength < np.inf and 0 < self.spread < np.inf):
            raise InputError(
                "guidance needs a strength of 0 or more and a positive spread",
                found=f"strength {self.strength:g}, spread {self.spread:g} Å",
                fix="give, for example, strength 1 and spread 1",
            )

    def evaluate(self, coord: Coords, sigma: float) -> Evaluation:
        """Loss, gradients and curvature at a noise level, times the strength."""
        found = self.observable.value_and_grad(self.state(coord), self.resolution(sigma))
        return Evaluation(
            self.strength * found.loss,
            self.strength * found.coord,
            self.strength * found.weights,
            self.strength * found.b_factor,
            self.strength * found.curvature,
        )

    def value(self, coord: Coords, sigma: float) -> float:
        """Loss alone at a noise level, times the strength."""
        state, resolution = self.state(coord), self.resolution(sigma)
        if isinstance(self.observable, Valued):
            return self.strength * self.observable.value(state, resolution)
        return self.strength * self.observable.value_and_grad(state, resolution).loss

    def state(self, coord: Coords) -> EnsembleState:
        """Ensemble of coordinates with the weights and B that are fixed here."""
        n_members, n_atoms, _ = coord.shape
        weights = np.full(n_members, 1 / n_members) if self.weights is None else self.weights
        b_factor = np.full(n_atoms, 20.0) if self.b_factor is None else self.b_factor
        return EnsembleState(coord, weights, b_factor)

    def resolution(self, sigma: float) -> float:
        """Resolution (Å) to which data count at a noise level."""
        return max(self.d_min, self.blur * sigma)

    def uncertainty(self, sigma: float) -> float:
        """Return r² (Å²), the variance of the clean coordinates at a noise level."""
        return sigma**2 * self.spread**2 / (sigma**2 + self.spread**2)
