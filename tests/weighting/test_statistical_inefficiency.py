"""How many entries of a series count as one, against processes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from unstill.errors import InputError
from unstill.weighting.statistical_inefficiency import statistical_inefficiency


def ar1(phi: float, shape: tuple[int, ...], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    # Stationary from the first entry on.
    noise[..., 0] /= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=-1)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.97])
def test_an_autoregressive_series_has_its_known_inefficiency(phi: float) -> None:
    found = statistical_inefficiency(ar1(phi, (400_000,), seed=3))
    assert found == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


def test_it_foretells_how_far_means_of_whole_series_lie_apart() -> None:
    series = ar1(0.9, (800, 2000), seed=4)
    foretold = np.mean(
        [one.var() * statistical_inefficiency(one) / len(one) for one in series[:200]]
    )
    # A variance of 800 means is sure to 5 %.
    assert foretold == pytest.approx(series.mean(axis=1).var(), rel=0.15)


def by_definition(series: np.ndarray) -> float:
    n, moved = len(series), series - series.mean()
    rho = [np.mean(moved[: n - t] * moved[t:]) / np.mean(moved**2) * (1 - t / n) for t in range(n)]
    total, last = 0.0, np.inf
    for t in range(0, n - 1, 2):
        pair = rho[t] + rho[t + 1]
        if pair <= 0:
            break
        last = min(last, pair)
        total += last
    return float(np.clip(2 * total - 1, 1, n))


@given(seed=st.integers(0, 1000), n=st.integers(2, 40), phi=st.floats(-0.9, 0.95))
def test_it_is_the_sum_of_the_definition_and_knows_no_unit_and_no_direction(seed, n, phi) -> None:
    series = ar1(phi, (n,), seed)
    found = statistical_inefficiency(series)
    assert found == pytest.approx(by_definition(series), rel=1e-9)
    assert found == pytest.approx(statistical_inefficiency(5 - 3 * series), rel=1e-6)
    assert found == pytest.approx(statistical_inefficiency(series[::-1]), rel=1e-6)


def test_repeating_each_entry_multiplies_it() -> None:
    white = np.random.default_rng(5).normal(size=20_000)
    assert statistical_inefficiency(np.repeat(white, 7)) == pytest.approx(7, rel=0.1)


def test_what_cannot_be_told_is_on_the_safe_side() -> None:
    assert statistical_inefficiency(np.full(30, 0.1)) == 30
    assert statistical_inefficiency(np.array([2.0])) == 1
    assert statistical_inefficiency(np.tile([1.0, -1.0], 50)) == 1
    # One transition is not 100 frames of evidence.
    assert statistical_inefficiency(np.repeat([0.0, 1.0], 50)) > 25


@pytest.mark.parametrize("series", [np.zeros(0), np.array([0.0, np.nan]), np.ones((2, 2))])
def test_what_is_no_series_is_refused(series) -> None:
    with pytest.raises(InputError, match="time series"):
        statistical_inefficiency(series)
