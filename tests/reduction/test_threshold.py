"""Poisson thresholds without a count set by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import poisson
from small_sweep import ArraySource, expected_frame, small_experiment

from unstill.crystal import Crystal
from unstill.reduction.integration.blocks import Block
from unstill.reduction.integration.integrate import integrate_block
from unstill.reduction.integration.tables import pixel_tables
from unstill.reduction.survey.peak_shape import PeakShape
from unstill.reduction.survey.threshold import (
    N_BINS,
    frame_limits,
    poisson_threshold,
    rates_of,
    zone_rates,
)

RATES = [0.003, 0.05, 0.6, 1.2, 2.0, 7.0, 30.0, 400.0, 9000.0]


@pytest.mark.parametrize("chance", [1e-6, 1e-3])
def test_thresholds_are_the_smallest_counts_beyond_chance(chance):
    rates = np.concatenate([np.geomspace(1e-6, 3000, 300)])
    k = poisson_threshold(rates, chance)
    assert np.all(poisson.sf(k - 1, rates) < chance)
    assert np.all(poisson.sf(k - 2, rates) >= chance)
    far = np.array([5e3, 1e5, 1e6])
    exact = poisson.isf(chance, far) + 1
    np.testing.assert_allclose(poisson_threshold(far, chance), exact, atol=3)


@pytest.mark.parametrize("rate", RATES)
def test_rates_hold_with_five_per_cent_of_strong_pixels(rate):
    experiment = small_experiment(size=128)
    tables = pixel_tables(experiment)
    rng = np.random.default_rng(3)
    image = rng.poisson(rate, (128, 128))
    peaks = rng.random(image.shape) < 0.05
    image[peaks] += rng.poisson(20 * rate + 30, np.count_nonzero(peaks))
    found = zone_rates((image.astype(np.int32),), tables, experiment.detector)
    n = found.n_samples[1:]
    # 0.06 is what losing one pixel in twenty from those without a count does to −ln P(0).
    error = 4 * np.sqrt(max(rate, 0.01) * 1.6 / n) + 0.06 * max(rate, 1.0)
    assert np.all(np.abs(found.rate[1:] - rate) < error)


@pytest.mark.parametrize("rate", RATES)
def test_chance_makes_few_pixels_strong(rate):
    experiment = small_experiment(size=256)
    tables = pixel_tables(experiment)
    rng = np.random.default_rng(4)
    strong, chance = 0, 1e-4
    for _ in range(4):
        image = rng.poisson(rate, (256, 256)).astype(np.int32)
        rates = zone_rates((image,), tables, experiment.detector)
        limit = frame_limits(rates, experiment.detector, headroom=1.0, chance=chance)[0]
        strong += np.count_nonzero(image > limit[tables.panels[0].zone])
    # At most p; errors of the rates of small zones are allowed a factor of two.
    assert strong <= 2 * chance * 4 * 65536 + 8


def test_a_wider_detector_is_not_full_of_strong_pixels():
    experiment = small_experiment(size=256)
    tables = pixel_tables(experiment)
    image = np.random.default_rng(5).normal(500, 60, (256, 256)).astype(np.int32)
    rates = zone_rates((image,), tables, experiment.detector)
    assert np.median(rates.spread[1:]) == pytest.approx(60**2 / 500, rel=0.15)
    limit = frame_limits(rates, experiment.detector, headroom=1.0)[0]
    assert np.count_nonzero(image > limit[tables.panels[0].zone]) < 5


def test_bins_of_counts_are_exact_to_511_and_fine_above():
    from unstill.reduction.survey.threshold import _bin_edges, _bin_of

    edges = _bin_edges()
    assert len(edges) == N_BINS + 1
    for count in [0, 1, 511, 512, 515, 516, 1023, 1024, 77777, 2**31 - 1]:
        low, high = edges[_bin_of(count)], edges[_bin_of(count) + 1]
        assert low < count < high
        assert high - low == 1 or (high - low) / low < 0.01


def test_empty_histograms_have_no_rate():
    found = rates_of(np.zeros((3, N_BINS), np.int64))
    assert np.all(found.rate == 0)
    assert np.all(found.thresholds() >= 1)


def halos(hkl):
    """A level that is thirty times as high at the rim of the masks as between reflections."""
    delta = hkl - np.floor(hkl + 0.5)
    return 1.0 + 0.5 / (np.sum(delta**2, axis=-1) + 0.015)


@pytest.mark.parametrize(("dose", "n_frames"), [(1e4, 40), (6e6, 6)])
def test_strong_halos_are_not_cut_in_any_quartile_of_the_truth(dose, n_frames):
    experiment = small_experiment(size=192, n_frames=n_frames)
    experiment = experiment.replace(
        lattice=type(experiment.lattice).oriented(
            Crystal((14.0, 17.0, 19.0, 90, 90, 90), "P 1"), experiment.lattice.u_matrix
        )
    )
    tables = pixel_tables(experiment)
    means = [
        expected_frame(experiment, frame, lambda hkl: dose * halos(hkl), bragg=300 * dose)
        for frame in range(n_frames)
    ]
    rng = np.random.default_rng(8)
    source = ArraySource([(rng.poisson(image[0]).astype(np.int32),) for image in means])
    exact = ArraySource([(np.round(image[0] * 1000).astype(np.int32),) for image in means])
    more = {"peaks": PeakShape(covariance=np.eye(3) * 0.04**2), "divisions": (5, 5, 5)}
    done = integrate_block(experiment, source, Block(0, n_frames), tables, **more)
    truth = integrate_block(
        experiment, exact, Block(0, n_frames), tables, headroom=1e9, **more
    ).coarse
    rows = done.coarse
    assert done.frames.strong.sum() <= 2e-6 * done.frames.used.sum() + 1
    expected = truth.counts / 1000
    level = expected / truth.exposure
    edges = np.quantile(level, [0, 0.25, 0.5, 0.75, 0.99, 1])
    assert edges[-1] > 6 * edges[1]
    for low, high in pairwise(edges):
        part = (level >= low) & (level <= high)
        total, mean = rows.counts[part].sum(), expected[part].sum()
        assert abs(total - mean) < 4 * np.sqrt(mean) + 1e-3 * mean


def test_cosmic_rays_and_hot_pixels_are_left_out_and_counted():
    experiment = small_experiment(n_frames=2)
    mean = expected_frame(experiment, 0, lambda hkl: np.full(hkl.shape[:-1], 2e5))[0]
    images = [np.random.default_rng(i).poisson(mean).astype(np.int32) for i in range(2)]
    images[0][10:13, 40] = 5000
    images[1][77, 77] = 2**31 - 2
    done = integrate_block(
        experiment,
        ArraySource([(image,) for image in images]),
        Block(0, 2),
        pixel_tables(experiment),
        peaks=None,
        divisions=(2, 2, 2),
    )
    np.testing.assert_array_equal(done.frames.strong, [3, 1])
    assert done.coarse.counts.max() < 5000
