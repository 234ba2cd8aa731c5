"""Pairs of rows that are near each other and can be in one copy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from unstill.ensembles.contacts.coexistence import can_coexist
from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Float, Int

_ROWS_AT_ONCE = 8192


def near_pairs(
    model: Multiconformer,
    rows: Int[np.ndarray, " n_rows_used"],
    radius: float,
    *,
    observed: bool = False,
) -> Iterator[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]]:
    """Pairs (a < b) of different sites up to a distance apart, block by block.

    Blocks bound the memory: an ensemble of M members has M² pairs where one
    structure has one, and most of them are of states that exclude each other.

    Yields
    ------
    a, b, distance
        Rows and distances (Å).
    """
    if not len(rows):
        return
    rows = np.sort(rows)
    tree = cKDTree(model.coord[rows])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE]
        found = cKDTree(model.coord[block]).sparse_distance_matrix(
            tree, radius, output_type="ndarray"
        )
        a, b = block[found["i"]], rows[found["j"]]
        kept = (a < b) & (model.site[a] != model.site[b])
        a, b, distance = a[kept], b[kept], found["v"][kept]
        kept = can_coexist(model, model.state[a], model.state[b], observed=observed)
        yield a[kept], b[kept], distance[kept]
