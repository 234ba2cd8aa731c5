"""Predicted spots land where the exact geometry has their hkl."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from geometries import lattice, sweep, tilted_panel
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import InputError
from unstill.experiment import Beam, Detector, Experiment, Goniometer, Lattice, Scan
from unstill.experiment.extent import beam_center, corner_resolution, edge_resolution
from unstill.experiment.pixels import lab_positions, scattering_vectors
from unstill.experiment.predict import predict_spots, ray_to_pixel, rays_to_pixels


def all_hkl(n: int = 12) -> np.ndarray:
    axis = np.arange(-n, n + 1)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


@given(
    fast=st.floats(0, 256),
    slow=st.floats(0, 256),
    tilt=st.floats(-50, 50),
    sensor=st.booleans(),
)
def test_a_ray_comes_back_to_the_pixel_it_came_from(
    fast: float, slow: float, tilt: float, sensor: bool
) -> None:
    panel = tilted_panel(tilt=tilt, sensor=sensor)
    ray = lab_positions(panel, fast, slow)
    back = ray_to_pixel(panel, 0.37 * ray)
    np.testing.assert_allclose(back, (fast, slow), atol=1e-10)


@given(
    seed=st.integers(0, 1000),
    drifts=st.booleans(),
    sensor=st.booleans(),
    step=st.sampled_from([0.7, -0.4, 3.0]),
    exposed=st.sampled_from([1.0, 0.6]),
)
def test_every_spot_has_the_hkl_it_was_predicted_for(
    seed: int, drifts: bool, sensor: bool, step: float, exposed: float
) -> None:
    experiment = sweep(seed, drifts=drifts, sensor=sensor, step=step)
    assert experiment.scan is not None
    scan = replace(experiment.scan, phi_width=exposed * step)
    experiment = experiment.replace(scan=scan)
    hkl = all_hkl(9)
    spots = predict_spots(experiment, hkl)
    assert len(spots) > 5
    assert np.all((spots.frame >= 0) & (spots.frame <= experiment.n_frames))
    panel = experiment.detector.panels[0]
    s = scattering_vectors(experiment.beam, panel, spots.fast, spots.slow)
    for k in range(0, len(spots), 5):
        found = experiment.hkl_matrix(float(spots.frame[k])) @ s[k]
        np.testing.assert_allclose(found, hkl[spots.index[k]], atol=1e-8)
        assert experiment.phi(float(spots.frame[k])) == pytest.approx(spots.phi[k])


@pytest.mark.parametrize("drifts", [False, True])
def test_no_crossing_of_the_sphere_is_missed(drifts: bool) -> None:
    """Every change of side between fine steps of the angle is one prediction."""
    experiment = sweep(5, n_frames=40, step=2.0, drifts=drifts)
    hkl = all_hkl(5)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    spots = predict_spots(experiment.replace(detector=_sphere()), hkl)
    at = np.linspace(0, experiment.n_frames, 2001)
    side = np.array(
        [
            np.linalg.norm(hkl @ experiment.setting(p).T + experiment.beam.s0, axis=1)
            > 1 / experiment.beam.wavelength
            for p in at
        ]
    )
    counted = np.sum(side[1:] != side[:-1], axis=0)
    predicted = np.bincount(spots.index, minlength=len(hkl))
    # Two crossings within one fine step escape the count by sides.
    differing = np.flatnonzero(counted != predicted)
    assert np.all(predicted[differing] - counted[differing] == 2)
    assert len(differing) < 0.005 * len(hkl)
    assert counted.sum() > 300


def _sphere() -> Detector:
    """Six panels that let no ray out."""
    from geometries import closed_box

    return closed_box(4)


def test_several_turns_bring_a_spot_back_as_often() -> None:
    once = sweep(1, n_frames=360, step=1.0)
    twice = sweep(1, n_frames=720, step=1.0)
    hkl = all_hkl(5)
    n_once, n_twice = len(predict_spots(once, hkl)), len(predict_spots(twice, hkl))
    assert n_twice == 2 * n_once > 100


def test_stills_have_the_lattice_points_near_the_sphere() -> None:
    still = Experiment(Beam(1.0), Detector((tilted_panel(),)), lattice=lattice(4))
    hkl = all_hkl()
    spots = predict_spots(still, hkl, max_excitation=1e-3)
    length = np.linalg.norm(spots.s1, axis=1)
    assert len(spots) > 5
    assert np.all(np.abs(length - 1) <= 1e-3)
    assert len(predict_spots(still, hkl, max_excitation=2e-3)) > len(spots)


def test_stills_at_steps_are_predicted_frame_by_frame() -> None:
    whole = sweep(6, n_frames=4, step=1.0)
    scan = Scan(4, -12.0, 1.0, 0.0)
    stills = whole.replace(scan=scan)
    hkl = all_hkl()
    spots = predict_spots(stills, hkl)
    one = whole.replace(scan=Scan(1, -10.0, 1.0, 0.0))
    third = predict_spots(one, hkl)
    np.testing.assert_array_equal(np.sort(third.index), np.sort(spots.index[spots.frame == 2.5]))


def test_spots_between_two_exposures_are_left_out() -> None:
    whole = sweep(6, n_frames=10, step=1.0)
    half = whole.replace(scan=Scan(10, -12.0, 1.0, 0.5))
    hkl = all_hkl()
    all_spots, seen = predict_spots(whole, hkl), predict_spots(half, hkl)
    exposed = np.mod(all_spots.phi + 12.0, 1.0) <= 0.5
    assert len(seen) == exposed.sum()
    for k in range(len(seen)):
        assert half.phi(float(seen.frame[k])) == pytest.approx(seen.phi[k])


def test_frames_at_one_angle_cannot_be_predicted_between() -> None:
    with pytest.raises(InputError, match="one angle"):
        predict_spots(sweep().replace(scan=Scan(3, 0.0, 0.0, 0.2)), all_hkl(2))


def test_the_first_panel_that_is_hit_is_told() -> None:
    far, near = tilted_panel(tilt=0.0), tilted_panel(tilt=60.0, distance=90.0)
    detector = Detector((far, near))
    rays = np.array(
        [lab_positions(far, 10.0, 20.0), [0.0, 0.0, 1.0], lab_positions(near, 3.0, 4.0)]
    )
    panel, fast, _ = rays_to_pixels(detector, rays)
    assert panel[0] == 0
    assert panel[1] == -1
    assert np.isnan(fast[1])


def test_what_a_detector_reaches() -> None:
    from unstill.experiment import Panel

    panel = Panel((-10.0, 10.0, -100.0), (1, 0, 0), (0, -1, 0), (0.1, 0.1), (300, 250))
    beam = Beam(1.0)
    detector = Detector((panel,))
    assert beam_center(beam, detector) == pytest.approx((0, 100.0, 100.0))
    edge, corner = np.arctan(10 / 100), np.arctan(np.hypot(20, 15) / 100)
    assert edge_resolution(beam, detector) == pytest.approx(0.5 / np.sin(edge / 2), rel=1e-4)
    assert corner_resolution(beam, detector) == pytest.approx(0.5 / np.sin(corner / 2))
    assert edge_resolution(beam, Detector((panel, panel))) is None
    on_the_rim = Panel((0.0, 10.0, -100.0), (1, 0, 0), (0, -1, 0), (0.1, 0.1), (300, 250))
    assert edge_resolution(beam, Detector((on_the_rim,))) is None


def test_a_drift_beyond_the_scan_points_is_refused() -> None:
    drifting = lattice(0, n_frames=5)
    with pytest.raises(InputError, match="do not match the scan"):
        sweep(n_frames=6).replace(lattice=drifting)


def test_a_lattice_in_another_setting_than_its_cell_is_refused() -> None:
    good = lattice()
    with pytest.raises(InputError, match="another unit cell"):
        Lattice(good.crystal, good.a_matrix[:, [1, 2, 0]])


def test_a_goniometer_must_turn() -> None:
    with pytest.raises(InputError, match="no rotation"):
        Goniometer((1, 0, 0), fixed_rotation=2 * np.eye(3))
