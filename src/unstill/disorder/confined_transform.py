r"""The transform of molecules, blurred as if correlation ended at their borders."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
from scipy import fft

from unstill.crystal.half_space import friedel_half
from unstill.crystal.hkl_grid import Triple
from unstill.disorder.blurred_transform import (
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
    the convolution is its product with :math:`e^{-nr/\gamma}`. Only the voxels of
    the map are wanted back, every few points of the fine grid: folding the
    product onto the period that belongs to them makes that transform small.

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
        coarse = _coarse_shape(sphere, factor)
        x, y, z = (int(n) for n in factor * coarse)
        shape: Triple = (x, y, z)
        box = np.zeros(shape)
        fill_both_halves(box, sphere, _sharpened(atoms, sphere, fine))
        # Centrosymmetric and real: the transform from half of it is the whole, and real.
        half = np.ascontiguousarray(box[..., : shape[2] // 2 + 1])
        self._patterson = fft.irfftn(half, s=shape, workers=cpu_count())
        self._distance = real_space_distances(crystal, fine, shape, whole=True)
        self._blocks = tuple(int(n) for pair in zip(factor, coarse, strict=True) for n in pair)
        places = index % coarse
        mirrored = places[:, 2] > coarse[2] // 2
        places[mirrored] = -index[mirrored] % coarse
        self._places = np.ravel_multi_index(
            tuple(places.T), (int(coarse[0]), int(coarse[1]), int(coarse[2]) // 2 + 1)
        )
        self._self = atoms.self_scattering(s_squared)
        self._sharpness = self._self / atoms.self_scattering(np.zeros(1))[0]

    def values(self, gamma: float, n_orders: int) -> Float[np.ndarray, "orders points"]:
        """[Σ|F_m|² ∗ Γ] with γ/n for n = 1 … N (e² per cell)."""
        values = np.empty((n_orders, len(self._places)))
        for n, product in self._products(gamma, n_orders):
            values[n - 1] = self._sharpness * self._back(product) + self._self
        return values

    def with_slopes(
        self, gamma: float, n_orders: int
    ) -> tuple[Float[np.ndarray, "orders points"], Float[np.ndarray, "orders points"]]:
        """Return the values and their derivatives to γ."""
        values = np.empty((n_orders, len(self._places)))
        slopes = np.empty_like(values)
        for n, product in self._products(gamma, n_orders):
            values[n - 1] = self._sharpness * self._back(product) + self._self
            slope = self._back(product * self._distance)
            slopes[n - 1] = self._sharpness * slope * (n / gamma**2)
        return values, slopes

    def _products(self, gamma: float, n_orders: int) -> Iterator[tuple[int, np.ndarray]]:
        decay = np.exp(-self._distance / gamma)
        product = self._patterson.copy()
        for n in range(1, n_orders + 1):
            product *= decay
            yield n, product

    def at(self, numbers: Integer[np.ndarray, " chosen"]) -> ConfinedTransform:
        """Return the same for some of the points."""
        some = copy(self)
        some._places = self._places[numbers]
        some._self = self._self[numbers]
        some._sharpness = self._sharpness[numbers]
        return some

    def _back(self, product: np.ndarray) -> np.ndarray:
        folded = product.reshape(self._blocks).sum(axis=(0, 2, 4))
        spectrum = fft.rfftn(folded, workers=cpu_count()).real
        at_points: np.ndarray = spectrum.ravel()[self._places]
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
    room = 2.1 * extent / np.array(divisions)
    factor: np.ndarray = np.maximum(np.ceil(room), 1).astype(np.int64)
    return factor


def _coarse_shape(sphere: Integer[np.ndarray, "points 3"], factor: np.ndarray) -> np.ndarray:
    """Shape of the grid of the map that holds the transform, in its own voxels."""
    least = np.ceil((2 * np.abs(sphere).max(axis=0) + 1) / factor)
    return np.array([fft.next_fast_len(int(n), real=True) for n in least])


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
