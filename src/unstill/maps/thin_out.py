"""The voxels of a map, or the points of block sums, that lie on a coarser grid, as they are."""

from __future__ import annotations

from dataclasses import replace

from unstill.crystal import HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
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
    steps = _steps(full.grid.divisions, divisions)
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


def thin_out_sums(sums: BlockSums, divisions: Triple) -> BlockSums:
    """Keep the points of block sums at which a map of fewer divisions has voxels.

    Sampling noise differs between Bragg positions and the points between
    them, so a ceiling must be that of the points compared. The divisions stay
    those of the supercell.

    Parameters
    ----------
    sums
        Block sums.
    divisions
        Each must divide that of the sums.

    Raises
    ------
    InputError
        If one does not divide.
    """
    steps = _steps(sums.divisions, divisions)
    chosen = (sums.index % steps == 0).all(axis=1)
    if chosen.all():
        return sums
    return replace(
        sums, index=sums.index[chosen], s1=sums.s1[..., chosen], s2=sums.s2[..., chosen]
    )


def _steps(fine: Triple, coarse: Triple) -> list[int]:
    steps = [old // new for old, new in zip(fine, coarse, strict=True)]
    if any(step * new != old for step, new, old in zip(steps, coarse, fine, strict=True)):
        raise InputError(
            "the coarser grid is not part of the map's grid",
            found=f"divisions {tuple(coarse)} of a map with {tuple(fine)}",
            fix="give divisions that divide those of the map",
        )
    return steps
