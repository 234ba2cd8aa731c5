"""Planted reindexing is found among few crystals and many stills."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from several_crystals import rows_of_crystals, tables_of_crystals
from synthetic_rows import TETRAGONAL, draw, smooth_truth

from unstill.crystal import Crystal
from unstill.crystal.reindexing import candidate_operators, parse_operator
from unstill.errors import InputError
from unstill.maps.compare import compare
from unstill.maps.observations import concatenate
from unstill.maps.reindex import reindex
from unstill.reduction.crystals.ambiguity import resolve_ambiguity
from unstill.reduction.crystals.crystal_tables import crystal_tables
from unstill.reduction.crystals.reindex import reindex_observations
from unstill.reduction.merging.merge import merge_observations


def found_of(result):
    return np.array([result.candidates.index(crystal.operator) for crystal in result.crystals])


@pytest.mark.parametrize(
    ("n", "counts", "coverage"), [(2, 6, 0.5), (5, 6, 0.5), (100, 8, 0.08), (100, 30, 0.02)]
)
def test_planted_indexings_are_found(n, counts, coverage):
    planted = np.random.default_rng(n).integers(0, 2, n)
    result = resolve_ambiguity(
        tables_of_crystals(n, planted=planted, counts=counts, coverage=coverage)
    )
    found = found_of(result)
    # Relative to the crystal that sets the indexing.
    assert len(set(found ^ planted)) == 1
    assert result.undecided == ()
    assert min(crystal.margin for crystal in result.crystals) > 0.1


def test_a_reference_sets_the_indexing():
    planted = [0, 1, 1, 0]
    tables = tables_of_crystals(4, planted=planted)
    for reference in (0, 1):
        result = resolve_ambiguity(tables, reference=tables[reference])
        assert found_of(result).tolist() == [plant ^ planted[reference] for plant in planted]


def test_four_ways_to_index_are_told_apart():
    trigonal = Crystal((24.0, 24.0, 30.0, 90.0, 90.0, 120.0), "P 31")
    operators = candidate_operators(trigonal)
    assert len(operators) == 4
    parts, scales = [], []
    planted = [0, 1, 2, 3, 1, 2, 3, 0]
    for i, plant in enumerate(planted):
        drawn = draw(
            trigonal, truth=smooth_truth(trigonal), counts=20, n_sweeps=1, seed=i, d_min=4
        )
        rows = drawn.observations
        rows = rows.replace(sweep=rows.sweep + np.int32(i), sweep_names=("sweep",) * 8)
        parts.append(reindex_observations(rows, operators[plant].inverse))
        scales.append(drawn.scale)
    rows, scale = concatenate(parts), np.concatenate(scales)
    result = resolve_ambiguity(crystal_tables(rows, scale=scale, offset=np.full(len(rows), 0.1)))
    assert result.undecided == ()
    moved = rows
    for i, crystal in enumerate(result.crystals):
        moved = reindex_observations(moved, crystal.operator, rows=moved.sweep == i)
    merged = merge_observations(moved, scale, np.full(len(rows), 0.1))
    alone = merge_observations(parts[0], scales[0], np.full(len(parts[0]), 0.1))
    assert 0.9 < merged.chi2 < 1.1
    assert compare(merged.map, alone.map, reindex="auto").cc_aniso > 0.85


def test_noise_alone_decides_nothing():
    planted = np.arange(30) % 2
    result = resolve_ambiguity(tables_of_crystals(30, planted=planted, counts=0.3, coverage=0.01))
    assert len(result.undecided) > 15


def test_without_ambiguity_there_is_nothing_to_choose():
    crystal = Crystal((20.0, 20.0, 26.0, 90.0, 90.0, 90.0), "P 41 21 2")
    drawn = draw(crystal, truth=smooth_truth(crystal), d_min=4.0)
    result = resolve_ambiguity(crystal_tables(drawn.observations, scale=drawn.scale))
    assert [crystal.operator.name for crystal in result.crystals] == ["h,k,l", "h,k,l"]
    assert result.undecided == ()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("b", "number"), [(20.1, 2), (20.6, 1)])
def test_axes_that_are_equal_by_chance_are_an_ambiguity(b, number):
    crystal = Crystal((20.0, b, 26.0, 90.0, 90.0, 90.0), "P 21 21 21")
    drawn = draw(crystal, truth=smooth_truth(crystal), d_min=4.0)
    tables = crystal_tables(drawn.observations, scale=drawn.scale, offset=drawn.offset)
    candidates = resolve_ambiguity(tables).candidates
    assert len(candidates) == number
    moved = reindex_observations(drawn.observations, candidates[-1])
    assert moved.crystal.space_group == "P 21 21 21"
    assert moved.crystal.unit_cell[:2] == pytest.approx((20.0, b) if number == 1 else (b, 20.0))


@given(st.sampled_from(["k,h,-l", "-k,h,l", "-h,-k,-l", "h,k,l"]))
def test_reindexing_rows_reindexes_the_map(name):
    rows, scale, offset = rows_of_crystals(1, d_min=5.0)
    operator = parse_operator(name)
    moved = merge_observations(reindex_observations(rows, operator), scale, offset)
    there = reindex(merge_observations(rows, scale, offset).map, operator)
    assert there.grid == moved.map.grid
    np.testing.assert_allclose(there.intensity, moved.map.intensity, rtol=1e-9)
    back = reindex_observations(reindex_observations(rows, operator), operator.inverse)
    assert np.array_equal(back.index, rows.index)


def test_the_cell_follows_the_axes():
    crystal = Crystal((30.0, 35.0, 44.0, 90.0, 90.0, 90.0), "P 2 21 21")
    rows = draw(crystal, truth=smooth_truth(crystal), d_min=8.0).observations
    moved = reindex_observations(rows, parse_operator("k,l,h"))
    assert moved.crystal.unit_cell[:3] == pytest.approx((35.0, 44.0, 30.0))
    assert moved.crystal.space_group == "P 21 21 2"
    np.testing.assert_allclose(
        crystal.s_squared(rows.hkl()), moved.crystal.s_squared(moved.hkl()), rtol=1e-12
    )
    with pytest.raises(InputError, match="changes the unit cell"):
        reindex_observations(rows, parse_operator("k,l,h"), rows=rows.sweep == 0)


def test_operators_that_do_not_fit_the_divisions_are_refused():
    rows = draw(TETRAGONAL, d_min=6.0).observations.replace(divisions=(2, 3, 2))
    with pytest.raises(InputError, match="divided"):
        reindex_observations(rows, parse_operator("k,h,-l"))
