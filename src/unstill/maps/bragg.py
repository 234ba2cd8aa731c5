"""Where the Bragg peaks stand, and masking them."""

from __future__ import annotations

from itertools import product

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Float


def mask_bragg(full: IntensityMap, radius: float = 0.0) -> IntensityMap:
    """Mask the voxels at integer hkl, and those within a distance of them.

    With divisions n₁, n₂, n₃ and radius 0 one voxel in n₁n₂n₃ is masked: 1/64
    of a 4 × 4 × 4 map whose shape is a multiple of 4 along each axis, wherever
    its box starts. All integer hkl count, also those that are absent by
    centring or screw axes.

    Parameters
    ----------
    full
        The map; ``n_obs`` stays, so that the voxels read as measured and excluded.
    radius
        In Å⁻¹. Thermal diffuse halos reach further than the peak itself.

    Raises
    ------
    InputError
        If the radius is negative, or so large that no voxel is left.
    """
    if not radius >= 0:
        raise InputError("the radius cannot be negative", found=radius, fix="give it in Å⁻¹")
    near = bragg_distance(full) <= radius * (1 + 1e-9)
    if near.all():
        raise InputError(
            "the Bragg mask leaves no voxel",
            found=f"radius {radius:g} Å⁻¹, divisions {full.grid.divisions}",
            fix="lower the radius, or use a map with finer divisions",
        )
    return full.replace(mask=full.mask | near)


def bragg_distance(full: IntensityMap) -> Float[np.ndarray, "h k l"]:
    """Distance (Å⁻¹) of every voxel from the nearest integer hkl, exactly zero there."""
    table = _distance_by_offset(full.crystal, full.grid.divisions)
    axes = [
        np.arange(start, start + n) % division
        for start, n, division in zip(
            full.grid.start, full.grid.shape, full.grid.divisions, strict=True
        )
    ]
    distance: np.ndarray = table[np.ix_(*axes)]
    return distance


def _distance_by_offset(crystal: Crystal, divisions: Triple) -> np.ndarray:
    """Distance from the lattice for each of the n₁n₂n₃ offsets, by H modulo the divisions."""
    offsets = np.moveaxis(np.indices(divisions), 0, -1) / np.array(divisions)
    # In a skew cell the nearest lattice point is not the nearest in each coordinate.
    neighbours = np.array(list(product((-1, 0, 1, 2), repeat=3)))
    squared = crystal.s_squared(offsets[..., np.newaxis, :] - neighbours)
    distance: np.ndarray = np.sqrt(squared.min(axis=-1))
    return distance
