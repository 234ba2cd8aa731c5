"""Voxels of a coarser grid, picked and not averaged."""

from __future__ import annotations

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.half_space import friedel_half
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.thin_out import thin_out, thin_out_sums

CRYSTAL = Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 90.0))


def test_the_picked_voxels_are_those_with_the_same_hkl() -> None:
    grid = HklGrid((-7, -2, -5), (13, 6, 9), (4, 2, 3))
    rng = np.random.default_rng(0)
    intensity, mask = rng.random(grid.shape), rng.random(grid.shape) < 0.3
    full = IntensityMap(CRYSTAL, grid, intensity, sigma=intensity / 10, mask=mask)
    thin = thin_out(full, (2, 1, 1))
    assert thin.grid.divisions == (2, 1, 1)
    places = grid.position(grid.index_of(thin.grid.hkl()))
    assert grid.contains(grid.index_of(thin.grid.hkl())).all()
    assert np.array_equal(thin.intensity, intensity.ravel()[places])
    assert np.array_equal(thin.sigma, intensity.ravel()[places] / 10)
    assert np.array_equal(thin.mask, mask.ravel()[places])
    wanted = np.all(grid.index() % np.array([2, 2, 3]) == 0, axis=-1).sum()
    assert thin.grid.size == wanted


def test_divisions_that_do_not_divide_are_refused() -> None:
    full = IntensityMap(CRYSTAL, HklGrid((0, 0, 0), (5, 5, 5), (4, 4, 4)), np.ones((5, 5, 5)))
    with pytest.raises(InputError, match="not part of the map's grid"):
        thin_out(full, (3, 4, 4))
    with pytest.raises(InputError, match="not part of the map's grid"):
        thin_out(full, (8, 4, 4))
    shifted = IntensityMap(CRYSTAL, HklGrid((1, 0, 0), (2, 1, 1), (4, 1, 1)), np.ones((2, 1, 1)))
    with pytest.raises(InputError, match="no voxel"):
        thin_out(shifted, (1, 1, 1))


def test_points_of_a_coarser_map_are_kept_and_no_others() -> None:
    index = friedel_half(CRYSTAL, 4.0, (2, 2, 2))
    n = len(index)
    sums = BlockSums(
        CRYSTAL,
        (2, 2, 2),
        index,
        s1=np.arange(n)[None, None] + 0j,
        s2=np.arange(n, dtype=float)[None, None],
        weight=np.ones(1),
        weight_squared=np.ones(1),
        n_frames=np.ones(1, dtype=np.int64),
    )
    kept = thin_out_sums(sums, (1, 1, 1))
    assert (kept.index % 2 == 0).all()
    assert len(kept.index) == len(friedel_half(CRYSTAL, 4.0))
    np.testing.assert_array_equal(sums.index[kept.s2[0, 0].astype(int)], kept.index)
    assert thin_out_sums(sums, (2, 2, 2)) is sums
    with pytest.raises(InputError, match="not part of the map's grid"):
        thin_out_sums(sums, (3, 1, 1))
