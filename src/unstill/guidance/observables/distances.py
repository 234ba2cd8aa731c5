r"""Mean distances between atoms (NOE, DEER), as the example of adding an observable.

.. math::
   \bar r = \Big(\sum_m w_m r_m^{-p}\Big)^{-1/p}, \qquad
   L = \tfrac12 \sum_i \big((\bar r_i - r_i^{obs})/\sigma_i\big)^2

p is 6 for NOE of slow motion, 3 for fast motion, −1 for the mean distance of
DEER. Source of the averages: Tropp (1980), https://doi.org/10.1063/1.439059.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.guidance.protocols import EnsembleState, Evaluation
from unstill.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances of pairs ``(n_pairs, 2)`` of atoms, ``observed`` with ``sigma`` (Å)."""

    pairs: Int[np.ndarray, "pairs 2"]
    observed: Float[np.ndarray, " pairs"]
    sigma: Float[np.ndarray, " pairs"]
    power: float = 6.0

    def value_and_grad(self, state: EnsembleState, resolution: float) -> Evaluation:
        """Loss and gradients; distances know no resolution."""
        del resolution
        first, second = self.pairs.T
        apart = state.coord[:, first] - state.coord[:, second]
        r = np.linalg.norm(apart, axis=2)
        moment = state.weights @ r**-self.power
        mean = moment ** (-1 / self.power)
        residual = (mean - self.observed) / self.sigma
        # d mean / d moment, and d moment / d r of every member.
        by_moment = -mean / (self.power * moment)
        by_r = by_moment * -self.power * r ** (-self.power - 1) * state.weights[:, None]
        pull = (residual / self.sigma * by_r / r)[..., None] * apart
        stiff = (by_r / self.sigma) ** 2 / 3
        coord, curvature = np.zeros_like(state.coord), np.zeros(state.coord.shape[:2])
        for atom, sign in ((first, 1), (second, -1)):
            for member in range(len(coord)):
                np.add.at(coord[member], atom, sign * pull[member])
                np.add.at(curvature[member], atom, stiff[member])
        weights = r**-self.power @ (residual / self.sigma * by_moment)
        loss = 0.5 * float((residual**2).sum())
        return Evaluation(loss, coord, weights, np.zeros_like(state.b_factor), curvature)
