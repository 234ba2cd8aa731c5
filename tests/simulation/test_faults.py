"""Every fault can be seen in the frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated import CRYSTAL, make_frames

from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError
from unstill.experiment import OVERLOADED, Detector
from unstill.experiment.pixels import scattering_vectors
from unstill.experiment.predict import predict_spots
from unstill.io.frames.mini_cbf import read_cbf
from unstill.io.image_writers import write_cbf
from unstill.simulation.crossings import wrong_crossings
from unstill.simulation.faults import ICE_SPACINGS, Faults, with_distance_error
from unstill.simulation.outliers import Outliers
from unstill.simulation.places import places_at


def _with(frames, **faults):
    return replace(frames, faults=Faults(**faults))


def test_hot_and_dead_pixels_are_the_same_in_every_frame():
    frames = _with(make_frames(counts=3.0), hot_pixels=5, dead_pixels=40, hot_level=1000.0)
    hot, dead = frames.faults.bad_pixels(128 * 128)
    assert len(set(hot) | set(dead)) == 45
    for i in (0, 3):
        flat = frames.read(i)[0].ravel()
        assert flat[hot].min() > 800
        assert np.all(flat[dead] == 0)
        rest = np.delete(flat, hot)
        assert rest.max() < 50


def test_bad_pixels_that_count_too_much_are_overloaded(tmp_path):
    frames = make_frames()
    (panel,) = frames.experiment.detector.panels
    narrow = replace(panel, trusted_range=(0.0, 100.0))
    experiment = frames.experiment.replace(detector=Detector((narrow,)))
    frames = replace(
        frames, experiment=experiment, faults=Faults(hot_pixels=5, hot_level=1e3, zingers=4.0)
    )
    (values,) = frames.read(0)
    hot, _ = frames.faults.bad_pixels(values.size)
    assert np.all(values.ravel()[hot] == OVERLOADED)
    assert values.max() <= 100
    write_cbf(tmp_path / "x.cbf", values, frames.header(0))
    np.testing.assert_array_equal(read_cbf(tmp_path / "x.cbf"), values)


def test_counts_beyond_any_detector_are_refused():
    frames = replace(make_frames(), flux=1e30)
    with pytest.raises(InputError, match="more than any detector can"):
        frames.read(0)


def test_zingers_strike_elsewhere_in_every_frame():
    frames = _with(make_frames(), zingers=6.0)
    struck = [set(np.flatnonzero(frames.read(i)[0].ravel() > 400)) for i in range(4)]
    assert 4 < sum(map(len, struck)) < 60
    assert not struck[0] & struck[1]


def test_ice_stands_in_rings():
    frames = make_frames(detector="small")
    more = _with(frames, ice=float(frames.truth.scale)).expected(0)[0] - frames.expected(0)[0]
    x, y = np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.5)
    s = places_at(frames.experiment, 0, x, y).s
    ring = np.abs(s - 1 / ICE_SPACINGS[0]) < 0.001
    away = np.min(np.abs(s[..., None] - 1 / np.array(ICE_SPACINGS)), axis=-1) > 0.01
    assert more[ring].mean() > 1000 * abs(more[away].mean())


def test_a_second_lattice_puts_peaks_where_it_predicts_them():
    bare = make_frames(detector="small", bragg=True, n_frames=8)
    both = _with(bare, second_lattice=0.5)
    added = np.sum([both.expected(i)[0] - bare.expected(i)[0] for i in range(8)], axis=0)
    second = both.faults.second(bare.experiment)
    hkl = np.argwhere(bare.peaks.f_squared > 0) + np.array(bare.peaks.start)
    spots = predict_spots(second, hkl)
    inner = (spots.frame > 1) & (spots.frame < 7)
    heights = added[spots.slow[inner].astype(int), spots.fast[inner].astype(int)]
    assert np.median(heights) > 5 * np.median(added)
    angle = second.lattice.u_matrix @ bare.experiment.lattice.u_matrix.T
    assert np.degrees(np.arccos((np.trace(angle) - 1) / 2)) == pytest.approx(4.0)


def test_radiation_damage_takes_high_resolution_first():
    frames = make_frames(detector="small", n_frames=4)
    aged = _with(frames, decay=40.0)
    x, y = np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.5)
    s = places_at(frames.experiment, 0, x, y).s
    for i in (0, 3):
        wanted = np.exp(-40.0 * (i + 0.5) * 0.1 / 2 * s**2)
        np.testing.assert_allclose(aged.expected(i)[0] / frames.expected(i)[0], wanted, rtol=1e-9)


def test_a_beam_trip_leaves_a_tenth():
    frames = make_frames(background=1.0)
    tripped = _with(frames, beam_trip=(2,))
    np.testing.assert_allclose(tripped.expected(2)[0], 0.1 * frames.expected(2)[0])
    np.testing.assert_array_equal(tripped.expected(1)[0], frames.expected(1)[0])


def test_outliers_are_the_crossings_that_the_label_names():
    outliers = Outliers((2, 2, 2), frames_per_block=2, bright=0.05, dark=0.1, seed=4)
    frames = make_frames()
    wrong = replace(frames, faults=Faults(outliers=outliers))
    x, y = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    experiment = frames.experiment
    s = scattering_vectors(experiment.beam, experiment.detector.panels[0], x, y)
    for i in (1, 2):
        hkl = (s @ experiment.hkl_matrix(i + 0.5).T).reshape(-1, 3)
        index = np.rint(hkl * 2).astype(np.int64)
        label = outliers.label(index, np.full(len(index), i // 2))
        factor = np.array([1.0, 2.0, 0.2])[label].reshape(128, 128)
        np.testing.assert_allclose(wrong.expected(i)[0], factor * frames.expected(i)[0], rtol=1e-9)
    many = np.random.default_rng(1).integers(-60, 60, (40000, 3))
    counts = np.bincount(outliers.label(many, np.zeros(40000, int)), minlength=3) / 40000
    np.testing.assert_allclose(counts, [0.85, 0.05, 0.1], atol=0.01)
    # Mates are wrong independently: an outlier is one crossing, not one intensity.
    mates = many @ laue_operations(CRYSTAL)[1]
    assert np.mean(outliers.label(mates, np.zeros(40000, int)) == 0) < 0.9


def test_outliers_of_so_many_sigmas():
    """Sums over whole crossings, in plain numpy, are 20 √N away; hopeless dark ones are right."""
    outliers = Outliers((2, 2, 2), frames_per_block=2, bright=0.1, dark=0.1, sigmas=20.0)
    frames = make_frames(counts=60.0, background=20.0, effects=True)
    wrong = replace(frames, faults=Faults(outliers=outliers))
    experiment = frames.experiment
    x, y = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    s = scattering_vectors(experiment.beam, experiment.detector.panels[0], x, y).reshape(-1, 3)
    index = np.concatenate(
        [np.rint(2 * s @ experiment.hkl_matrix(i + 0.5).T).astype(int) for i in (2, 3)]
    )
    voxels, place = np.unique(index, axis=0, return_inverse=True)
    sums = [
        np.bincount(place.ravel(), np.concatenate([f.expected(i)[0].ravel() for i in (2, 3)]))
        for f in (frames, wrong)
    ]
    z = (sums[1] - sums[0]) / np.sqrt(sums[0])
    listed = wrong_crossings(wrong, 1)
    label = listed.label(voxels)
    np.testing.assert_allclose(z, np.array([0.0, 20.0, -20.0])[label], atol=1e-6)
    chosen = outliers.label(voxels, np.ones(len(voxels), int))
    assert np.all(label[chosen == 1] == 1)
    spared = (chosen == 2) & (label == 0)
    assert 0 < spared.sum() < (chosen == 2).sum()
    assert sums[0][spared].max() < 2500


def test_a_distance_error_moves_the_detector_along_its_normal():
    experiment = make_frames().experiment
    wrong = with_distance_error(experiment, 5.0)
    panel, before = wrong.detector.panels[0], experiment.detector.panels[0]
    assert panel.distance == pytest.approx(before.distance + 5)
    np.testing.assert_allclose(panel.origin[:2], before.origin[:2])
