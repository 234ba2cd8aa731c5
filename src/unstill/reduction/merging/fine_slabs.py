"""Cutting reciprocal space into slabs that are merged one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.reduction.merging.representatives import merging_operations, representatives
from unstill.reduction.merging.unique_voxels import unique_by_plane
from unstill.shapes import Int, Integer

_SAMPLED_TO = 40
"""Planes of a coarser lattice that the sizes of slabs are judged by."""


@dataclass(frozen=True, eq=False)
class Slabs:
    """Ranges of the first index of the representative: every voxel lies whole in one.

    Parameters
    ----------
    crystal, divisions
        The lattice and its sampling.
    operations
        What makes voxels one.
    edges
        ``(n + 1,)`` ascending; slab i holds edges[i] ≤ H < edges[i + 1] of the
        representatives.
    grid
        Box that holds all representatives.
    d_min
        Resolution limit (Å).
    """

    crystal: Crystal
    divisions: Triple
    operations: Int[np.ndarray, "n_operations 3 3"]
    edges: Int[np.ndarray, " edges"]
    grid: HklGrid
    d_min: float

    def __len__(self) -> int:
        return len(self.edges) - 1

    def slab_of(self, index: Integer[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        """Return the slab of rows, from their index as measured; −1 beyond d_min."""
        representative = representatives(self.operations, index)[0]
        s_squared = self.crystal.s_squared(representative / np.array(self.divisions))
        inside = self.grid.contains(representative) & (s_squared <= (1 + 1e-9) / self.d_min**2)
        number = np.searchsorted(self.edges, representative[:, 0], side="right") - 1
        slab: np.ndarray = np.where(inside, np.clip(number, 0, len(self) - 1), -1)
        return slab

    def box(self, slab: int) -> HklGrid:
        """Box of one slab: some planes of the whole."""
        low, high = int(self.edges[slab]), int(self.edges[slab + 1])
        start = (low, *self.grid.start[1:])
        return HklGrid(start, (high - low, *self.grid.shape[1:]), self.divisions)


def cut_slabs(
    crystal: Crystal,
    divisions: Triple,
    d_min: float,
    n_slabs: int,
    *,
    symmetry: bool = True,
    friedel: bool = True,
) -> Slabs:
    """Cut the representatives of a sphere into slabs of about as many voxels each.

    Parameters
    ----------
    crystal, divisions
        The lattice and its sampling.
    d_min
        Radius of the sphere is 1/d_min; rows beyond it belong to no slab.
    n_slabs
        How many; fewer where there are not so many planes.
    symmetry, friedel
        What is merged, as in :func:`~unstill.reduction.merging.merge.merge_observations`.

    Raises
    ------
    InputError
        If there is no slab to cut, or the divisions do not allow the Laue group.
    """
    if n_slabs < 1:
        raise InputError("a map needs a slab at least", found=n_slabs, fix="give 1 or more")
    operations = merging_operations(crystal, divisions, symmetry=symmetry, friedel=friedel)
    covering = HklGrid.covering(crystal, d_min, divisions)
    planes, counts, low, high = _wedge(crystal, covering, operations, d_min)
    start = (int(low[0]), int(low[1]), int(low[2]))
    h, k, l = (int(value) for value in high - low + 1)
    grid = HklGrid(start, (h, k, l), divisions)
    share = np.cumsum(counts) / counts.sum()
    targets = np.arange(1, n_slabs) / n_slabs
    inner = planes[np.searchsorted(share, targets)] + 1
    edges = np.unique(np.concatenate([[grid.start[0]], inner, [grid.stop[0]]]))
    edges = edges[(edges >= grid.start[0]) & (edges <= grid.stop[0])]
    return Slabs(crystal, divisions, operations, edges, grid, d_min)


def _wedge(
    crystal: Crystal, covering: HklGrid, operations: np.ndarray, d_min: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Planes of the wedge with about their voxels, and its corners, from a coarser lattice.

    The wedge is a cone: what holds for a coarse sphere holds for a fine one.
    """
    coarse = max(1.0, covering.stop[0] / _SAMPLED_TO)
    radius = 1 / (d_min * coarse)
    first, counts, low, high = unique_by_plane(crystal, covering.divisions, operations, radius)
    most = np.array(covering.stop) - 1
    # A side of the wedge that the coarse sphere does not touch, the fine one does not either.
    bottom = np.where(low < 0, -most, 0)
    top = np.where(high > 0, most, 0)
    planes = np.arange(bottom[0], top[0] + 1)
    at = np.interp(planes / coarse, np.arange(first, first + len(counts)), counts)
    return planes, np.maximum(at, 1e-9), bottom, top
