"""A part of reciprocal space in which crystals are compared.

Whether crystals belong together, and how each is indexed, some ten thousand voxels
tell. Of many rows only those of a fixed part of all voxels are therefore read:
orbits of voxels under all indexings that the lattice allows, drawn by a hash, so that a voxel
stays in the part however a crystal is indexed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import index_operations
from unstill.maps.observations import Observations
from unstill.reduction.crystals.ambiguity import usable_operators
from unstill.reduction.crystals.crystal_tables import CrystalTable
from unstill.reduction.crystals.reindex import index_matrix
from unstill.reduction.merging.halves import splitmix64
from unstill.reduction.merging.representatives import packed_representatives

MOST_ROWS = 2_000_000
"""Rows of all crystals together that are compared, about."""


def common_part(
    blocks: Iterator[Observations], n_rows: int, *, most_rows: int = MOST_ROWS
) -> Iterator[Observations]:
    """Yield the rows of one part of reciprocal space, block by block.

    Parameters
    ----------
    blocks
        Rows of crystals of one lattice, indexed as they came.
    n_rows
        How many there are; with ``most_rows`` or fewer all are given back.
    most_rows
        About how many to keep.
    """
    share = most_rows / max(n_rows, 1)
    matrices: Sequence[np.ndarray] | None = None
    for block in blocks:
        if share >= 1:
            yield block
            continue
        if matrices is None:
            matrices = _indexings(block.crystal, block.divisions)
        operations = index_operations(block.crystal, block.divisions)
        orbit = np.full(len(block), np.iinfo(np.int64).min)
        for matrix in matrices:
            # An orbit has one largest representative.
            key = packed_representatives(operations, block.index @ matrix)
            orbit = np.maximum(orbit, key)
        draw = splitmix64(orbit.astype(np.uint64)) / 2.0**64
        yield block.take(draw < share)


def _indexings(crystal: Crystal, divisions: Triple) -> list[np.ndarray]:
    nothing = np.zeros(0)
    table = CrystalTable(crystal, divisions, np.zeros((0, 3), np.int32), nothing, nothing, 0)
    return [index_matrix(operator, divisions) for operator in usable_operators(table)]
