"""Whole voxels drawn from rows that are read slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from unstill.maps.observations import Observations
from unstill.reduction.merging.representatives import merging_operations, packed_representatives
from unstill.reduction.merging.row_pool import RowPool
from unstill.reduction.scaling.rows import (
    VoxelRows,
    drawn,
    joined_rows,
    random_voxels,
    usable_rows,
    voxel_rows,
)


@dataclass(frozen=True, eq=False)
class SortedSlabs:
    """Slabs of a pool with their rows sorted by voxel; sorted once where they are in memory."""

    pool: RowPool
    _kept: list[VoxelRows] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[slice, Observations, VoxelRows]]:
        for places, table in self.pool.slabs():
            rows = self._kept[0] if self._kept else voxel_rows(table)
            if self.pool.in_memory and not self._kept:
                self._kept.append(rows)
            yield places, table, rows

    def sorted_part(self, fraction: float, seed: int) -> Iterator[VoxelRows]:
        """Yield the rows of a random part of the voxels, slab by slab; only these are sorted."""
        if self.pool.in_memory:
            for _, _, rows in self:
                chosen = random_voxels(rows, fraction, seed) if fraction < 1 else None
                yield rows if chosen is None else rows.take_voxels(chosen)
            return
        for _, table in self.pool.slabs():
            part = table.take(drawn(table, table.index, fraction, seed)) if fraction < 1 else table
            yield voxel_rows(part)


@dataclass(frozen=True)
class Counted:
    """Rows that can be used, those whose voxel has others, and voxels."""

    usable: int
    with_mates: int
    voxels: int
    sweep_names: tuple[str, ...]


def count_rows(slabs: SortedSlabs) -> Counted:
    """Count the rows of all slabs."""
    usable = with_mates = voxels = 0
    names: tuple[str, ...] = ()
    for _, table in slabs.pool.slabs():
        # Nothing but keys is sorted for this.
        operations = merging_operations(table.crystal, table.divisions)
        key = packed_representatives(operations, table.index[usable_rows(table)])
        multiplicity = np.unique(key, return_counts=True)[1]
        usable, voxels = usable + len(key), voxels + len(multiplicity)
        with_mates += int(multiplicity[multiplicity > 1].sum())
        names = tuple(table.sweep_names)
    return Counted(usable, with_mates, voxels, names)


def draw_voxels(
    slabs: SortedSlabs, n_rows: int, max_rows: int, seed: int, *, lonely: bool = False
) -> VoxelRows:
    """Return all rows of voxels with mates, or those of a random part of the voxels.

    A voxel is drawn by a hash of its index and the seed, so that the same
    voxels are drawn however they are cut into slabs.

    Parameters
    ----------
    slabs
        Where they come from.
    n_rows
        Rows that there are to draw from.
    max_rows
        About so many rows at most.
    seed
        Of the draw.
    lonely
        Draw from voxels without mates too.
    """
    fraction = max_rows / max(n_rows, 1)
    parts = []
    for rows in slabs.sorted_part(fraction, seed):
        part = rows if lonely else rows.take_voxels(rows.multiplicity() > 1)
        if len(part):
            parts.append(part)
    if not parts:
        # A hash may draw none of very few.
        return draw_voxels(slabs, n_rows, n_rows, seed, lonely=lonely)
    return joined_rows(parts)
