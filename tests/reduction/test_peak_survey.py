"""The shape of the peaks, and what is no peak of this lattice."""

from __future__ import annotations

import numpy as np
import pytest
from small_sweep import ArraySource, expected_frame, small_experiment

from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.experiment import Lattice, Scan
from unstill.experiment.rotation import rotation_about
from unstill.reduction.integration.integrate import integrate_sweep
from unstill.reduction.integration.tables import pixel_tables
from unstill.reduction.survey.frame_cache import FrameCache
from unstill.reduction.survey.frame_check import check_frames
from unstill.reduction.survey.peak_shape import PeakShape
from unstill.reduction.survey.peak_survey import find_peak_shape, sample_frames, survey_peaks

N = 160
FRAMES = sample_frames(N, 10)


def level(hkl):
    return np.full(hkl.shape[:-1], 2e5)


class Sparse(ArraySource):
    """A sweep of which only the sampled frames exist."""

    n_frames = N


def sampled(experiment, *, bragg=5e7, offset=(0.0, 0.0, 0.0), extra=None, seed=1):
    frames = {}
    for frame in FRAMES:
        mean = expected_frame(experiment, frame, level, bragg=bragg, offset=offset)[0]
        mean = mean + (0 if extra is None else extra(frame))
        frames[frame] = (np.random.default_rng([seed, frame]).poisson(mean).astype(np.int32),)
    return Sparse(frames)


@pytest.fixture(scope="module")
def experiment():
    return small_experiment(size=256, n_frames=N, step=1.0)


@pytest.fixture(scope="module")
def tables(experiment):
    return pixel_tables(experiment)


def test_exact_geometry_gives_no_offset(experiment, tables):
    survey = survey_peaks(experiment, sampled(experiment), tables, frames=FRAMES)
    assert np.linalg.norm(survey.shape.center) <= 0.002
    assert np.all((survey.shape.widths > 0.02) & (survey.shape.widths < 0.05))
    assert survey.findings == ()
    assert survey.explained.mean() > 0.99


def test_half_a_pixel_is_seen_as_an_offset(experiment, tables):
    shift = (0.02, -0.015, 0.01)
    survey = survey_peaks(experiment, sampled(experiment, offset=shift), tables, frames=FRAMES)
    np.testing.assert_allclose(survey.shape.center, shift, atol=0.004)
    assert [finding.code for finding in survey.findings] == ["peak-offset"]


def test_a_second_lattice_is_named_and_does_not_widen_the_mask(experiment, tables):
    lattice = experiment.lattice
    turned = Lattice.oriented(
        lattice.crystal, rotation_about((0, 0.6, 0.8), 23.0) @ lattice.u_matrix
    )
    other = experiment.replace(lattice=turned)
    alone = survey_peaks(experiment, sampled(experiment), tables, frames=FRAMES)
    survey = survey_peaks(
        experiment,
        sampled(
            experiment,
            extra=lambda frame: expected_frame(
                other, frame, lambda hkl: 0 * level(hkl), bragg=5e7
            )[0],
        ),
        tables,
        frames=FRAMES,
    )
    assert "second-lattice" in [finding.code for finding in survey.findings]
    np.testing.assert_allclose(survey.shape.widths, alone.shape.widths, rtol=0.15)
    assert np.linalg.norm(survey.shape.center) < 0.004


def test_ice_rings_and_hot_pixels_are_named(experiment, tables):
    s = np.linalg.norm(tables.panels[0].s.astype(float), axis=0)

    def faults(frame):
        ring = 25.0 * np.exp(-0.5 * ((s - 1 / 3.661) / 0.001) ** 2)
        ring[200, 31] += 500
        return ring

    survey = survey_peaks(experiment, sampled(experiment, extra=faults), tables, frames=FRAMES)
    codes = [finding.code for finding in survey.findings]
    assert "hot-pixels" in codes
    assert survey.bad_pixels.tolist() == [[0, 200, 31]]
    assert "ice-rings" in codes
    assert any(abs(d - 3.661) < 0.04 for d in survey.rings)
    check = check_frames(
        experiment, sampled(experiment, extra=faults), tables, frames=FRAMES, headers=False
    )
    np.testing.assert_array_equal(check.bad_pixels, survey.bad_pixels)


def test_few_peaks_are_told_and_a_sphere_is_masked(experiment, tables):
    with pytest.warns(UnstillWarning, match="too few Bragg peaks"):
        shape = find_peak_shape(
            experiment, sampled(experiment, bragg=0.0), tables=tables, frames=FRAMES
        )
    np.testing.assert_allclose(shape.widths, 0.05)
    assert shape.n_peaks == 0


def test_shapes_survive_json_and_impossible_ones_are_refused():
    shape = PeakShape(np.array([0.01, 0, 0]), np.diag([1.0, 2, 3]) * 1e-4, 2.5, 7, 1)
    back = PeakShape.from_json(shape.to_json())
    np.testing.assert_array_equal(back.covariance, shape.covariance)
    np.testing.assert_array_equal(back.center, shape.center)
    assert (back.cutoff, back.n_peaks, back.n_rejected) == (2.5, 7, 1)
    with pytest.raises(FormatError, match="no peak shape"):
        PeakShape.from_json("[1, 2]")
    with pytest.raises(InputError, match="no ellipsoid"):
        PeakShape(covariance=np.zeros((3, 3)))


def test_every_frame_is_read_once():
    experiment = small_experiment(size=96, n_frames=23)
    rng = np.random.default_rng(2)
    images = [rng.poisson(1.0, (96, 96)).astype(np.int32) for _ in range(23)]
    images[4][3, 3:6], images[5][0, :4] = [-1, 252, 10**6], [-2, 253, 254, 255]
    source = ArraySource([(image,) for image in images])
    cache = FrameCache(source)
    tables = pixel_tables(experiment)
    survey = survey_peaks(experiment, cache, tables, frames=[0, 4, 5, 11, 22])
    survey_peaks(experiment, cache, tables, frames=[4, 5])
    more = {"peaks": survey.shape, "divisions": (4, 4, 4)}
    ours = list(integrate_sweep(experiment, cache, tables, workers=3, **more))
    assert sorted(source.reads) == list(range(23))
    assert cache.n_read == 23
    plain = list(integrate_sweep(experiment, ArraySource(source.frames), tables, **more))
    for one, other in zip(ours, plain, strict=True):
        for name, column in one.coarse.columns().items():
            np.testing.assert_array_equal(column, other.coarse.columns()[name])


def test_the_cache_returns_what_it_was_given_and_keeps_to_its_limit():
    rng = np.random.default_rng(3)
    image = rng.integers(-2, 600, (50, 60)).astype(np.int32)
    image[0, :3] = 2**31 - 1, -(2**31), 70000
    cache = FrameCache(ArraySource([(image, image[:9])] * 4), limit=20_000)
    for index in range(4):
        cache.look(index)
    assert cache.n_dropped > 0
    for index in range(4):
        for panel, expected in zip(cache.read(index), (image, image[:9]), strict=True):
            np.testing.assert_array_equal(panel, expected)
    assert cache._bytes == 0


def test_the_scan_sets_the_sample():
    assert sample_frames(3, 16) == [0, 1, 2]
    assert Scan(5).n_frames == 5
