"""Averaging over the Laue group."""

from __future__ import annotations

from collections.abc import Callable

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.symmetry import laue_operations, orbit, orbit_size
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.symmetrize import symmetrize

SETTINGS = [group.xhm() for group in gemmi.spacegroup_table()]


def fitting_cell(space_group: str) -> tuple[float, ...]:
    group = gemmi.SpaceGroup(space_group)
    hexagonal = group.crystal_system_str() in ("trigonal", "hexagonal") and group.ext != "R"
    return (30.0, 30.0, 30.0, 90.0, 90.0, 120.0 if hexagonal else 90.0)


def random_map(
    space_group: str, seed: int = 0, half: int = 3, masked: float = 0.3
) -> IntensityMap:
    rng = np.random.default_rng(seed)
    grid = HklGrid((-half,) * 3, (2 * half + 1,) * 3, (2, 2, 2))
    crystal = Crystal(fitting_cell(space_group), space_group)
    return IntensityMap(
        crystal,
        grid,
        rng.normal(10, 3, grid.shape),
        sigma=rng.uniform(0.5, 2, grid.shape),
        n_obs=rng.integers(1, 5, grid.shape),
        mask=rng.random(grid.shape) < masked,
    )


@given(space_group=st.sampled_from(SETTINGS), seed=st.integers(0, 99))
def test_averaging_is_idempotent_and_symmetric(space_group: str, seed: int) -> None:
    full = random_map(space_group, seed)
    once = symmetrize(full)
    twice = symmetrize(once)
    assert np.array_equal(once.mask, twice.mask)
    assert np.allclose(once.intensity[once.measured], twice.intensity[once.measured], rtol=1e-12)
    index = full.grid.index().reshape(-1, 3)
    values = np.where(once.mask, np.nan, once.intensity).ravel()
    for operation in laue_operations(full.crystal):
        mates = index @ operation
        inside = full.grid.contains(mates)
        moved = values[full.grid.position(mates[inside])]
        assert np.array_equal(moved, values[inside], equal_nan=True)


def test_a_voxel_is_the_mean_of_its_usable_mates_counted_once() -> None:
    full = random_map("P 4 2 2", seed=5)
    averaged = symmetrize(full)
    for index in ([1, 2, 3], [2, 0, 0], [0, 0, 3], [2, 2, -1], [0, 0, 0]):
        mates = orbit(full.crystal, np.array(index), (2, 2, 2))
        at = full.grid.position(mates)
        used = full.measured.ravel()[at]
        here = int(full.grid.position(np.array([index]))[0])
        assert averaged.mask.ravel()[here] == (not used.any())
        if used.any():
            values = full.intensity.ravel()[at][used]
            sigmas = full.sigma.ravel()[at][used]
            assert np.isclose(averaged.intensity.ravel()[here], values.mean())
            expected = np.sqrt(np.sum(sigmas**2)) / used.sum()
            assert np.isclose(averaged.sigma.ravel()[here], expected)
            assert averaged.n_obs.ravel()[here] == full.n_obs.ravel()[at][used].sum()


def test_weights_by_sigma_are_the_inverse_variance_mean() -> None:
    full = random_map("P 4", seed=6, masked=0.0)
    averaged = symmetrize(full, weights="sigma")
    at = full.grid.position(orbit(full.crystal, np.array([1, 2, 3]), (2, 2, 2)))
    weight = 1 / full.sigma.ravel()[at] ** 2
    here = int(full.grid.position(np.array([[1, 2, 3]]))[0])
    expected = np.average(full.intensity.ravel()[at], weights=weight)
    assert np.isclose(averaged.intensity.ravel()[here], expected)
    assert np.isclose(averaged.sigma.ravel()[here], 1 / np.sqrt(weight.sum()))


def test_sigma_of_the_average_is_its_scatter() -> None:
    rng = np.random.default_rng(3)
    full = random_map("P 4 3 2", masked=0.0)
    draws = np.array(
        [
            symmetrize(full.replace(intensity=rng.normal(scale=full.sigma))).intensity
            for _ in range(300)
        ]
    )
    expected = symmetrize(full).sigma
    ratio = draws.std(axis=0) / expected
    assert abs(np.median(ratio) - 1) < 0.03


def test_an_excluded_orbit_stays_masked_and_keeps_its_observations() -> None:
    full = random_map("P 4", masked=0.0)
    mask = np.zeros(full.grid.shape, dtype=bool)
    mates = orbit(full.crystal, np.array([2, 1, 1]), (2, 2, 2))
    mask.ravel()[full.grid.position(mates)] = True
    averaged = symmetrize(full.replace(mask=mask))
    at = full.grid.position(mates)
    assert averaged.mask.ravel()[at].all()
    assert (averaged.n_obs.ravel()[at] == full.n_obs.ravel()[at].sum()).all()
    assert averaged.mask.sum() == len(mates)


def test_expanding_fills_reciprocal_space_from_a_part(
    make_map: Callable[..., IntensityMap],
) -> None:
    full = make_map()
    start = (0, 0, 0)
    shape = (9, 9, 11)
    octant = IntensityMap(full.crystal, HklGrid(start, shape), full.intensity[8:, 8:, 10:])
    expanded = symmetrize(octant, expand=True)
    assert expanded.grid == full.grid
    # Four-fold and mirror mates of h, k ≥ 0 and l ≥ 0 are all of reciprocal space.
    assert not expanded.mask.any()
    assert np.allclose(expanded.intensity, full.intensity)
    sizes = orbit_size(full.crystal, full.grid.index())
    assert sizes.max() == 8


def test_unequal_divisions_of_mixed_axes_are_refused(
    make_map: Callable[..., IntensityMap],
) -> None:
    full = make_map(divisions=(2, 1, 1))
    with pytest.raises(InputError, match="mixes h and k"):
        symmetrize(full)


def test_weights_by_sigma_need_sigma(make_map: Callable[..., IntensityMap]) -> None:
    with pytest.raises(InputError, match="no sigma"):
        symmetrize(make_map(), weights="sigma")


def test_a_group_that_the_cell_does_not_have_is_refused(
    make_map: Callable[..., IntensityMap],
) -> None:
    full = make_map()
    cubic = full.replace(crystal=Crystal(full.crystal.unit_cell, "P 2 3"))
    with pytest.raises(InputError, match="does not fit the unit cell"):
        symmetrize(cubic)


@pytest.mark.parametrize("space_group", ["P 41", "P 3 1 2", "P 3 2 1", "P 61 2 2", "R 3 :H"])
def test_expanding_a_second_time_changes_nothing(space_group: str) -> None:
    once = symmetrize(random_map(space_group), expand=True)
    twice = symmetrize(once, expand=True)
    assert twice.grid == once.grid
    np.testing.assert_array_equal(twice.mask, once.mask)
    np.testing.assert_allclose(twice.intensity[once.measured], once.intensity[once.measured])
