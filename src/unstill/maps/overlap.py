"""Two maps on the box that they share."""

from __future__ import annotations

import numpy as np

from unstill.crystal import HklGrid
from unstill.crystal.hkl_grid import Triple, common_divisions
from unstill.crystal.same_lattice import same_lattice
from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap


def overlap(a: IntensityMap, b: IntensityMap) -> tuple[IntensityMap, IntensityMap]:
    """Crop two maps to their common box of fractional hkl.

    Space groups play no part here: maps of one Laue class, or of several,
    share a box if they share a lattice.

    Returns
    -------
    a, b
        On one grid; crystals, values and masks as they were.

    Raises
    ------
    InputError
        If the unit cells differ by more than 1 %, the divisions differ, or the
        boxes share no voxel.

    Examples
    --------
    >>> from unstill.crystal import Crystal
    >>> crystal = Crystal((30.0, 30.0, 40.0, 90.0, 90.0, 90.0))
    >>> a = IntensityMap(crystal, HklGrid((-2, -2, -2), (5, 5, 5)), np.ones((5, 5, 5)))
    >>> b = IntensityMap(crystal, HklGrid((0, -1, -4), (5, 3, 9)), np.ones((5, 3, 9)))
    >>> [m.grid.shape for m in overlap(a, b)]
    [(3, 3, 5), (3, 3, 5)]
    """
    if not same_lattice(a.crystal, b.crystal):
        raise InputError(
            "wrong cell: the unit cells of the two maps differ by more than 1 %",
            found=f"{a.crystal.unit_cell} and {b.crystal.unit_cell}",
            fix="check the cells, or reindex one map (for example k,l,h) so that its axes match",
        )
    common_divisions([a.grid, b.grid])
    start = np.maximum(a.grid.start, b.grid.start)
    stop = np.minimum(a.grid.stop, b.grid.stop)
    if np.any(stop <= start):
        raise InputError(
            "the maps have no common voxels",
            found=f"hkl {_range(a.grid)} and {_range(b.grid)}",
            fix="check the indexing of both, or expand them by symmetry: "
            "unstill map symmetrize --expand",
        )
    h, k, l = (int(value) for value in start)
    n_h, n_k, n_l = (int(value) for value in stop - start)
    return crop(a, (h, k, l), (n_h, n_k, n_l)), crop(b, (h, k, l), (n_h, n_k, n_l))


def crop(full: IntensityMap, start: Triple, shape: Triple) -> IntensityMap:
    """Cut a box out of a map, given by the grid index of its first voxel and its shape.

    Raises
    ------
    InputError
        If the box leaves the map.
    """
    if full.grid.start == start and full.grid.shape == shape:
        return full
    first = np.array(start) - full.grid.start
    if np.any(first < 0) or np.any(first + shape > np.array(full.grid.shape)):
        raise InputError(
            "the box leaves the map",
            found=f"start {start}, shape {shape} in a map of {full.grid.start}, {full.grid.shape}",
            fix="give a box inside the map",
        )
    box = tuple(slice(int(i), int(i) + n) for i, n in zip(first, shape, strict=True))
    return full.replace(
        grid=HklGrid(start, shape, full.grid.divisions),
        intensity=full.intensity[box],
        sigma=None if full.sigma is None else full.sigma[box],
        n_obs=None if full.n_obs is None else full.n_obs[box],
        mask=full.mask[box],
    )


def _range(grid: HklGrid) -> str:
    ends = [f"{axis[0]:g}..{axis[-1]:g}" for axis in grid.axes()]
    return "(" + ", ".join(ends) + ")"
