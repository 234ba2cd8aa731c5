"""Blocks of reciprocal space: what a bootstrap may draw independently."""

from __future__ import annotations

import numpy as np

from unstill.crystal.symmetry import map_to_asu
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Int, Mask

N_BLOCKS = 64


def reciprocal_blocks(
    full: IntensityMap, *, n_blocks: int = N_BLOCKS, usable: Mask | None = None
) -> Int[np.ndarray, "h k l"]:
    """Label every voxel with a cubic block of the asymmetric wedge.

    Diffuse features are wider than a voxel and repeat at symmetry mates, so
    single voxels are not independent. Here mates share a block, and a block
    is as many voxels wide as it takes to have about ``n_blocks`` of them.

    Parameters
    ----------
    full
        The map; its Laue group must fit its divisions.
    n_blocks
        Blocks to aim at. Blocks at the rim are partly empty, so that there
        are rather more.
    usable
        Voxels to count when the width is chosen; the map's own by default.

    Returns
    -------
    label
        ``(h, k, l)`` block of every voxel, 0, 1, 2, ... without gaps.
    """
    counted = full.measured if usable is None else usable
    wedge = map_to_asu(full.crystal, full.grid.index(), full.grid.divisions)
    n_unique = len(np.unique(wedge[counted], axis=0))
    edge = max(1, round((n_unique / n_blocks) ** (1 / 3)))
    block = wedge // edge
    low = block.reshape(-1, 3).min(axis=0)
    span = block.reshape(-1, 3).max(axis=0) - low + 1
    flat = np.ravel_multi_index(tuple(np.moveaxis(block - low, -1, 0)), tuple(span))
    _, label = np.unique(flat, return_inverse=True)
    labels: np.ndarray = label.reshape(full.grid.shape)
    return labels


def bootstrap_weights(
    n_blocks: int, n_draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "draws blocks"]:
    """How often each block occurs in draws with replacement; rows sum to ``n_blocks``."""
    counts: np.ndarray = rng.multinomial(
        n_blocks, np.full(n_blocks, 1 / n_blocks), size=n_draws
    ).astype(np.int64)
    return counts
