"""Averaging a map over its Laue group."""

from __future__ import annotations

from typing import Literal

import numpy as np

from unstill.crystal import HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import check_metric, index_operations, map_to_asu
from unstill.errors import InputError
from unstill.maps.copies import copy_numbers
from unstill.maps.intensity_map import IntensityMap

Weights = Literal["equal", "sigma"]


def symmetrize(
    full: IntensityMap, *, weights: Weights = "equal", expand: bool = False
) -> IntensityMap:
    r"""Give every voxel the mean of its Laue orbit.

    .. math:: \bar I(h) = \sum_{h'} w(h') I(h') / \sum_{h'} w(h')

    over the usable voxels h' of the orbit of h (point group and Friedel's
    law), each counted once. A voxel is masked only if its whole orbit is.

    Parameters
    ----------
    full
        A map on a grid whose divisions allow the Laue group.
    weights
        ``"equal"``, or ``"sigma"`` for 1/σ² (voxels with σ = 0 then carry no
        weight). Equal is the default, because sigmas that were estimated from
        the counts themselves pull a weighted mean towards its low members.
    expand
        Enlarge the box to hold all mates, for maps that cover a part of
        reciprocal space. Otherwise the box stays.

    Returns
    -------
    averaged
        ``sigma`` is propagated, ``n_obs`` is the sum over the orbit. Mates that
        are copies of each other (:mod:`unstill.maps.copies`) count as one
        observation there, so that averaging twice changes neither.

    Raises
    ------
    InputError
        If the unit cell does not have the symmetry of the group, divisions
        differ along axes that it mixes, or weights by sigma are asked of a map
        without sigma.
    """
    check_metric(full.crystal)
    if weights == "sigma" and full.sigma is None:
        raise InputError(
            "the map has no sigma to weight by",
            found="intensities alone",
            fix="use equal weights (--weights equal)",
        )
    orbits = _Orbits(full, expand=expand)
    used = full.measured.ravel()
    weight = used.astype(float)
    if weights == "sigma" and full.sigma is not None:
        weight *= inverse_variance(full.sigma.ravel())
    total = orbits.sum(weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = orbits.sum(np.where(used, weight * full.intensity.ravel(), 0.0)) / total
        sigma = None
        if full.sigma is not None:
            variance = orbits.sum_of_squares(np.where(used, weight * full.sigma.ravel(), 0.0))
            sigma = orbits.spread(np.sqrt(variance) / total, np.nan)
    return IntensityMap(
        crystal=full.crystal,
        grid=orbits.grid,
        intensity=orbits.spread(mean, np.nan),
        sigma=sigma,
        n_obs=_summed_observations(full, orbits, used),
        mask=orbits.spread(total, 0.0) <= 0,
        provenance=full.provenance,
    )


def inverse_variance(sigma: np.ndarray) -> np.ndarray:
    """Weight 1/σ²; zero where σ is zero, negative or not finite, which is not a measurement."""
    known = np.isfinite(sigma) & (sigma > 0)
    weight: np.ndarray = np.where(known, 1 / np.where(known, sigma, 1.0).astype(float) ** 2, 0.0)
    return weight


class _Orbits:
    """Which voxels of a map belong together, and where their mates lie on the new grid."""

    def __init__(self, full: IntensityMap, *, expand: bool) -> None:
        divisions = full.grid.divisions
        self.grid = _closed(full) if expand else full.grid
        index = self.grid.index().reshape(-1, 3)
        representative = map_to_asu(full.crystal, index, divisions)
        _, label = np.unique(_keys(representative), return_inverse=True)
        self._label = label.ravel()
        self._n_orbits = int(self._label.max()) + 1
        inside = self.grid.position(full.grid.index().reshape(-1, 3)) if expand else slice(None)
        self._source = self._label[inside]
        self._copy = copy_numbers(full).ravel()
        self._orbit_of_copy = np.zeros(int(self._copy.max()) + 1, dtype=np.int64)
        self._orbit_of_copy[self._copy] = self._source

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over each orbit of one value a voxel of the old map."""
        return np.bincount(self._source, weights=values, minlength=self._n_orbits)

    def sum_of_squares(self, values: np.ndarray) -> np.ndarray:
        """Sum over each orbit of the squares; copies, which err together, are added before."""
        together = np.bincount(self._copy, weights=values)
        return self._sum_of_copies(together**2)

    def sum_once(self, values: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Sum over each orbit of the counted voxels, with the mean of copies for all of them."""
        total = np.bincount(self._copy, weights=np.where(counted, values, 0))
        return self._sum_of_copies(total / np.maximum(np.bincount(self._copy, counted), 1))

    def _sum_of_copies(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self._orbit_of_copy, weights=values, minlength=self._n_orbits)

    def spread(self, values: np.ndarray, empty: float) -> np.ndarray:
        """Value of its orbit for each voxel of the new map."""
        spread: np.ndarray = np.where(np.isfinite(values), values, empty)[self._label]
        return spread.reshape(self.grid.shape)


def _summed_observations(
    full: IntensityMap, orbits: _Orbits, used: np.ndarray
) -> np.ndarray | None:
    if full.n_obs is None:
        return None
    n_obs = full.n_obs.ravel()
    counted = orbits.sum_once(n_obs, used)
    # An orbit without a usable voxel keeps the trace of having been measured and excluded.
    excluded = orbits.sum_once(n_obs, ~used)
    has_used = orbits.sum(used.astype(float)) > 0
    summed = orbits.spread(np.where(has_used, counted, excluded), 0.0)
    whole = np.issubdtype(full.n_obs.dtype, np.integer)
    return np.rint(summed).astype(np.int64) if whole else summed


def _closed(full: IntensityMap) -> HklGrid:
    """Return the smallest box that holds the map and all mates of its usable voxels."""
    low, high = np.array(full.grid.start), np.array(full.grid.stop) - 1
    # Mates of the corners would not do: in hexagonal axes the box would grow each time.
    index = full.grid.index()[full.measured]
    for operation in index_operations(full.crystal, full.grid.divisions):
        moved = index @ operation
        if len(moved):
            low = np.minimum(low, moved.min(axis=0))
            high = np.maximum(high, moved.max(axis=0))
    start: Triple = (int(low[0]), int(low[1]), int(low[2]))
    h, k, l = (int(value) for value in high - low + 1)
    return HklGrid(start, (h, k, l), full.grid.divisions)


def _keys(index: np.ndarray) -> np.ndarray:
    low = index.min(axis=0)
    span = index.max(axis=0) - low + 1
    keys: np.ndarray = np.ravel_multi_index(tuple((index - low).T), tuple(span))
    return keys
