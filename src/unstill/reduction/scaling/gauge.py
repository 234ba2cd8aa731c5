"""What data cannot tell between a, b, c, d and the intensity, fixed by linear conditions.

Counts do not change when

- b becomes b k and I becomes I / k (c stays): the mean of log b over rows is 0;
- a becomes a f(φ), b becomes b / f and c becomes c / f: at each φ of each
  sweep the mean of log a over the detector is 0;
- a becomes a g(x, y) in all sweeps and d becomes d / g: the mean of log a over
  φ and sweeps is 0 at each place of the detector, if there is a d;
- d becomes d k and b becomes b / k, c becomes c / k: the mean of log d is 0;
- a or d becomes itself times f(s) and I becomes I / f: a voxel always lies on the
  same ring of the detector, so that what a and d do at all angles all around a
  ring is a matter of the map. At each s the mean of log d is 0, or that of log a
  over φ and sweeps where there is no d;
- c becomes c + b δ(s) and I becomes I − δ(s): at each s the mean of c over φ
  and sweeps is 0 during the fit. Afterwards δ(s) is chosen so that c + b δ is
  lowest at 0 at each s: an offset is what sweeps have *more* than the cleanest.

Means are weighted by the rows near a knot, as products of a weight on the
static basis and one along φ, so that conditions on both commute and hold
exactly. The solver moves in their null space only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.reduction.scaling.component import Component
from unstill.shapes import Float


@dataclass(frozen=True, eq=False)
class Gauge:
    """Orthogonal projection of the values of one component onto its conditions.

    Parameters
    ----------
    shape
        Knots of the static basis and along φ.
    static
        ``(n_static, n_conditions)`` orthonormal columns.
    along
        A unit vector. The projection is (1 − static staticᵀ) ⊗ (1 − along alongᵀ),
        without the factor that is ``None``.
    rings, mean
        Orthonormal columns, orthogonal to ``static``, and a unit vector along φ:
        conditions on the mean over φ, where ``along`` makes none. The projection is
        then multiplied by 1 − (rings ringsᵀ) ⊗ (mean meanᵀ).
    """

    shape: tuple[int, int]
    static: Float[np.ndarray, "n_static n_conditions"] | None
    along: Float[np.ndarray, " n_along"] | None
    rings: Float[np.ndarray, "n_static n_rings"] | None = None
    mean: Float[np.ndarray, " n_along"] | None = None

    def project(self, values: Float[np.ndarray, " n_knots"]) -> Float[np.ndarray, " n_knots"]:
        """Return the nearest values that meet the conditions."""
        table = values.reshape(self.shape)
        if self.static is not None:
            inside = np.einsum("ic,ij->cj", self.static, table)
            table = table - np.einsum("ic,cj->ij", self.static, inside)
        if self.along is not None:
            table = table - np.outer(np.einsum("ij,j->i", table, self.along), self.along)
        if self.rings is not None and self.mean is not None:
            inside = np.einsum("ir,ij,j->r", self.rings, table, self.mean)
            table = table - np.outer(np.einsum("ir,r->i", self.rings, inside), self.mean)
        return table.ravel()


def gauge_of(
    component: Component,
    mass: Float[np.ndarray, " n_knots"],
    *,
    with_detector: bool,
    s: Float[np.ndarray, " n_static"] | None = None,
) -> Gauge:
    """Return the conditions of a component.

    Parameters
    ----------
    component
        a, b, c or d.
    mass
        ``(n_knots,)`` sums of the hat functions over the rows.
    with_detector
        Whether there is a d.
    s
        ``(n_static,)`` 1/d (Å⁻¹) of the knots on the detector, for a and d; without
        it only their mean over the whole detector is fixed.
    """
    table = mass.reshape(component.shape)
    weight, along = table.sum(axis=1), _unit(table.sum(axis=0))
    whole = _unit(weight)[:, None]
    if component.name == "a":
        if with_detector:
            return Gauge(component.shape, whole, along)
        return Gauge(component.shape, whole, None, _rings(weight, s, apart=whole), along)
    if component.name == "d":
        rings = _rings(weight, s, apart=whole)
        return Gauge(component.shape, np.concatenate([whole, rings], axis=1), None)
    return Gauge(component.shape, None, along)


def lowest_floor(
    offset: Float[np.ndarray, "n_s n_phi"],
    scale: Float[np.ndarray, " n_phi"],
    sigma: Float[np.ndarray, "n_s n_phi"],
) -> Float[np.ndarray, " n_s"]:
    r"""Return δ(s) that brings the lowest c / b at each s to 0.

    The lowest of many noisy values is low by chance. Each value is therefore
    raised by the standard errors that the lowest of as many normal deviates
    lies below their mean, :math:`\sqrt{2 \ln n}`: where c is nothing but
    noise the floor stays near its mean, and where an offset is significant it
    is found within its error.

    Parameters
    ----------
    offset
        ``(n_s, n_phi)`` c at its knots.
    scale
        ``(n_phi,)`` b at the knots of c along φ.
    sigma
        ``(n_s, n_phi)`` standard error of c; infinite where no row tells.
    """
    value, error = offset / scale, sigma / scale
    told = np.isfinite(error)
    number = np.maximum(told.sum(axis=1), 1)
    raised = value + np.sqrt(2 * np.log(number))[:, None] * np.where(told, error, 0.0)
    lowest = np.min(np.where(told, raised, np.inf), axis=1)
    # Not above the mean: an error of c as large as c itself is no reason to move.
    return -np.where(np.isfinite(lowest), np.minimum(lowest, 0.0), 0.0)


def _rings(weight: np.ndarray, s: np.ndarray | None, *, apart: np.ndarray) -> np.ndarray:
    """Orthonormal columns of the weighted means around rings, orthogonal to ``apart``."""
    told = weight > 0
    # From the middle of a square of knots to its corner.
    number = int(np.ceil(0.7 * np.sqrt(len(weight))))
    nothing = np.zeros((len(weight), 0))
    if s is None or number < 2 or not told.any():
        return nothing
    edges = np.linspace(s[told].min(), s[told].max(), number)
    width = edges[1] - edges[0]
    if width <= 1e-9 * edges[-1]:
        return nothing
    hats = np.clip(1 - np.abs(s[:, None] - edges) / width, 0, None)
    columns = np.where(told, weight, 0.0)[:, None] * hats
    scale = np.linalg.norm(columns)
    columns = columns - np.einsum("ic,jc,jr->ir", apart, apart, columns)
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    rings: np.ndarray = left[:, size > 1e-6 * scale]
    return rings


def _unit(weight: np.ndarray) -> np.ndarray:
    length = float(np.sqrt(np.sum(weight**2)))
    unit: np.ndarray = weight / length if length > 0 else np.full(len(weight), len(weight) ** -0.5)
    return unit
