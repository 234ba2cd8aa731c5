"""Laue mates that are copies of each other: one observation, told several times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.crystal.symmetry import index_operations, largest_mate
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Int

_MOST_TESTED = 50_000
_RELATIVE = 1e-5
"""Copies differ by rounding at most: single precision, sums in another order."""


def copy_numbers(full: IntensityMap) -> Int[np.ndarray, "h k l"]:
    """Return the number of the observation behind each voxel; copies share one.

    A map that was filled by Friedel's law, or averaged before, holds every
    value at several mates. Averaging them again teaches nothing, and to count
    each would make the standard uncertainty too small. An operation makes
    copies if it leaves every usable intensity as it is; noise does that
    nowhere.

    Parameters
    ----------
    full
        A map on a grid whose divisions allow the Laue group.

    Returns
    -------
    number
        ``(h, k, l)``, 0, 1, 2, ... without gaps; different for all voxels of a
        map that holds no copies.

    Raises
    ------
    InputError
        If the divisions do not allow the Laue group.
    """
    operations = index_operations(full.crystal, full.grid.divisions)
    index = full.grid.index()
    tested_at = index[full.measured]
    if len(tested_at) > _MOST_TESTED:
        # Drawn and not every n-th, which might all lie in one plane.
        tested_at = np.random.default_rng(0).choice(tested_at, _MOST_TESTED, replace=False)
    tested = [_keeps(full, operation, tested_at) for operation in operations]
    # What no pair of voxels can tell makes no copies either, but may complete the group.
    for group in ([t is not False for t in tested], [t is True for t in tested]):
        if any(group[1:]) and _is_group(operations[group]):
            return _numbered(largest_mate(operations[group], index))
    return np.arange(full.grid.size).reshape(full.grid.shape)


def _keeps(full: IntensityMap, operation: np.ndarray, index: np.ndarray) -> bool | None:
    """Whether an operation leaves the intensities as they are; ``None`` if no pair tells."""
    mates = index @ operation
    pair = full.grid.contains(mates) & np.any(mates != index, axis=1)
    here, there = full.grid.position(index[pair]), full.grid.position(mates[pair])
    both = full.measured.ravel()[there]
    one, other = full.intensity.ravel()[here[both]], full.intensity.ravel()[there[both]]
    if len(one) == 0:
        return None
    rounding = 0.1 * _RELATIVE * float(np.sqrt(np.mean(one.astype(float) ** 2)))
    return bool(np.allclose(one, other, rtol=_RELATIVE, atol=rounding))


def _is_group(operations: np.ndarray) -> bool:
    members = {operation.tobytes() for operation in operations}
    products: Sequence[np.ndarray] = np.einsum("aij,bjk->abik", operations, operations).reshape(
        -1, 3, 3
    )
    return all(np.ascontiguousarray(product).tobytes() in members for product in products)


def _numbered(representative: np.ndarray) -> np.ndarray:
    shape = representative.shape[:-1]
    flat = representative.reshape(-1, 3)
    low = flat.min(axis=0)
    keys = np.ravel_multi_index(tuple((flat - low).T), tuple(np.ptp(flat, axis=0) + 1))
    _, number = np.unique(keys, return_inverse=True)
    numbers: np.ndarray = number.reshape(shape)
    return numbers
