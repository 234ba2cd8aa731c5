"""The isotropic–anisotropic split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.isotropic import shell_radius, split_isotropic

MakeMap = Callable[..., IntensityMap]


def not_a_knot(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic spline by its textbook equations in the second derivatives, one dense solve."""
    n = len(x)
    h = np.diff(x)
    system, right = np.zeros((n, n)), np.zeros(n)
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        right[i] = 6 * ((y[i + 1] - y[i]) / h[i] - (y[i] - y[i - 1]) / h[i - 1])
    # The third derivative is continuous across the second and the last but one knot.
    system[0, :3] = -1 / h[0], 1 / h[0] + 1 / h[1], -1 / h[1]
    system[-1, -3:] = -1 / h[-2], 1 / h[-2] + 1 / h[-1], -1 / h[-1]
    m = np.linalg.solve(system, right)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, n - 2)
    t, u = at - x[i], x[i + 1] - at
    return (m[i] * u**3 + m[i + 1] * t**3) / (6 * h[i]) + (
        (y[i] / h[i] - m[i] * h[i] / 6) * u + (y[i + 1] / h[i] - m[i + 1] * h[i] / 6) * t
    )


def lunus_rule(full: IntensityMap) -> np.ndarray:
    """The rule again, voxel by voxel."""
    h, k, l = full.grid.axes()
    reciprocal = full.crystal.fractionalization_matrix
    step = np.linalg.norm((1 / np.array(full.grid.divisions)) @ reciprocal)
    shells: dict[int, list[float]] = {}
    radius = np.zeros(full.grid.shape)
    for place in np.ndindex(full.grid.shape):
        s = np.array([h[place[0]], k[place[1]], l[place[2]]]) @ reciprocal
        radius[place] = np.linalg.norm(s) / step
        if not full.mask[place]:
            shells.setdefault(int(radius[place] + 0.5), []).append(full.intensity[place])
    knots = np.array(sorted(shells), dtype=float)
    curve = not_a_knot(knots, np.array([np.mean(shells[int(n)]) for n in knots]), radius.ravel())
    curve[(radius.ravel() < knots[0]) | (radius.ravel() > knots[-1])] = np.nan
    return curve.reshape(full.grid.shape)


def skew_map(seed: int = 0) -> IntensityMap:
    rng = np.random.default_rng(seed)
    crystal = Crystal((22.0, 27.0, 31.0, 80.0, 95.0, 107.0), "P 1")
    grid = HklGrid((-12, -14, -16), (25, 29, 33), (2, 2, 2))
    smooth = 1000 * np.exp(-3 * crystal.s_squared(grid.hkl()))
    return IntensityMap(
        crystal, grid, smooth + rng.normal(size=grid.shape), mask=rng.random(grid.shape) < 0.2
    )


def test_the_split_equals_an_independent_implementation() -> None:
    full = skew_map()
    split = split_isotropic(full)
    expected = lunus_rule(full)
    used = split.isotropic.measured
    scale = np.nanmax(np.abs(expected))
    assert np.abs(split.isotropic.intensity - expected)[used].max() < 1e-6 * scale
    assert np.array_equal(used, full.measured & np.isfinite(expected))


def test_the_parts_sum_to_the_map_and_share_its_mask() -> None:
    full = skew_map(1)
    split = split_isotropic(full)
    used = split.anisotropic.measured
    total = split.isotropic.intensity + split.anisotropic.intensity
    assert np.allclose(total[used], full.intensity[used])
    assert np.array_equal(split.isotropic.mask, split.anisotropic.mask)
    assert not (used & full.mask).any()


def test_shell_means_of_the_anisotropic_part_vanish_for_a_smooth_decay() -> None:
    crystal = Crystal((50.0, 50.0, 60.0, 90.0, 90.0, 90.0), "P 4")
    grid = HklGrid((-25, -25, -30), (51, 51, 61))
    s_squared = crystal.s_squared(grid.hkl())
    full = IntensityMap(crystal, grid, 300 * np.exp(-2 * s_squared), mask=s_squared > 0.22)
    split = split_isotropic(full)
    shell = np.floor(shell_radius(full) + 0.5).astype(int)
    used = split.anisotropic.measured
    # The rule puts the mean of a shell at its middle, which its voxels are not quite at; the last
    # shell is cut at its knot.
    for number in range(1, int(shell[used].max())):
        members = used & (shell == number)
        curve = split.isotropic.intensity[members].mean()
        assert abs(split.anisotropic.intensity[members].mean()) < 2e-3 * curve, number


def test_a_constant_map_has_no_anisotropic_part() -> None:
    full = skew_map(3)
    split = split_isotropic(full.replace(intensity=np.full(full.grid.shape, 7.0)))
    assert np.abs(split.anisotropic.intensity[split.anisotropic.measured]).max() < 1e-9


def test_the_split_of_a_sum_is_the_sum_of_the_splits() -> None:
    a, b = skew_map(4), skew_map(5)
    b = b.replace(mask=a.mask)
    together = split_isotropic(a.replace(intensity=2 * a.intensity - b.intensity))
    apart = 2 * split_isotropic(a).anisotropic.intensity - split_isotropic(b).anisotropic.intensity
    used = together.anisotropic.measured
    assert np.allclose(together.anisotropic.intensity[used], apart[used])


def test_the_mask_of_the_caller_adds_to_that_of_the_map() -> None:
    full = skew_map(6)
    extra = np.random.default_rng(1).random(full.grid.shape) < 0.3
    split = split_isotropic(full, mask=extra)
    same = split_isotropic(full.replace(mask=full.mask | extra))
    assert np.array_equal(split.anisotropic.mask, same.anisotropic.mask)
    assert np.array_equal(split.shell_mean, same.shell_mean)
    assert split.shell_count.sum() == np.count_nonzero(full.measured & ~extra)


def test_fewer_than_four_shells_are_refused(make_map: MakeMap) -> None:
    full = make_map(half=(1, 1, 1))
    with pytest.raises(InputError, match="too few resolution shells"):
        split_isotropic(full)


def test_shells_of_the_real_map_average_out(unstill_data: Path) -> None:
    from unstill.io import read_map

    crystal = Crystal((48.5, 48.5, 63.43, 90.0, 90.0, 90.0), "P 41")
    full = read_map(unstill_data / "snase" / "snc_diffuse_reference.lat", crystal=crystal)
    outside = (crystal.d(full.grid.hkl()) < 1.6) | (crystal.d(full.grid.hkl()) > 20)
    split = split_isotropic(full, mask=outside)
    shell = np.floor(shell_radius(full) + 0.5).astype(int)
    used = split.anisotropic.measured
    level = split.isotropic.intensity[used].mean()
    assert abs(split.anisotropic.intensity[used].mean()) < 1e-3 * level
    # The rule puts the mean of a shell at its middle; on real, lumpy shells that is worth 1 %.
    for number in range(3, int(shell[used].max())):
        members = used & (shell == number)
        curve = split.isotropic.intensity[members].mean()
        assert abs(split.anisotropic.intensity[members].mean()) < 0.02 * curve
