"""Moving maps to other indices, and finding the right ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.reindexing import candidate_operators, parse_operator
from unstill.errors import InputError, UnstillWarning
from unstill.maps import IntensityMap
from unstill.maps.overlap import overlap
from unstill.maps.reindex import choose_indexing, reindex
from unstill.maps.symmetrize import symmetrize

MakeMap = Callable[..., IntensityMap]
HEXAGONAL = Crystal((24.0, 24.0, 30.0, 90.0, 90.0, 120.0), "P 31")
P43 = Crystal((20.0, 20.0, 28.0, 90.0, 90.0, 90.0), "P 43")


@given(
    name=st.sampled_from(["k,h,-l", "-h,-k,l", "h+k,-k,-l", "l,h,k", "-k,h+k,l"]),
    start=st.tuples(*[st.integers(-5, 5)] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
)
def test_values_move_with_their_indices_and_come_back(
    name: str, start: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    operator = parse_operator(name)
    grid = HklGrid(start, shape, (2, 2, 2))
    rng = np.random.default_rng(0)
    full = IntensityMap(
        Crystal((20.0, 30.0, 40.0, 90.0, 90.0, 90.0)),
        grid,
        rng.normal(size=shape),
        sigma=rng.uniform(1, 2, shape),
        n_obs=rng.integers(1, 9, shape),
        mask=rng.random(shape) < 0.3,
    )
    moved = reindex(full, operator)
    target = np.rint(grid.index().reshape(-1, 3) @ operator.matrix).astype(int)
    at = moved.grid.position(target)
    for name_of in ("intensity", "sigma", "n_obs", "mask"):
        assert np.array_equal(getattr(moved, name_of).ravel()[at], getattr(full, name_of).ravel())
    assert moved.n_measured == full.n_measured
    back = reindex(moved, operator.inverse)
    here = back.grid.position(grid.index().reshape(-1, 3))
    assert np.array_equal(back.intensity.ravel()[here], full.intensity.ravel())
    assert np.allclose(moved.d_min, full.d_min, rtol=1e-6)


def test_permuted_axes_take_their_divisions_along(make_map: MakeMap) -> None:
    full = make_map(
        Crystal((20.0, 30.0, 40.0, 90.0, 90.0, 90.0), "P 21 21 2"), divisions=(1, 2, 3)
    )
    moved = reindex(full, parse_operator("k,l,h"))
    assert moved.grid.divisions == (2, 3, 1)
    assert moved.crystal.unit_cell[:3] == (30.0, 40.0, 20.0)
    assert moved.intensity[3, 4, 5] == full.intensity[5, 3, 4]


def test_operators_that_leave_the_grid_are_refused(make_map: MakeMap) -> None:
    full = make_map(HEXAGONAL, divisions=(1, 2, 1))
    with pytest.raises(InputError, match="divided differently"):
        reindex(full, parse_operator("-h-k,k,-l"))
    with pytest.raises(InputError, match="off the grid"):
        reindex(make_map(), parse_operator("h/2,2*k,l"))


def test_the_right_indexing_of_a_p43_pair_is_found_with_a_wide_margin(make_map: MakeMap) -> None:
    truth = make_map(P43, noise=1.0)
    wrong = reindex(make_map(P43, noise=1.0, noise_seed=5), parse_operator("k,h,-l"))
    choice = choose_indexing(truth, wrong)
    assert choice.operator.name == "k,h,-l"
    assert [c.operator.name for c in choice.candidates] == ["k,h,-l", "h,k,l"]
    assert choice.margin >= 0.5
    assert choice.candidates[0].cc_aniso > 0.95
    assert choice.reindexed.grid == truth.grid
    assert choice.reindexed.crystal == truth.crystal


@pytest.mark.parametrize("name", ["h,k,l", "k,h,-l", "-h,-k,l", "-k,-h,-l"])
def test_each_of_four_indexings_of_a_trigonal_map_is_undone(make_map: MakeMap, name: str) -> None:
    truth = make_map(HEXAGONAL, half=(10, 10, 12), divisions=(2, 2, 2))
    moved = reindex(truth, parse_operator(name))
    choice = choose_indexing(truth, moved)
    assert len(choice.candidates) == 4
    assert choice.candidates[0].cc_aniso == pytest.approx(1, abs=1e-6)
    # Undone up to a Laue operation, which the averaged map cannot show.
    undone = reindex(moved, choice.operator)
    a, b = (symmetrize(full, expand=True) for full in overlap(truth, undone))
    assert np.allclose(a.intensity, b.intensity, equal_nan=True)


def test_a_near_tie_is_told(make_map: MakeMap) -> None:
    a = make_map()
    unrelated = make_map(seed=2, noise=200.0)
    with pytest.warns(UnstillWarning, match="nearly a tie"):
        choose_indexing(a, unrelated)


def test_a_clear_choice_is_not_told(make_map: MakeMap) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose_indexing(make_map(), make_map(noise=1.0))


def test_a_map_that_has_the_symmetry_of_the_lattice_is_a_tie_and_keeps_its_indexing(
    make_map: MakeMap,
) -> None:
    high = Crystal(P43.unit_cell, "P 43 21 2")
    full = make_map(high)
    low = full.replace(crystal=P43)
    with pytest.warns(UnstillWarning, match="more symmetry"):
        choice = choose_indexing(low, low)
    assert choice.operator.name == "h,k,l"
    assert choice.margin == pytest.approx(0, abs=1e-9)


def test_only_one_indexing_leaves_no_margin(make_map: MakeMap) -> None:
    full = make_map(Crystal((20.0, 30.0, 40.0, 90.0, 90.0, 90.0), "P 21 21 21"))
    choice = choose_indexing(full, full)
    assert np.isnan(choice.margin)
    assert choice.operator.is_identity


def test_a_raw_map_is_matched_to_a_merged_one(make_map: MakeMap) -> None:
    merged = make_map(P43)
    raw = make_map(P43, noise=2.0).replace(crystal=Crystal(P43.unit_cell, "P 1"))
    moved = reindex(raw, parse_operator("k,h,-l"))
    choice = choose_indexing(merged, moved)
    assert [c.operator.name for c in choice.candidates] == ["k,h,-l", "h,k,l"]


def test_candidates_that_cannot_be_applied_are_listed_without_a_number(make_map: MakeMap) -> None:
    cubic = Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0), "P 21 21 21")
    full = make_map(cubic, half=(8, 8, 8), divisions=(1, 2, 1))
    with pytest.warns(UnstillWarning, match="could not be tried.* sampled differently"):
        choice = choose_indexing(full, full)
    assert len(choice.candidates) == len(candidate_operators(cubic, cubic))
    numbers = [c.cc_aniso for c in choice.candidates]
    assert numbers[0] == pytest.approx(1)
    assert np.isnan(numbers[-1])


def test_maps_that_cannot_be_compared_say_why(make_map: MakeMap) -> None:
    with pytest.raises(InputError, match="wrong cell"):
        choose_indexing(make_map(), make_map(HEXAGONAL))


def test_maps_that_only_another_indexing_would_bring_together_are_refused(
    make_map: MakeMap,
) -> None:
    full = make_map(P43)
    upper = np.indices(full.grid.shape)[2] > 10
    with pytest.raises(InputError, match="no common voxels"):
        choose_indexing(full.replace(mask=~upper), full.replace(mask=upper))


def test_an_indexing_that_needs_other_points_than_the_grid_has_is_told(make_map: MakeMap) -> None:
    # C-centred orthorhombic, and hexagonal by chance: h/2+k/2 is no grid index where h+k is odd.
    pseudohexagonal = Crystal((20.0, 20.0 * np.sqrt(3), 28.0, 90.0, 90.0, 90.0), "C 2 2 21")
    full = make_map(pseudohexagonal, half=(8, 8, 8))
    with pytest.warns(UnstillWarning, match="could not be tried, h/2"):
        choice = choose_indexing(full, full)
    assert choice.operator.is_identity
    assert np.isnan(choice.margin)
