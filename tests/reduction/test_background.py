"""Smooth backgrounds with a variance that holds, and mismatches by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_sweep import ArraySource, poisson_source, small_experiment

from unstill.errors import InputError
from unstill.experiment import Detector, Scan
from unstill.reduction.background.background import Background, PanelBackground
from unstill.reduction.background.background_check import check_against_counts, match_background
from unstill.reduction.background.measure_background import _nodes_of, measure_background
from unstill.reduction.background.smooth_grid import smooth_counts
from unstill.reduction.integration.blocks import Block
from unstill.reduction.integration.integrate import integrate_block
from unstill.reduction.integration.tables import pixel_tables
from unstill.reduction.pipeline.saved_result import load_result, save_result


def truth(x, y, phi=0.0):
    """Photons a second and a pixel: a hump, a slope, and a turn with the angle."""
    hump = 8 * np.exp(-0.5 * (((x - 60) / 35) ** 2 + ((y - 70) / 30) ** 2))
    return (2 + hump + 0.01 * x) * (1 + 0.3 * np.sin(np.radians(phi)))


def sweep(n_frames=6, step=0.5, time=0.5, seed=0):
    experiment = small_experiment(n_frames=n_frames, step=step, time=time).replace(lattice=None)
    x, y = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    frames = []
    for frame in range(n_frames):
        mean = time * truth(x, y, experiment.phi(frame + 0.5))
        rng = np.random.default_rng([seed, frame])
        frames.append((rng.poisson(mean).astype(np.int32),))
    return experiment, ArraySource(frames)


def test_the_surface_follows_the_truth_within_its_sigma():
    experiment, source = sweep()
    measured = measure_background(experiment, source, bin_pixels=8)
    assert len(measured.phi) == 1
    x, y = np.meshgrid(np.arange(4.0, 124, 3), np.arange(4.0, 124, 3))
    rate, sigma = measured.at(0, x, y, 1.5)
    error = rate - truth(x, y, 1.5)
    assert np.sqrt(np.mean(error**2)) / truth(x, y).mean() < 0.035
    assert 0.5 < np.sqrt(np.mean((error / sigma) ** 2)) < 2.0


def test_the_variance_is_that_of_repeated_measurements():
    x, y = np.meshgrid(np.arange(12.0) * 8 + 10, np.arange(11.0) * 8 + 20)
    exposure = np.full(x.shape, 40.0)
    exposure[3, 4:6] = 0
    rng = np.random.default_rng(1)
    mean = truth(x, y) * exposure
    fits = [smooth_counts(rng.poisson(mean), exposure, smoothness=30.0) for _ in range(150)]
    values = np.array([fit.value for fit in fits])
    told = np.mean([fit.variance / fit.spread**2 for fit in fits], axis=0)
    ratio = values.var(axis=0) / told
    assert 0.85 < np.median(ratio) < 1.15
    assert np.all((ratio > 0.5) & (ratio < 1.7))
    # Smoothing pays: the variance is below that of a single bin.
    assert np.median(told[exposure > 0] / (truth(x, y) / 40)[exposure > 0]) < 0.5


def test_random_vectors_give_the_exact_variance(monkeypatch):
    x, y = np.meshgrid(np.arange(30.0) * 4, np.arange(30.0) * 4)
    counts = np.random.default_rng(2).poisson(truth(x, y) * 20)
    exact = smooth_counts(counts, np.full(x.shape, 20.0), smoothness=50.0)
    monkeypatch.setattr("unstill.reduction.background.smooth_grid.EXACT_NODES", 10)
    probed = smooth_counts(counts, np.full(x.shape, 20.0), smoothness=50.0)
    inner = (slice(3, -3), slice(3, -3))
    ratio = probed.variance[inner] / exact.variance[inner]
    assert abs(np.median(ratio) - 1) < 0.1
    assert np.all((ratio > 0.5) & (ratio < 2))


def test_bins_with_a_spot_are_dropped():
    x, y = np.meshgrid(np.arange(16.0) * 8, np.arange(16.0) * 8)
    exposure = np.full(x.shape, 100.0)
    counts = np.random.default_rng(3).poisson(truth(x, y) * exposure).astype(float)
    counts[5, 6] += 3000
    fit = smooth_counts(counts, exposure)
    assert fit.rejected[5, 6]
    assert np.count_nonzero(fit.rejected) <= 3
    assert abs(fit.value[5, 6] / truth(x, y)[5, 6] - 1) < 0.1


def test_a_long_sweep_turns_and_carries_through_files(tmp_path):
    experiment, source = sweep(n_frames=18, step=10.0)
    measured = measure_background(experiment, source, bin_pixels=16, bin_phi=30)
    assert len(measured.phi) == 6
    x = np.array([60.0])
    for phi in (20.0, 75.0, 140.0):
        rate, _ = measured.at(0, x, np.array([70.0]), phi)
        assert rate[0] == pytest.approx(truth(60, 70, phi), rel=0.06)
    save_result(measured, tmp_path / "background.npz")
    back = load_result(tmp_path / "background.npz")
    assert isinstance(back, Background)
    np.testing.assert_array_equal(back.panels[0].rate, measured.panels[0].rate)
    assert back.notes == measured.notes


def test_rows_carry_background_and_its_sigma():
    dark, source = sweep(n_frames=10, step=0.1)
    experiment = small_experiment(time=2.0, n_frames=4)
    measured = measure_background(dark, source, bin_pixels=8)
    x, y = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    rng = np.random.default_rng(5)
    images = [(rng.poisson(2.0 * truth(x, y)).astype(np.int32),) for _ in range(4)]
    rows = integrate_block(
        experiment,
        ArraySource(images),
        Block(0, 4),
        pixel_tables(experiment),
        peaks=None,
        divisions=(1, 1, 1),
        background=measured,
    ).coarse
    assert rows.background.sum() == pytest.approx(rows.counts.sum(), rel=0.01)
    assert np.all(rows.background_sigma > 0)
    chi = (rows.counts - rows.background) / np.sqrt(rows.counts + 1 + rows.background_sigma**2)
    assert np.std(chi) == pytest.approx(1, abs=0.15)
    assert check_against_counts(rows) == []
    wrong = check_against_counts(rows.replace(background=rows.background * 1.5))
    assert [finding.code for finding in wrong] == ["wrong-background"]
    assert "factor of 1.5" in wrong[0].found


def test_differences_are_named_with_both_values():
    data = small_experiment(time=0.5)
    match = match_background(small_experiment(time=0.1), data)
    assert [f.code for f in match.findings] == ["background-exposure"]
    assert "0.1 s and 0.5 s" in match.findings[0].found
    assert not match.is_wrong
    thin = data.replace(beam=replace(data.beam, transmission=0.2))
    match = match_background(thin, data)
    assert match.factor == pytest.approx(5.0)
    assert not match.is_wrong
    match = match_background(small_experiment(distance=66.0, time=0.5), data)
    assert [f.code for f in match.findings] == ["background-distance"]
    assert "66 mm and 60 mm" in match.findings[0].found
    assert match.is_wrong
    other = data.replace(beam=replace(data.beam, wavelength=1.0))
    assert [f.code for f in match_background(other, data).findings] == ["background-energy"]
    with pytest.raises(InputError, match="another detector"):
        match_background(small_experiment(size=96), data)
    panel = replace(data.detector.panels[0], pixel_size=(0.1, 0.1))
    coarse = data.replace(detector=Detector((panel,)))
    assert "background-pixels" in [f.code for f in match_background(coarse, data).findings]


def test_a_scaled_background_keeps_its_relative_error():
    experiment, source = sweep(n_frames=2)
    measured = measure_background(experiment, source, bin_pixels=16)
    twice = measured.scaled(2.0)
    x = np.array([30.0, 90.0])
    rate, sigma = measured.at(0, x, x, 0.0)
    more, wider = twice.at(0, x, x, 0.0)
    np.testing.assert_allclose(more, 2 * rate)
    np.testing.assert_allclose(wider, 2 * sigma)
    with pytest.raises(InputError, match="cannot be scaled"):
        measured.scaled(0.0)


def test_impossible_backgrounds_are_refused():
    experiment, source = sweep(n_frames=2)
    with pytest.raises(InputError, match="exposure time is zero"):
        measure_background(experiment.replace(scan=Scan(2)), source)
    gaps = ArraySource([(np.full((128, 128), -1, np.int32),)] * 2)
    with pytest.raises(InputError, match="no pixel of the background"):
        measure_background(experiment, gaps)
    with pytest.raises(InputError, match="without frames"):
        measure_background(experiment, ArraySource([]))
    with pytest.raises(InputError, match="another detector"):
        integrate_block(
            small_experiment(panels=2),
            poisson_source(small_experiment(panels=2), lambda hkl: np.ones(hkl.shape[:-1])),
            Block(0, 1),
            pixel_tables(small_experiment(panels=2)),
            peaks=None,
            divisions=(1, 1, 1),
            background=measure_background(experiment, source),
        )


def test_steep_air_scatter_is_followed_and_its_total_is_kept():
    y, x = np.mgrid[0:50, 0:50]
    s = np.hypot(y - 25, x - 24) / 50
    mean = 40 * np.exp(-s / 0.1) + 6 * np.exp(-((s - 0.3) ** 2) / 0.01) + 2
    for exposure, tolerance in ((1.0, 0.15), (100.0, 0.035)):
        counts = np.random.default_rng(8).poisson(mean * exposure)
        fit = smooth_counts(counts, np.full(s.shape, exposure))
        assert not np.any(fit.rejected)
        assert fit.value.sum() * exposure == pytest.approx(counts.sum(), rel=0.003)
        assert np.sqrt(np.mean((fit.value / mean - 1) ** 2)) < tolerance
        assert np.sqrt(np.mean((fit.value - mean) ** 2 / fit.variance)) < 2


def test_few_counts_are_not_followed_one_by_one():
    counts = np.random.default_rng(9).poisson(0.1, (40, 40))
    fit = smooth_counts(counts, np.ones(counts.shape))
    assert fit.value == pytest.approx(counts.mean(), rel=0.4)
    assert not np.any(fit.rejected)


@pytest.mark.parametrize(
    ("n_pixels", "size"), [(256, 3), (12, 3), (10, 4), (11, 4), (7, 1), (9, 2)]
)
def test_interpolation_between_nodes_keeps_the_average_of_every_bin(n_pixels, size):
    shape = (n_pixels, n_pixels + size)
    bins = [max(1, round(n / size)) for n in shape]
    averages = 1 + 0.3 * np.random.default_rng(10).random(bins)
    nodes = _nodes_of(averages, shape, size)
    x, y = ((np.arange(n) + 0.5) * size for n in bins[::-1])
    panel = PanelBackground(x, y, nodes[None], 0 * nodes[None])
    at = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    rate, _ = Background(np.zeros(1), (panel,)).at(0, *at, 0.0)
    row, column = (
        np.minimum(np.arange(n) // size, m - 1) for n, m in zip(shape, bins, strict=True)
    )
    label = row[:, None] * bins[1] + column
    found = np.bincount(label.ravel(), rate.ravel()) / np.bincount(label.ravel())
    np.testing.assert_allclose(found, averages.ravel(), rtol=1e-12)


def test_few_counts_do_not_flatten_a_ring():
    # What smoothing alone adds: compared with the counts, ring by ring, over several draws.
    y, x = np.mgrid[0:60, 0:60]
    s = np.hypot(y - 30, x - 29) / 60
    mean = 110 * (np.exp(-s / 0.1) + 0.15 * np.exp(-((s - 0.3) ** 2) / 0.01) + 0.05)
    ring = np.minimum((s * 16).astype(int), 10).ravel()
    fitted, counted = np.zeros(11), np.zeros(11)
    for seed in range(3):
        counts = np.random.default_rng([11, seed]).poisson(mean)
        value = smooth_counts(counts, np.ones(s.shape)).value
        fitted += np.bincount(ring, value.ravel())
        counted += np.bincount(ring, counts.ravel())
    # Ten times the smoothness would bias them by up to 3 %.
    np.testing.assert_allclose(fitted, counted, rtol=0.006)
