r"""Scale and isotropic curve, eliminated: variable projection.

For given parameters θ the best k ≥ 0 and the best curve b(s) = Σ β_i B_i(s) in

.. math:: \sum w\,(I_\mathrm{obs} - k\, I(\theta) - b(s))^2

follow from linear algebra, and what is left is a function of θ alone. Because
b is free, only the anisotropic part of the map has a say in θ.

References
----------
Golub, G. H. & Pereyra, V. (1973). *SIAM J. Numer. Anal.* 10, 413–432.
https://doi.org/10.1137/0710036
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import BSpline

from unstill.disorder.fit_data import FitData
from unstill.shapes import Float

Isotropic = Literal["spline", "constant"]
"""Free isotropic part of the fit: a cubic spline, or (for comparison) a constant."""

_MOST_INTERVALS = 24


@dataclass(frozen=True, eq=False)
class Solution:
    """Best scale for one set of parameters.

    Parameters
    ----------
    scale
        k ≥ 0.
    cost
        ½ Σ w r² over ½ Σ w (data without its isotropic part)²: 1 for a model
        that explains nothing of the anisotropic part.
    residual
        ``(n,)`` √w r.
    """

    scale: float
    cost: float
    residual: Float[np.ndarray, " points"]


class Projection:
    """The data with the isotropic curve projected out.

    Parameters
    ----------
    data
        What is fitted.
    isotropic
        Kind of the free curve.
    """

    def __init__(self, data: FitData, isotropic: Isotropic = "spline") -> None:
        self.root_weight = np.sqrt(data.weight)
        self.knots: Float[np.ndarray, " knots"] = np.zeros(0)
        design = np.ones((data.n_points, 1))
        if isotropic == "spline":
            self.knots, design = spline_basis(data)
        self.weighted_basis = design * self.root_weight[:, None]
        left, singular, right = np.linalg.svd(self.weighted_basis, full_matrices=False)
        kept = singular > 1e-10 * singular[0]
        self._range = left[:, kept]
        # β = V S⁻¹ Uᵀ (√w (y − k m)); intervals without data get the smallest coefficients.
        self._coefficients = (right[kept].T / singular[kept]) @ self._range.T
        self._weighted = data.intensity * self.root_weight
        self._target = self.without_curve(self._weighted)
        self.total = float(self._target @ self._target)

    @property
    def n_curve(self) -> int:
        """Free numbers of the curve."""
        return int(self._range.shape[1])

    def without_curve(self, weighted: np.ndarray) -> np.ndarray:
        """Part of √w × values (last axis the points) that no curve can explain."""
        left: np.ndarray = weighted - (weighted @ self._range) @ self._range.T
        return left

    def solve(self, intensity: Float[np.ndarray, " points"]) -> Solution:
        """Best k ≥ 0 for a model intensity."""
        model = self.without_curve(intensity * self.root_weight)
        norm = float(model @ model)
        scale = max(float(model @ self._target) / norm, 0.0) if norm > 0 else 0.0
        residual = self._target - scale * model
        return Solution(scale, float(residual @ residual) / self.total, residual)

    def gradient(
        self, solution: Solution, jacobian: Float[np.ndarray, "n_parameters points"]
    ) -> Float[np.ndarray, " n_parameters"]:
        """Gradient of the cost to θ; exact, because k and b are at their optimum."""
        gradient: np.ndarray = (
            -2 * solution.scale * (jacobian @ (self.root_weight * solution.residual)) / self.total
        )
        return gradient

    def coefficients(
        self, solution: Solution, intensity: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, " n_basis"]:
        """β of the curve for a solution."""
        rest = self._weighted - solution.scale * intensity * self.root_weight
        beta: np.ndarray = self._coefficients @ rest
        return beta

    def curve(
        self, beta: Float[np.ndarray, " n_basis"], s: Float[np.ndarray, "*points"]
    ) -> Float[np.ndarray, "*points"]:
        """b(s); outside the fitted range the value at its edge."""
        if not len(self.knots):
            return np.full(np.shape(s), float(beta[0]))
        inside = np.clip(s, self.knots[0], self.knots[-1])
        values: np.ndarray = np.asarray(BSpline(self.knots, beta, 3)(inside))
        return values


def spline_basis(data: FitData) -> tuple[np.ndarray, np.ndarray]:
    """Knots and values of the cubic B-splines, one interval a resolution shell, 24 at most.

    The same freedom as the isotropic curve that a comparison subtracts.
    """
    low, high = float(data.s.min()), float(data.s.max())
    n_shells = (high - low) / data.step
    n_intervals = int(np.clip(round(n_shells), 4, _MOST_INTERVALS))
    inner = np.linspace(low, high * (1 + 1e-12), n_intervals + 1)
    knots = np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])
    return knots, BSpline.design_matrix(data.s, knots, 3).toarray()
