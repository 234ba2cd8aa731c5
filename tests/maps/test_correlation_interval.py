"""The interval of a correlation covers the truth and does not shrink with sampling."""

from __future__ import annotations

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.maps import IntensityMap
from unstill.maps.common_split import split_on_common_mask
from unstill.maps.correlation import correlate
from unstill.maps.correlation_interval import correlation_interval

CRYSTAL = Crystal((20.0, 24.0, 28.0, 90.0, 90.0, 90.0), "P 1")


def pair(seed: int, divisions: int = 1) -> tuple[IntensityMap, IntensityMap]:
    """Two maps with a true anisotropic correlation of 0.6; Friedel mates are equal."""
    coarse = HklGrid.covering(CRYSTAL, 3.0)
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((2, *coarse.shape))
    second = 0.6 * first + 0.8 * second
    maps = []
    for values in (first, second):
        even = (values + values[::-1, ::-1, ::-1]) / np.sqrt(2)
        fine = np.repeat(np.repeat(np.repeat(even, divisions, 0), divisions, 1), divisions, 2)
        grid = HklGrid(tuple(a * divisions for a in coarse.start), fine.shape, (divisions,) * 3)  # type: ignore[arg-type]
        maps.append(IntensityMap(CRYSTAL, grid, 100 + fine))
    return maps[0], maps[1]


def interval(a: IntensityMap, b: IntensityMap) -> tuple[float, float]:
    return correlation_interval(split_on_common_mask(a, b))


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = [low < 0.6 < high for low, high in (interval(*pair(seed)) for seed in range(60))]
    assert np.mean(covered) > 0.85


def test_interval_holds_the_correlation_itself() -> None:
    a, b = pair(1)
    low, high = interval(a, b)
    assert low < correlate(a, b).cc_aniso < high


def test_finer_sampling_of_the_same_features_does_not_narrow_the_interval() -> None:
    coarse, fine = interval(*pair(2)), interval(*pair(2, divisions=2))
    assert fine[1] - fine[0] > 0.7 * (coarse[1] - coarse[0])


def test_perfect_agreement_has_no_width() -> None:
    a, _ = pair(3)
    assert interval(a, a) == pytest.approx((1.0, 1.0))
