"""The voxels of a map that lie on a coarser grid, as they are."""

from __future__ import annotations

from unstill.crystal import HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap


def thin_out(full: IntensityMap, divisions: Triple) -> IntensityMap:
    """Keep the voxels whose hkl lie on a grid of fewer divisions; no averaging.

    Brings the map of a 2 × 2 × 2 supercell onto the integer hkl of a map that
    was measured there. To average over neighbours instead, see
    :func:`unstill.maps.resample.resample`.

    Parameters
    ----------
    full
        A map.
    divisions
        Each must divide that of the map.

    Raises
    ------
    InputError
        If one does not divide, or no voxel is left.

    Examples
    --------
    >>> import numpy as np
    >>> from unstill.crystal import Crystal
    >>> grid = HklGrid((-3, 0, 0), (6, 1, 1), (2, 1, 1))
    >>> crystal = Crystal((10.0, 10.0, 10.0, 90.0, 90.0, 90.0))
    >>> full = IntensityMap(crystal, grid, np.arange(6.0).reshape(6, 1, 1))
    >>> thin = thin_out(full, (1, 1, 1))
    >>> thin.grid.axes()[0].tolist(), thin.intensity.ravel().tolist()
    ([-1.0, 0.0, 1.0], [1.0, 3.0, 5.0])
    """
    steps = [fine // coarse for fine, coarse in zip(full.grid.divisions, divisions, strict=True)]
    if any(
        step * coarse != fine
        for step, coarse, fine in zip(steps, divisions, full.grid.divisions, strict=True)
    ):
        raise InputError(
            "the coarser grid is not part of the map's grid",
            found=f"divisions {tuple(divisions)} of a map with {full.grid.divisions}",
            fix="give divisions that divide those of the map",
        )
    offsets = [-start % step for start, step in zip(full.grid.start, steps, strict=True)]
    if any(offset >= n for offset, n in zip(offsets, full.grid.shape, strict=True)):
        raise InputError(
            "no voxel of the map lies on the coarser grid",
            found=f"a map of {full.grid.shape} voxels",
            fix="use a larger map",
        )
    picked = tuple(slice(offset, None, step) for offset, step in zip(offsets, steps, strict=True))
    h, k, l = (
        (start + offset) // step
        for start, offset, step in zip(full.grid.start, offsets, steps, strict=True)
    )
    intensity = full.intensity[picked]
    return full.replace(
        grid=HklGrid((h, k, l), intensity.shape, divisions),
        intensity=intensity,
        sigma=None if full.sigma is None else full.sigma[picked],
        n_obs=None if full.n_obs is None else full.n_obs[picked],
        mask=full.mask[picked],
    )
