from __future__ import annotations

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.maps import IntensityMap
from unstill.maps.compare import compare
from unstill.maps.mate_spread import sigma_from_mates
from unstill.maps.symmetrize import symmetrize

CRYSTAL = Crystal((40, 40, 55, 90, 90, 90), "P 41")


def noisy_map(noise: float, seed: int = 1) -> tuple[IntensityMap, IntensityMap]:
    """A symmetric truth and the same with noise that grows with resolution."""
    rng = np.random.default_rng(seed)
    grid = HklGrid.covering(CRYSTAL, 3.0)
    rough = IntensityMap(CRYSTAL, grid, 100 + 20 * rng.normal(size=grid.shape))
    truth = symmetrize(rough)
    sigma = noise * (1 + 5 * truth.s_squared())
    data = truth.intensity + sigma * rng.normal(size=grid.shape)
    return truth, truth.replace(intensity=data)


@pytest.mark.parametrize("noise", [1.0, 5.0, 20.0])
def test_the_spread_of_mates_is_the_noise_in_each_shell(noise: float) -> None:
    truth, data = noisy_map(noise)
    found = sigma_from_mates(data)
    assert found is not None
    expected = noise * (1 + 5 * truth.s_squared())
    inside = truth.s_squared() < 1 / 3.0**2
    assert np.abs(found / expected - 1)[inside & (truth.s_squared() > 0.02)].max() < 0.2
    assert float(np.mean(found[inside])) == pytest.approx(float(expected[inside].mean()), rel=0.02)


def test_the_ceiling_from_mates_is_the_correlation_with_the_truth() -> None:
    truth, data = noisy_map(6.0)
    found = compare(data, truth)
    assert found.cc_max is not None
    assert found.cc_aniso == pytest.approx(found.cc_max, abs=0.01)
    averaged = symmetrize(data.replace(sigma=sigma_from_mates(data)))
    better = compare(averaged, truth)
    assert better.cc_max is not None
    assert better.cc_max > found.cc_max + 0.1
    assert better.cc_aniso == pytest.approx(better.cc_max, abs=0.01)


def test_maps_whose_mates_are_equal_or_absent_say_nothing_about_noise() -> None:
    truth, data = noisy_map(6.0)
    assert sigma_from_mates(truth) is None
    h, k, l = np.moveaxis(data.grid.index(), -1, 0)
    wedge = (h > 0) & (k >= 0) & (l > 0)
    assert sigma_from_mates(data, usable=wedge) is None
    assert compare(truth, truth).cc_max is None
