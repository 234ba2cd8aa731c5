"""The null control keeps what is isotropic and loses what is not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.maps import IntensityMap
from unstill.maps.correlation import correlate
from unstill.maps.isotropic import shell_radius
from unstill.maps.null_control import permute_within_shells
from unstill.maps.symmetrize import symmetrize


def example(seed: int = 0) -> IntensityMap:
    crystal = Crystal((30.0, 30.0, 40.0, 90.0, 90.0, 90.0), "P 41")
    grid = HklGrid.covering(crystal, 3.0)
    rng = np.random.default_rng(seed)
    decay = 100 * np.exp(-10 * crystal.s_squared(grid.hkl()))
    raw = IntensityMap(
        crystal,
        grid,
        decay * (1 + 0.3 * rng.standard_normal(grid.shape)),
        sigma=0.1 * decay,
        mask=rng.random(grid.shape) < 0.05,
    )
    return symmetrize(raw)


@given(st.integers(0, 1000))
def test_every_shell_keeps_its_orbits(seed: int) -> None:
    data = example()
    null = permute_within_shells(data, seed=seed)
    np.testing.assert_array_equal(null.mask, data.mask)
    shell = np.floor(shell_radius(data) + 0.5)
    for number in np.unique(shell[data.measured]):
        here = data.measured & (shell == number)
        assert set(null.intensity[here]) <= set(data.intensity[here])


def test_symmetry_is_kept() -> None:
    null = permute_within_shells(example())
    used = null.measured
    np.testing.assert_allclose(symmetrize(null).intensity[used], null.intensity[used], rtol=1e-12)


def test_features_are_lost_and_the_isotropic_curve_is_not() -> None:
    data = example()
    null = permute_within_shells(data)
    found = correlate(data, null)
    n_orbits = data.n_measured / 8
    assert abs(found.cc_aniso) < 4 / np.sqrt(n_orbits)
    assert found.cc_total > 0.5


def test_another_seed_is_another_null() -> None:
    data = example()
    first, second = (permute_within_shells(data, seed=seed).intensity for seed in (1, 2))
    assert np.mean(first[data.measured] == second[data.measured]) < 0.2
    again = permute_within_shells(data, seed=1).intensity
    np.testing.assert_array_equal(first, again)
