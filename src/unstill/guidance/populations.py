r"""Weights of members from a density map, by non-negative least squares.

.. math::
   \min_{a \ge 0,\, c} \sum_x \Big(\sum_m a_m \rho_m(x) + c - \rho_{obs}(x)\Big)^2
   + \epsilon \sum_m (a_m - \bar a)^2, \qquad w_m = a_m / \sum_m a_m

The sum of a is the scale of the map, c what the model leaves out. The small
second term shares weight among members that are alike, which the data cannot
tell apart, instead of leaving it to rounding.

Source: Lawson & Hanson (1995), https://doi.org/10.1137/1.9781611971217.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize

from unstill.errors import InputError
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.shapes import Float

_FLAT = 1e-9
"""Relative to its size, what a map without features differs from its mean by."""


@dataclass(frozen=True, eq=False)
class DensityPopulations:
    """Weights that explain a density map best.

    Parameters
    ----------
    observable
        The map.
    share
        ε, in units of the mean square of a member's density.

    Raises
    ------
    InputError
        If the share is not positive.
    """

    observable: DensityObservable
    share: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.share < np.inf:
            raise InputError(
                "the share of even weights must be positive", found=self.share, fix="give 1e-3"
            )

    def fit(self, state: EnsembleState, resolution: float) -> Float[np.ndarray, " n_members"]:
        """Weights of sum 1; those of the state where the map is flat or nothing fits."""
        members, target = self.observable.member_densities(state, resolution)
        members = members - members.mean(axis=1, keepdims=True)
        size = float(np.abs(target).max())
        target = target - target.mean()
        if np.abs(target).max() <= _FLAT * size:
            return state.weights
        gram = members @ members.T
        right = members @ target
        n = len(gram)
        even = self.share * gram.trace() / n * (np.eye(n) - 1 / n)
        # NNLS on the root of the normal equations: |R a − b|² = aᵀGa − 2aᵀr + const.
        values, vectors = scipy.linalg.eigh(gram + even)
        kept = values > 1e-12 * values[-1]
        root = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
        amounts, _ = scipy.optimize.nnls(root, vectors[:, kept].T @ right / np.sqrt(values[kept]))
        total = amounts.sum()
        weights: np.ndarray = amounts / total if total > 0 else state.weights
        return weights
