"""Where the Bragg peaks stand, and agreement by distance from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.bragg import bragg_distance, mask_bragg
from unstill.maps.bragg_profile import bragg_profile

MakeMap = Callable[..., IntensityMap]
SKEW = Crystal((21.0, 27.5, 33.1, 60.0, 65.0, 71.0), "P 1")


def flat(grid: HklGrid, crystal: Crystal = SKEW) -> IntensityMap:
    return IntensityMap(crystal, grid, np.ones(grid.shape), n_obs=np.ones(grid.shape, int))


@given(start=st.tuples(*[st.integers(-9, 9)] * 3), cells=st.tuples(*[st.integers(1, 3)] * 3))
def test_one_voxel_in_64_is_masked_on_whole_cells_of_a_4x4x4_map(
    start: tuple[int, int, int], cells: tuple[int, int, int]
) -> None:
    h, k, l = (4 * n for n in cells)
    masked = mask_bragg(flat(HklGrid(start, (h, k, l), (4, 4, 4))))
    assert 64 * masked.mask.sum() == masked.mask.size
    at = masked.grid.hkl()[masked.mask]
    assert np.array_equal(at, np.rint(at))
    # Measured, then excluded.
    assert (masked.n_obs[masked.mask] == 1).all()


def test_the_mask_adds_to_the_one_that_is_there() -> None:
    grid = HklGrid((-4, -4, -4), (8, 8, 8), (4, 4, 4))
    before = np.random.default_rng(0).random(grid.shape) < 0.5
    full = flat(grid).replace(mask=before)
    assert np.array_equal(mask_bragg(full).mask, before | mask_bragg(flat(grid)).mask)
    assert np.array_equal(full.mask, before)


def test_distances_equal_those_by_brute_force_in_a_skew_cell() -> None:
    grid = HklGrid((-3, 1, 5), (7, 6, 5), (3, 2, 4))
    distance = bragg_distance(flat(grid))
    around = np.stack(np.meshgrid(*[np.arange(-8, 9)] * 3, indexing="ij"), -1).reshape(-1, 3)
    lattice = SKEW.s(around)
    for place in np.ndindex(grid.shape):
        s = SKEW.s(grid.hkl()[place])
        assert distance[place] == pytest.approx(np.linalg.norm(lattice - s, axis=1).min())
    assert (distance[np.all(grid.hkl() == np.rint(grid.hkl()), axis=-1)] == 0).all()


def test_the_radius_masks_what_is_near_and_nothing_else() -> None:
    full = flat(HklGrid((-6, -6, -6), (12, 12, 12), (4, 4, 4)))
    radius = 0.015
    masked = mask_bragg(full, radius)
    assert np.array_equal(masked.mask, bragg_distance(full) <= radius)
    assert masked.mask.sum() > mask_bragg(full).mask.sum()


@pytest.mark.parametrize("radius", [-0.1, np.nan, 9.0])
def test_impossible_radii_are_refused(radius: float) -> None:
    with pytest.raises(InputError, match=r"radius|leaves no voxel"):
        mask_bragg(flat(HklGrid((0, 0, 0), (4, 4, 4), (4, 4, 4))), radius)


def test_a_map_of_integer_hkl_only_would_vanish_and_is_refused() -> None:
    with pytest.raises(InputError, match="leaves no voxel"):
        mask_bragg(flat(HklGrid((0, 0, 0), (4, 4, 4))))


def test_the_profile_sees_halos_that_disagree(make_map: MakeMap) -> None:
    half, divisions = (16, 16, 20), (4, 4, 4)
    a = make_map(half=half, divisions=divisions)
    near = bragg_distance(a) < 0.014
    noise = np.random.default_rng(3).normal(scale=30, size=a.grid.shape)
    b = a.replace(intensity=np.where(near, a.intensity + noise, a.intensity))
    profile = bragg_profile(a, b)
    assert sum(part.n for part in profile) <= a.n_measured
    distances = [part.distance for part in profile]
    assert distances[0] == 0
    assert distances == sorted(distances)
    for part in profile:
        if part.distance < 0.014:
            assert part.cc_aniso < 0.8
        else:
            assert part.cc_aniso > 0.95


def test_few_distances_are_a_bin_each_and_many_are_grouped(make_map: MakeMap) -> None:
    full = make_map(divisions=(2, 2, 2))
    distinct = np.unique(np.round(bragg_distance(full), 9))
    assert len(bragg_profile(full, full)) == len(distinct) == 6
    grouped = bragg_profile(full, full, n_bins=3)
    assert len(grouped) == 3
    assert grouped[0].distance == 0
