"""Voxels of a map that count: those that are known, near what moves."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Bool, Coord


def region_mask(
    crystal: Crystal,
    shape: tuple[int, ...],
    known: np.ndarray,
    region: Coord | None,
    radius: float,
) -> Bool[np.ndarray, "nu nv nw"]:
    """Return the voxels that are known in the map, and near the region or its mates' images.

    Parameters
    ----------
    crystal
        Cell of the map.
    shape
        Grid of the mask.
    known
        Voxels of the map that have values, on a grid of its own.
    region, radius
        Points (Å) and how far around them (Å); all of the map without points.

    Raises
    ------
    InputError
        If nothing of the map is known there.
    """
    nearest = [np.arange(n) * m // n for n, m in zip(shape, known.shape, strict=True)]
    mask: np.ndarray = known[np.ix_(*nearest)]
    if region is not None:
        near = np.zeros(shape, dtype=bool)
        frac = crystal.fractional(np.asarray(region, dtype=float))
        near[tuple((np.rint(frac * shape).astype(int) % shape).T)] = True
        near = _grown(near, crystal, radius)
        mask = mask & near
    if not mask.any():
        raise InputError(
            "the map knows nothing where the model is",
            found="no known voxel in the region",
            fix="check that map and model stand in the same frame",
        )
    return mask


def _grown(near: np.ndarray, crystal: Crystal, radius: float) -> np.ndarray:
    """Voxels within a radius of those that are set, across cell edges."""
    step = crystal.orthogonalization_matrix / np.array(near.shape)
    heights = 1 / np.linalg.norm(crystal.fractionalization_matrix, axis=1)
    reach = np.ceil(radius / heights * near.shape).astype(int)
    offsets = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1)
    ball = ((offsets @ step.T) ** 2).sum(axis=-1) <= radius**2
    pad = [(n, n) for n in reach]
    wide = np.pad(near, pad, mode="wrap")
    grown = scipy.ndimage.binary_dilation(wide, structure=ball)
    inner: np.ndarray = grown[
        tuple(slice(n, n + m) for n, m in zip(reach, near.shape, strict=True))
    ]
    return inner
