r"""How well one map explains the data once scale and curve are free, as a correlation.

The least χ² over k ≥ 0 and the curve b(s) = B β is that of a correlation of
what no curve explains,

.. math:: \min_{k, \beta} \chi^2 = |y_\perp|^2 (1 - c^2), \qquad
          c = \frac{\langle x_\perp, y_\perp\rangle}{|x_\perp|\,|y_\perp|} > 0,
          \qquad \langle u, v\rangle = u^T W v .

With columns Q = B R that are orthonormal, :math:`Q^T W Q = 1`, the part that a
curve explains is :math:`Q Q^T W x`, so that few products with x tell c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from unstill.shapes import Bool, Float
from unstill.weighting.data import Observed
from unstill.weighting.targets.chi_square import orthonormal

CriterionName = Literal["chi2", "cc"]
"""Anisotropic parts with their σ, or total correlation of the intensities."""

_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Criterion:
    r"""Correlation of the parts that no curve explains, over the orbits of a fit.

    Parameters
    ----------
    intensity, precision
        ``(n_orbits,)`` data, and what a squared difference counts.
    weight
        ``(n_orbits,)`` W: the precision in the orbits of the fit, on average
        one there; 0 elsewhere.
    columns
        ``(n_orbits, n_columns)`` Q.
    direction
        ``(n_orbits,)`` y⊥/\|y⊥\|.
    """

    intensity: Float[np.ndarray, " orbits"]
    precision: Float[np.ndarray, " orbits"]
    weight: Float[np.ndarray, " orbits"]
    columns: Float[np.ndarray, "orbits columns"]
    direction: Float[np.ndarray, " orbits"]

    @classmethod
    def of(
        cls, data: Observed, fit: Bool[np.ndarray, " orbits"], name: CriterionName = "chi2"
    ) -> Criterion:
        """Prepare the data.

        Parameters
        ----------
        data
            The data.
        fit
            ``(n_orbits,)`` True where the fit may look.
        name
            ``"chi2"``: the isotropic curve of a comparison is free and orbits count
            by 1/σ². ``"cc"``: a constant is free and voxels count alike, which
            is the Pearson correlation.
        """
        if name == "chi2":
            basis, precision = data.interpolation, data.precision
        else:
            basis, precision = np.ones((data.orbits.n_orbits, 1)), data.multiplicity
        seen = fit & data.measured
        weight = np.where(seen, precision, 0.0)
        weight *= np.count_nonzero(seen) / weight.sum()
        columns = basis @ orthonormal(basis, weight)
        free = data.intensity - columns @ (columns.T @ (weight * data.intensity))
        norm = np.sqrt(np.sum(weight * free**2))
        return cls(
            data.intensity, precision, weight, columns, free / max(norm, np.finfo(float).tiny)
        )

    def without_curve(self, x: Float[np.ndarray, " orbits"]) -> Float[np.ndarray, " orbits"]:
        """x⊥: what no curve explains."""
        free: np.ndarray = x - self.columns @ (self.columns.T @ (self.weight * x))
        return free

    def value(self, x: Float[np.ndarray, " orbits"]) -> float:
        """Return c of calculated intensities; 0 where they are a curve and nothing else."""
        free = self.without_curve(x)
        along = np.sum(self.weight * free * self.direction)
        square, whole = np.sum(self.weight * free**2), np.sum(self.weight * x**2)
        return float(ratio(along, square, whole))

    def squares(
        self, x: Float[np.ndarray, " orbits"], curve_of: Criterion
    ) -> Float[np.ndarray, " orbits"]:
        """(y − k x − b)²/σ² everywhere, with the scale of this fit and the curve of another.

        A fold that is predicted may hold all of a shell at low resolution,
        where only a fit that saw it knows the isotropic curve.
        """
        free = self.without_curve(x)
        square = float(np.sum(self.weight * free**2))
        along = float(np.sum(self.weight * free * self.intensity))
        # A negative scale would explain the data by their opposite.
        k = max(along / square, 0.0) if square > 0 else 0.0
        residual = curve_of.without_curve(self.intensity - k * x)
        squares: np.ndarray = self.precision * residual**2
        return squares


def ratio(
    along: Float[np.ndarray, "*sets"],
    square: Float[np.ndarray, "*sets"] | float,
    whole: Float[np.ndarray, "*sets"] | float,
) -> Float[np.ndarray, "*sets"]:
    """Return c from ⟨x⊥, ŷ⟩, |x⊥|² and |x|²; 0 where |x⊥|² is nothing but rounding."""
    real = np.asarray(square) > _ROUNDING * np.asarray(whole)
    value: np.ndarray = np.where(real, along / np.sqrt(np.where(real, square, 1.0)), 0.0)
    return value
