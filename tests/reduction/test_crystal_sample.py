"""A voxel is in the compared part, or not, however its crystal is indexed."""

from __future__ import annotations

import numpy as np
from synthetic_rows import TETRAGONAL, draw

from unstill.crystal.reindexing import candidate_operators
from unstill.crystal.symmetry import map_to_asu
from unstill.maps.observations import concatenate
from unstill.reduction.crystals.crystal_sample import common_part
from unstill.reduction.crystals.reindex import reindex_observations


def test_few_rows_are_all_compared():
    rows = draw(n_sweeps=1).observations
    (found,) = common_part(iter([rows]), len(rows))
    assert found is rows


def test_a_part_holds_whole_orbits_under_every_indexing():
    rows = draw(TETRAGONAL, d_min=1.7, n_sweeps=2).observations
    operators = candidate_operators(TETRAGONAL)
    assert len(operators) > 1
    n = len(rows)
    kept = concatenate(list(common_part(iter([rows]), n, most_rows=n // 5)))
    assert 0.15 < len(kept) / n < 0.25
    for operator in operators:
        turned = reindex_observations(rows, operator)
        again = concatenate(list(common_part(iter([turned]), n, most_rows=n // 5)))
        back = reindex_observations(again, operator.inverse)
        np.testing.assert_array_equal(back.index, kept.index)
    # Whole orbits: a voxel of the part is in it wherever it was seen.
    asu = [map_to_asu(TETRAGONAL, part.index, part.divisions) for part in (rows, kept)]
    inside = {tuple(voxel) for voxel in asu[1].tolist()}
    assert sum(tuple(voxel) in inside for voxel in asu[0].tolist()) == len(kept)
