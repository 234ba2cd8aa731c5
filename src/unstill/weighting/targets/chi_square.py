r"""Chi-square with the scale and a smooth isotropic curve eliminated.

.. math:: L = \frac{1}{2N} \sum_h \frac{(y(h) - k\,x(h) - b(s))^2}{\sigma^2(h)}

k ≥ 0 and b(s) = Σ β_i B_i(s) follow from linear algebra for any x (variable
projection; Golub & Pereyra 1973, https://doi.org/10.1137/0710036). At their
optimum the gradient is that of the explicit x alone,

.. math:: \partial L/\partial x = -\frac{k}{N}\,\frac{y - k\,x - b}{\sigma^2}.

Because b is free, only the anisotropic part of the map has a say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from unstill.shapes import Float
from unstill.weighting.backends import Backend
from unstill.weighting.problems import Problems

_SINGULAR = 1e-10


@dataclass(frozen=True)
class ChiSquare:
    """½χ²/N with analytic scale and isotropic curve.

    Parameters
    ----------
    scale
        A fixed k, for data on an absolute scale; by default it is fitted.
    """

    scale: float | None = None
    name: str = "chi2"

    def prepare(self, problems: Problems, backend: Backend) -> FittedScale:
        """Bring the data to a backend."""
        return FittedScale(problems, backend, self.scale)


class FittedScale:
    """Least squares of scale and curve for each problem.

    Parameters
    ----------
    problems
        The data.
    backend
        Where to work.
    scale
        A fixed scale, if there is one.
    """

    def __init__(self, problems: Problems, backend: Backend, scale: float | None = None) -> None:
        self._xp, self._scale = backend.xp, scale
        weight = problems.work * problems.precision
        basis = problems.observed.curve_basis
        inverse = np.stack([_inverse(basis, row) for row in weight])
        self._y = backend.array(problems.intensity)
        self._weight = backend.array(weight)
        self._n = backend.array(np.maximum(problems.n_work, 1.0))
        # A product with four numbers a row; other libraries take the rows as they are.
        self._basis = basis if backend.name == "numpy" else backend.array(basis.toarray())
        self._inverse = backend.array(inverse)
        everything = np.arange(problems.n_problems)
        self._y_free = self.without_curve(self._y, everything)

    def value_and_gradient(self, x: Any, which: Any) -> tuple[Any, Any]:
        """½χ²/N and its gradient."""
        xp = self._xp
        weight, n = self._weight[which], self._n[which]
        k, residual = self._residual(x, which)
        value = xp.sum(weight * residual * residual, axis=1) / (2 * n)
        return value, -(k / n)[:, None] * (weight * residual)

    def scale(self, x: Any, which: Any) -> Any:
        """Best scale k, ``(n,)``."""
        return self._residual(x, which)[0]

    def rest(self, x: Any, which: Any) -> Any:
        """Return y − k x with the best k, ``(n, n_orbits)``, isotropic curve included."""
        return self._y[which] - self.scale(x, which)[:, None] * x

    def _residual(self, x: Any, which: Any) -> tuple[Any, Any]:
        xp = self._xp
        weight, y = self._weight[which], self._y_free[which]
        x_free = self.without_curve(x, which)
        if self._scale is None:
            norm = xp.sum(weight * x_free * x_free, axis=1)
            k = xp.sum(weight * x_free * y, axis=1) / xp.where(norm > 0, norm, norm + 1)
            # A negative scale would explain the data by their opposite.
            k = xp.where(k > 0, k, 0 * k)
        else:
            k = 0 * x[:, 0] + self._scale
        return k, y - k[:, None] * x_free

    def without_curve(self, values: Any, which: Any) -> Any:
        """Values without what an isotropic curve explains of them in the work set."""
        right = (self._weight[which] * values) @ self._basis
        beta = self._xp.matmul(right[:, None, :], self._inverse[which])[:, 0, :]
        return values - beta @ self._basis.T


def orthonormal(
    basis: Float[np.ndarray, "orbits n_basis"], weight: Float[np.ndarray, " orbits"]
) -> Float[np.ndarray, "n_basis columns"]:
    """R that makes the columns of B R orthonormal, (B R)ᵀ W (B R) = 1.

    Combinations of splines that no orbit determines are left out.
    """
    return _inverse_root(basis.T @ (weight[:, None] * basis))


def _inverse(basis: csr_array, weight: np.ndarray) -> np.ndarray:
    """(BᵀWB)⁻¹."""
    columns = _inverse_root((basis.T @ basis.multiply(weight[:, None])).toarray())
    inverse: np.ndarray = columns @ columns.T
    return inverse


def _inverse_root(gram: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(gram)
    seen = values > _SINGULAR * max(values[-1], np.finfo(float).tiny)
    columns: np.ndarray = vectors[:, seen] / np.sqrt(values[seen])
    return columns
