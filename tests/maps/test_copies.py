"""Mates that are copies count as one observation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.half_space import friedel_half
from unstill.crystal.symmetry import orbit_size
from unstill.maps import IntensityMap
from unstill.maps.copies import copy_numbers
from unstill.maps.from_points import map_from_points
from unstill.maps.mate_spread import sigma_from_mates
from unstill.maps.symmetrize import symmetrize

CELLS = {
    "P 41 21 2": (20.0, 20.0, 30.0, 90.0, 90.0, 90.0),
    "P 31": (24.0, 24.0, 30.0, 90.0, 90.0, 120.0),
    "P 1 21 1": (20.0, 24.0, 30.0, 90.0, 105.0, 90.0),
}
D_MIN = 3.0


def half_sphere(space_group: str, seed: int = 0) -> IntensityMap:
    """Noise at one half of reciprocal space, filled by Friedel's law."""
    crystal = Crystal(CELLS[space_group], space_group)  # type: ignore[arg-type]
    index = friedel_half(crystal, D_MIN)
    values = np.random.default_rng(seed).normal(100, 2, len(index))
    full = map_from_points(crystal, (1, 1, 1), index, values, np.full(len(index), 2.0))
    return full.replace(n_obs=np.where(full.measured, 1, 0))


def independent(space_group: str) -> IntensityMap:
    """Noise in every voxel of its own."""
    full = half_sphere(space_group)
    noise = np.random.default_rng(1).normal(100, 2, full.grid.shape)
    return full.replace(intensity=np.where(full.mask, np.nan, noise))


@pytest.mark.parametrize("space_group", CELLS)
def test_friedel_copies_do_not_sharpen_the_average(space_group: str) -> None:
    draws = [symmetrize(half_sphere(space_group, seed)) for seed in range(150)]
    used = draws[0].measured & (draws[0].s_squared() > 0)
    spread = np.std([draw.intensity[used] for draw in draws], axis=0, ddof=1)
    assert draws[0].sigma is not None
    assert np.median(spread / draws[0].sigma[used]) == pytest.approx(1, abs=0.03)
    # One observation a Friedel pair.
    sizes = orbit_size(draws[0].crystal, draws[0].grid.index())[used]
    assert np.array_equal(draws[0].n_obs[used], sizes // 2)


@pytest.mark.parametrize("space_group", CELLS)
def test_averaging_twice_changes_neither_sigma_nor_observations(space_group: str) -> None:
    for full in (half_sphere(space_group), independent(space_group)):
        once = symmetrize(full)
        # Through a file of single precision.
        stored = once.replace(intensity=once.intensity.astype(np.float32))
        twice = symmetrize(stored)
        np.testing.assert_allclose(twice.sigma, once.sigma, rtol=1e-12)
        assert np.array_equal(twice.n_obs, once.n_obs)


@pytest.mark.parametrize("space_group", CELLS)
def test_voxels_with_noise_of_their_own_are_no_copies(space_group: str) -> None:
    full = independent(space_group)
    assert len(np.unique(copy_numbers(full))) == full.grid.size
    once = symmetrize(full)
    sizes = orbit_size(full.crystal, full.grid.index())[full.measured]
    assert once.sigma is not None
    np.testing.assert_allclose(once.sigma[full.measured], 2 / np.sqrt(sizes))


def test_counts_that_happen_to_be_equal_are_no_copies() -> None:
    full = independent("P 41 21 2")
    counts = np.random.default_rng(0).poisson(0.2, full.grid.shape).astype(float)
    low = full.replace(intensity=np.where(full.mask, np.nan, counts))
    assert len(np.unique(copy_numbers(low))) == low.grid.size


def test_copies_are_recognised_in_half_a_box_and_under_a_mask() -> None:
    averaged = symmetrize(half_sphere("P 41 21 2"))
    half = averaged.grid.shape[2] // 2
    h, k, l = averaged.grid.shape
    part = replace(
        averaged,
        grid=HklGrid((averaged.grid.start[0], averaged.grid.start[1], 0), (h, k, l - half)),
        intensity=averaged.intensity[..., half:],
        sigma=averaged.sigma[..., half:],  # type: ignore[index]
        n_obs=averaged.n_obs[..., half:],  # type: ignore[index]
        mask=averaged.mask[..., half:] | (np.random.default_rng(0).random((h, k, l - half)) < 0.2),
    )
    whole = symmetrize(part, expand=True)
    at = tuple(
        slice((n - m) // 2, (n + m) // 2) for n, m in zip(whole.grid.shape, (h, k, l), strict=True)
    )
    same = whole.measured[at] & averaged.measured
    assert np.count_nonzero(same) > 0.9 * averaged.n_measured
    np.testing.assert_allclose(whole.sigma[at][same], averaged.sigma[same])  # type: ignore[index]
    assert np.array_equal(whole.n_obs[at][same], averaged.n_obs[same])  # type: ignore[index]


def test_the_spread_of_mates_does_not_take_copies_for_agreement() -> None:
    found = sigma_from_mates(half_sphere("P 41 21 2").replace(sigma=None), n_shells=1)
    assert found is not None
    assert float(np.mean(found)) == pytest.approx(2, rel=0.05)
