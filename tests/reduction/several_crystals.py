"""Rows of many crystals: some of another form, some indexed in another way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from synthetic_rows import TETRAGONAL, draw, smooth_truth

from unstill.crystal.reindexing import candidate_operators
from unstill.maps.observations import Observations, concatenate
from unstill.reduction.crystals.crystal_tables import CrystalTable, crystal_tables
from unstill.reduction.crystals.reindex import reindex_observations


def rows_of_crystals(
    n: int,
    *,
    planted: Sequence[int] | None = None,
    other: Sequence[int] = (),
    counts: float = 30.0,
    coverage: float = 0.5,
    d_min: float = 3.0,
) -> tuple[Observations, np.ndarray, np.ndarray]:
    """Sweep i is crystal i; ``other`` have another structure, ``planted`` another indexing."""
    operators = candidate_operators(TETRAGONAL)
    parts, scales, offsets = [], [], []
    for i in range(n):
        drawn = draw(
            counts=counts,
            coverage=coverage,
            n_sweeps=1,
            seed=100 + i,
            d_min=d_min,
            truth=smooth_truth(TETRAGONAL, phase=2.0 if i in other else 0.0),
        )
        rows = drawn.observations
        rows = rows.replace(sweep=rows.sweep + np.int32(i), sweep_names=("sweep",) * n)
        operator = operators[0 if planted is None else planted[i]].inverse
        parts.append(reindex_observations(rows, operator))
        # A scale of its own, which has no part in any correlation.
        scales.append(drawn.scale * (1 + i % 3))
        offsets.append(drawn.offset)
    return concatenate(parts), np.concatenate(scales), np.concatenate(offsets)


def tables_of_crystals(n: int, **options) -> list[CrystalTable]:
    rows, scale, offset = rows_of_crystals(n, **options)
    return crystal_tables(rows, scale=scale, offset=offset)
