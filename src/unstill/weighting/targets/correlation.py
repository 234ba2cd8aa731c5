r"""Pearson correlation of the intensities, total and anisotropic; the target is 1 − CC.

With p the voxels of an orbit, :math:`\langle u, v\rangle = \sum p\,u\,v` and
centred u, v,

.. math:: CC = \frac{\langle u, v\rangle}{|u|\,|v|}, \qquad
          \frac{\partial CC}{\partial u} = \frac{p}{|u|}
          \Big(\frac{v}{|v|} - CC\,\frac{u}{|u|}\Big).

The anisotropic part is that of a comparison of maps
(:func:`unstill.maps.isotropic.split_isotropic`): what is left after a spline
through the means of shells. It is linear in x, so the gradient goes back
through its transpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.weighting.backends import Backend
from unstill.weighting.problems import Problems

_TINY_SHARE = 1e-6
"""Share of held-out orbits in shell means; decides only in shells that are held out whole."""


@dataclass(frozen=True)
class TotalCorrelation:
    """1 − CC of the intensities as they are."""

    name: str = "cc"

    def prepare(self, problems: Problems, backend: Backend) -> Pearson:
        """Bring the data to a backend."""
        return Pearson(problems, backend, anisotropic=False)


@dataclass(frozen=True)
class AnisotropicCorrelation:
    """1 − CC of the anisotropic parts."""

    name: str = "cc-aniso"

    def prepare(self, problems: Problems, backend: Backend) -> Pearson:
        """Bring the data to a backend."""
        return Pearson(problems, backend, anisotropic=True)


class Pearson:
    """Correlation over the work set of each problem.

    Parameters
    ----------
    problems
        The data.
    backend
        Where to work.
    anisotropic
        Correlate the anisotropic parts.
    shells_of
        ``(n_problems, n_orbits)`` what counts in the means of shells; by
        default the work set.
    """

    def __init__(
        self,
        problems: Problems,
        backend: Backend,
        *,
        anisotropic: bool,
        shells_of: np.ndarray | None = None,
    ) -> None:
        observed = problems.observed
        self._xp, self._split = backend.xp, None
        weight = problems.work * observed.multiplicity
        if anisotropic:
            weight = weight * observed.inside
            counted = problems.work if shells_of is None else shells_of
            self._split = ShellSplit(problems, backend, counted)
        self._weight = backend.array(weight)
        y = backend.array(problems.intensity)
        everything = np.arange(problems.n_problems)
        self._y = self._centred(self._part(y, everything), self._weight)
        xp = self._xp
        self._y_norm = xp.sqrt(xp.sum(self._weight * self._y * self._y, axis=1))

    def correlation(self, x: Any, which: Any) -> Any:
        """CC itself, ``(n,)``; 0 where a part is constant."""
        return 1 - self.value_and_gradient(x, which)[0]

    def value_and_gradient(self, x: Any, which: Any) -> tuple[Any, Any]:
        """1 − CC and its gradient."""
        xp = self._xp
        weight, y, y_norm = self._weight[which], self._y[which], self._y_norm[which]
        u = self._centred(self._part(x, which), weight)
        u_norm = xp.sqrt(xp.sum(weight * u * u, axis=1))
        norm = u_norm * y_norm
        norm = xp.where(norm > 0, norm, norm + 1)
        cc = xp.sum(weight * u * y, axis=1) / norm
        square = xp.where(u_norm > 0, u_norm * u_norm, u_norm + 1)
        gradient = -weight * (y / norm[:, None] - (cc / square)[:, None] * u)
        if self._split is not None:
            gradient = self._split.transposed(gradient, which)
        return 1 - cc, gradient

    def _part(self, values: Any, which: Any) -> Any:
        return values if self._split is None else self._split.anisotropic(values, which)

    def _centred(self, values: Any, weight: Any) -> Any:
        xp = self._xp
        total = xp.sum(weight, axis=1)
        mean = xp.sum(weight * values, axis=1) / xp.where(total > 0, total, total + 1)
        return values - mean[:, None]


class ShellSplit:
    """The isotropic curve through shell means, and its transpose."""

    def __init__(self, problems: Problems, backend: Backend, counted: np.ndarray) -> None:
        observed = problems.observed
        # A shell that a fold holds out whole keeps the mean of what was measured there.
        share = np.where(observed.measured, counted + _TINY_SHARE, 0.0) * observed.multiplicity
        self._share = backend.array(share)
        self._shell_of = backend.array(observed.shell_of)
        self._interpolation = backend.array(observed.interpolation)
        self._count = backend.array(share @ observed.shell_of)

    def anisotropic(self, values: Any, which: Any) -> Any:
        """Values without the curve through their shell means."""
        mean = (self._share[which] * values) @ self._shell_of / self._count[which]
        return values - mean @ self._interpolation.T

    def transposed(self, gradient: Any, which: Any) -> Any:
        """Gradient to the values from the gradient to their anisotropic part."""
        pulled = (gradient @ self._interpolation) / self._count[which]
        return gradient - self._share[which] * (pulled @ self._shell_of.T)
