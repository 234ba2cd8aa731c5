r"""The transform of molecules, blurred as if correlation ended at their borders."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
from scipy import fft

from unstill.crystal.half_space import friedel_half
from unstill.crystal.hkl_grid import Triple
from unstill.disorder.blurred_transform import (
    box_shape,
    fill_both_halves,
    real_space_distances,
)
from unstill.disorder.transform import ModelAtoms
from unstill.parallel import cpu_count
from unstill.shapes import Float, Integer


class ConfinedTransform:
    r"""[Σ|F_m|² ∗ Γ] at the points of a map, order by order.

    The continuous transform of each body is sampled on a grid that divides the
    voxels of the map so finely that twice the molecule fits into one period.
    The Patterson function of the molecules is then exact in real space, and
    the convolution is its product with :math:`e^{-nr/\gamma}`.

    Parameters
    ----------
    atoms
        Average structure; its bodies move independently.
    index, divisions
        ``(n_points, 3)`` grid indices; hkl = index / divisions.
    d_transform
        Limit of the transform (Å), at or beyond the points.
    """

    def __init__(
        self,
        atoms: ModelAtoms,
        index: Integer[np.ndarray, "points 3"],
        divisions: Triple,
        *,
        d_transform: float,
    ) -> None:
        crystal = atoms.crystal
        s_squared = crystal.s_squared(index / np.array(divisions))
        factor = _refinement(atoms, divisions)
        h, k, l = (int(a) for a in factor * np.array(divisions))
        fine: Triple = (h, k, l)
        sphere = friedel_half(crystal, d_transform, fine)
        wanted = index * factor
        shape = box_shape(sphere, wanted)
        box = np.zeros(shape)
        fill_both_halves(box, sphere, _sharpened(atoms, sphere, fine))
        self._shape = shape
        # Real space: even, so half of it holds all.
        self._patterson = np.ascontiguousarray(fft.rfftn(box, workers=cpu_count()).real)
        self._distance = real_space_distances(crystal, fine, shape)
        self._places = np.ravel_multi_index(tuple((wanted % np.array(shape)).T), shape)
        self._self = atoms.self_scattering(s_squared)
        self._sharpness = self._self / atoms.self_scattering(np.zeros(1))[0]

    def values(self, gamma: float, n_orders: int) -> Float[np.ndarray, "orders points"]:
        """[Σ|F_m|² ∗ Γ] with γ/n for n = 1 … N (e² per cell)."""
        values = np.empty((n_orders, len(self._places)))
        for n, product in self._products(gamma, n_orders):
            values[n - 1] = self._sharpness * self._back(product) + self._self
        return values

    def slopes(self, gamma: float, n_orders: int) -> Float[np.ndarray, "orders points"]:
        """Differentiate the values with respect to γ."""
        slopes = np.empty((n_orders, len(self._places)))
        for n, product in self._products(gamma, n_orders):
            slope = product * (self._distance * (n / gamma**2))
            slopes[n - 1] = self._sharpness * self._back(slope)
        return slopes

    def _products(self, gamma: float, n_orders: int) -> Iterator[tuple[int, np.ndarray]]:
        decay = np.exp(-self._distance / gamma)
        product = self._patterson
        for n in range(1, n_orders + 1):
            product = product * decay
            yield n, product

    def at(self, numbers: Integer[np.ndarray, " chosen"]) -> ConfinedTransform:
        """Return the same for some of the points."""
        some = copy(self)
        some._places = self._places[numbers]
        some._self = self._self[numbers]
        some._sharpness = self._sharpness[numbers]
        return some

    def _back(self, product: np.ndarray) -> np.ndarray:
        back: np.ndarray = fft.irfftn(product, s=self._shape, workers=cpu_count())
        at_points: np.ndarray = back.ravel()[self._places]
        return at_points


def _refinement(atoms: ModelAtoms, divisions: Triple) -> np.ndarray:
    """Whole factors by which the grid must be divided so that each molecule fits twice."""
    fractional, _, _ = atoms.rotations
    extent = np.zeros(3)
    for body in atoms.each_body():
        frac = body.crystal.fractional(body.coord)
        for rotation in fractional:
            extent = np.maximum(extent, np.ptp(frac @ rotation.T, axis=0))
    # A little room for the width that the resolution limit gives every peak.
    room = 2.2 * extent / np.array(divisions)
    factor: np.ndarray = np.maximum(np.ceil(room), 1).astype(np.int64)
    return factor


def _sharpened(
    atoms: ModelAtoms, sphere: Integer[np.ndarray, "points 3"], divisions: Triple
) -> Float[np.ndarray, " points"]:
    own = atoms.self_scattering(atoms.crystal.s_squared(sphere / np.array(divisions)))
    at_zero = atoms.self_scattering(np.zeros(1))[0]
    total = np.zeros(len(sphere))
    copies = atoms.rotations[2]
    for body in atoms.each_body():
        for _, transforms in body.molecular_transforms(sphere, divisions):
            total += copies * np.abs(transforms[0]) ** 2
    sharpened: np.ndarray = (total - own) * at_zero / own
    return sharpened
