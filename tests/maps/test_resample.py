"""Coarser sampling: exact where it can be, unbiased where it cannot."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.bragg import mask_bragg
from unstill.maps.resample import resample

CRYSTAL = Crystal((30.0, 30.0, 40.0, 90.0, 90.0, 90.0), "P 4")
GRID = HklGrid((-12, -13, -14), (25, 26, 31), (4, 4, 4))


def linear(grid: HklGrid, seed: int = 0) -> np.ndarray:
    slope = np.random.default_rng(seed).normal(size=3) * 10
    return 5 + grid.hkl() @ slope


@given(
    ratio=st.tuples(*[st.integers(1, 5)] * 3),
    start=st.tuples(*[st.integers(-9, 0)] * 3),
    seed=st.integers(0, 99),
)
def test_constant_and_linear_maps_are_exact(
    ratio: tuple[int, int, int], start: tuple[int, int, int], seed: int
) -> None:
    h, k, l = ratio
    grid = HklGrid(start, (14, 15, 16), (2 * h, k, 3 * l))
    for values in (np.full(grid.shape, 7.0), linear(grid, seed)):
        coarser = resample(IntensityMap(CRYSTAL, grid, values), (2, 1, 3))
        assert coarser.grid.divisions == (2, 1, 3)
        expected = 7.0 if np.ptp(values) == 0 else linear(coarser.grid, seed)
        error = np.abs(coarser.intensity - expected)[coarser.measured]
        assert error.size
        assert error.max() < 1e-6


def test_a_bragg_mask_keeps_linear_maps_exact() -> None:
    full = mask_bragg(IntensityMap(CRYSTAL, GRID, linear(GRID)))
    coarser = resample(full, (2, 2, 2))
    assert np.abs(coarser.intensity - linear(coarser.grid))[coarser.measured].max() < 1e-6
    # The halo is still there: integer hkl are the mean of the 26 voxels around them.
    assert coarser.n_measured > 0.8 * coarser.mask.size


def test_a_constant_is_exact_for_any_mask() -> None:
    mask = np.random.default_rng(1).random(GRID.shape) < 0.4
    coarser = resample(IntensityMap(CRYSTAL, GRID, np.full(GRID.shape, 3.0), mask=mask), (2, 2, 2))
    assert np.allclose(coarser.intensity[coarser.measured], 3.0)


def test_four_to_two_is_the_box_of_27_voxels() -> None:
    rng = np.random.default_rng(2)
    mask = rng.random(GRID.shape) < 0.5
    sigma = rng.uniform(1, 2, GRID.shape)
    full = IntensityMap(
        CRYSTAL,
        GRID,
        rng.normal(size=GRID.shape),
        sigma=sigma,
        n_obs=np.ones(GRID.shape),
        mask=mask,
    )
    coarser = resample(full, (2, 2, 2), min_coverage=0.5)
    for place in product(range(2, 9, 3), range(2, 9, 2), range(2, 12, 4)):
        centre = 2 * (np.array(coarser.grid.start) + place) - GRID.start
        weighted = total = spread = 0.0
        for offset in product((-1, 0, 1), repeat=3):
            # centre 1, face 1/2, edge 1/4, corner 1/8
            weight = 0.5 ** np.count_nonzero(offset)
            at = tuple(centre + offset)
            if not mask[at]:
                total += weight
                weighted += weight * full.intensity[at]
                spread += (weight * sigma[at]) ** 2
        assert coarser.mask[place] == (total / 8 < 0.5)
        if not coarser.mask[place]:
            assert coarser.intensity[place] == pytest.approx(weighted / total)
            assert coarser.sigma[place] == pytest.approx(np.sqrt(spread) / total)
            assert coarser.n_obs[place] == pytest.approx(total)
    assert coarser.mask.any()
    assert not coarser.mask.all()


def test_weights_by_sigma_are_the_inverse_variance_mean() -> None:
    rng = np.random.default_rng(4)
    sigma = rng.uniform(0.5, 3, GRID.shape)
    full = IntensityMap(CRYSTAL, GRID, rng.normal(size=GRID.shape), sigma=sigma)
    coarser = resample(full, (4, 4, 1), weights="sigma")
    # Along l four voxels and two halves: weights 1/2, 1, 1, 1, 1/2 over sigma squared.
    column = slice(10 - 2, 10 + 3)
    share = np.array([0.5, 1, 1, 1, 0.5]) / sigma[3, 3, column] ** 2
    here = coarser.intensity[3, 3, (-14 + 10) // 4 - coarser.grid.start[2]]
    assert here == pytest.approx(np.average(full.intensity[3, 3, column], weights=share))


def test_too_little_coverage_is_masked() -> None:
    full = IntensityMap(CRYSTAL, GRID, np.ones(GRID.shape), mask=np.ones(GRID.shape, bool))
    assert resample(full, (2, 2, 2), min_coverage=0.0).mask.all()
    some = mask_bragg(full.replace(mask=np.zeros(GRID.shape, bool)))
    whole_only = resample(some, (2, 2, 2), min_coverage=1.0)
    at_bragg = np.all(whole_only.grid.index() % 2 == 0, axis=-1)
    assert whole_only.mask[at_bragg].all()


def test_the_same_divisions_change_nothing() -> None:
    full = IntensityMap(CRYSTAL, GRID, np.random.default_rng(0).normal(size=GRID.shape))
    same = resample(full, (4, 4, 4))
    assert same.grid == GRID
    assert np.array_equal(same.intensity, full.intensity)


def test_weak_noisy_maps_stay_unbiased_and_masking_negatives_biases_them() -> None:
    rng = np.random.default_rng(7)
    grid = HklGrid((-40, -40, -40), (81, 81, 81), (4, 4, 4))
    # One count on average under a noise of one and a half: about a quarter of it is negative.
    truth, noise = 1.0, 1.5
    full = IntensityMap(CRYSTAL, grid, truth + rng.normal(scale=noise, size=grid.shape))
    kept = resample(full, (2, 2, 2))
    cut = resample(full, (2, 2, 2), mask_negative=True)
    assert abs(kept.intensity[kept.measured].mean() - truth) < 0.01 * truth
    bias = cut.intensity[cut.measured].mean() - truth
    assert bias > 0.05 * truth
    # What theory says of a normal distribution cut at zero.
    density, below = np.exp(-((truth / noise) ** 2) / 2) / np.sqrt(2 * np.pi), 0.2525
    assert bias == pytest.approx(noise * density / (1 - below), rel=0.05)


@pytest.mark.parametrize("divisions", [(3, 2, 2), (8, 4, 4), (0, 2, 2)])
def test_new_divisions_must_divide_the_old(divisions: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="must divide"):
        resample(IntensityMap(CRYSTAL, GRID, np.ones(GRID.shape)), divisions)


def test_missing_sigma_and_impossible_coverage_are_refused() -> None:
    full = IntensityMap(CRYSTAL, GRID, np.ones(GRID.shape))
    with pytest.raises(InputError, match="no sigma"):
        resample(full, (2, 2, 2), weights="sigma")
    with pytest.raises(InputError, match="coverage"):
        resample(full, (2, 2, 2), min_coverage=1.5)
    with pytest.raises(InputError, match="no voxel of the new grid"):
        resample(
            IntensityMap(CRYSTAL, HklGrid((1, 0, 0), (2, 4, 4), (4, 4, 4)), np.ones((2, 4, 4))),
            (1, 1, 1),
        )
