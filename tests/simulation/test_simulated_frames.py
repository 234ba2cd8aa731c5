"""Simulated frames: the same bits always, and the mean that the formula gives."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import xraydb
from simulated import CRYSTAL, make_frames

from unstill.errors import InputError
from unstill.experiment import INVALID, OVERLOADED, Beam, Detector
from unstill.experiment.corrections import pixel_response
from unstill.experiment.pixels import pixel_centers, scattering_vectors
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.detectors import DETECTORS, make_detector, make_experiment
from unstill.simulation.faults import Faults
from unstill.simulation.frames import SimulatedFrames, beam_center, flux_for, response_at
from unstill.simulation.pixel_kernel import pixel_rows
from unstill.simulation.places import places_at


def test_a_frame_depends_on_seed_and_number_alone():
    frames = make_frames(bragg=True, effects=True, background=0.5, faults=Faults(zingers=3))
    first = [frames.read(i)[0] for i in range(4)]
    backwards = make_frames(bragg=True, effects=True, background=0.5, faults=Faults(zingers=3))
    for i in (3, 1, 2, 0):
        np.testing.assert_array_equal(backwards.read(i)[0], first[i])
    copied = pickle.loads(pickle.dumps(frames))
    with ThreadPoolExecutor(3) as pool:
        for i, found in enumerate(pool.map(copied.read, range(4))):
            np.testing.assert_array_equal(found[0], first[i])
    assert not np.array_equal(replace(frames, seed=2).read(0)[0], first[0])
    assert not np.array_equal(first[0], first[1])


def test_counts_are_poisson_about_the_expected_mean():
    frames = make_frames(counts=3.0, background=0.5)
    mean = frames.expected(1)[0]
    drawn = np.array([replace(frames, seed=i).read(1)[0] for i in range(60)])
    assert drawn.dtype == np.int32
    z = (drawn.mean(axis=0) - mean) / np.sqrt(mean / 60)
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1, abs=0.02)
    assert np.mean(drawn.var(axis=0, ddof=1) / mean) == pytest.approx(1, abs=0.01)


def test_the_mean_is_the_whole_chain_in_plain_python():
    """λ = tT[adΩAEP(bK(I + Bragg) + c) + background], pixel by pixel."""
    frames = make_frames(bragg=True, effects=True, background=0.7, drift=0.3)
    frames = replace(frames, experiment=_with_transmission(frames.experiment, 0.6))
    experiment, effects = frames.experiment, frames.effects
    panel, beam = experiment.detector.panels[0], experiment.beam
    index, t = 2, 0.1
    expected = frames.expected(index)[0]
    energy = 12398.4198 / beam.wavelength
    mu_si = xraydb.material_mu("Si", energy, density=2.329) / 10
    rng = np.random.default_rng(5)
    for row, column in rng.integers(0, 128, (12, 2)):
        x, y = column + 0.5, row + 0.5
        flat = (
            np.array(panel.origin)
            + x * panel.pixel_size[0] * np.array(panel.fast_axis)
            + y * panel.pixel_size[1] * np.array(panel.slow_axis)
        )
        distance = np.linalg.norm(flat)
        u = flat / distance
        cosine = abs(u @ np.cross(panel.fast_axis, panel.slow_axis))
        path = panel.thickness / cosine
        depth = 1 / mu_si - (path + 1 / mu_si) * np.exp(-mu_si * path)
        in_plane = u - (u @ panel.normal) * panel.normal
        ray = flat - depth * in_plane
        s = ray / np.linalg.norm(ray) / beam.wavelength - beam.s0
        solid = panel.pixel_size[0] * panel.pixel_size[1] * cosine / distance**2
        efficiency = 1 - np.exp(-mu_si * path)
        # Vertical normal and nearly full polarisation: the field is horizontal.
        polarised = 0.999 * (1 - u[0] ** 2) + 0.001 * (1 - u[1] ** 2)
        air = np.exp(-_air(energy) * distance)
        response = solid * efficiency * polarised * air
        hkl = np.linalg.inv(experiment.setting(index + 0.5)) @ s
        bragg = np.mean(
            [
                frames.peaks.at(np.linalg.inv(experiment.setting(index + (k + 0.5) / 5)) @ s)
                for k in range(5)
            ]
        )
        phi = experiment.phi(index + 0.5)
        place = places_at(experiment, 0, np.array([x]), np.array([y]))
        a, b = effects.absorption(place, phi)[0], effects.scale(place, phi)
        c, d = effects.offset(place, phi)[0], effects.response(place, phi)[0]
        rate = response * a * d * (b * frames.flux * (frames.truth.at(hkl) + bragg) + c)
        wanted = 0.6 * t * (rate + frames.background(place, phi)[0])
        assert expected[row, column] == pytest.approx(wanted, rel=2e-4)
        # Each effect is at work here.
        assert abs(a - 1) > 1e-4 or abs(d - 1) > 1e-4
        assert c > 0


def _air(energy: float) -> float:
    """Air as nanoBragg-like programs know it: 1.2 kg/m³ of nitrogen and oxygen (mm⁻¹)."""
    return xraydb.material_mu("N1.562O0.42Ar0.0093", energy, density=0.001205) / 10


def _with_transmission(experiment, share):
    return experiment.replace(beam=replace(experiment.beam, transmission=share))


@pytest.mark.parametrize("parallax", [True, False])
def test_compiled_pixels_are_those_of_the_geometry(parallax):
    detector = make_detector("tiny", tilt=(3.0, -4.0), parallax=parallax, distance=120.0)
    beam = Beam(0.9, (0.01, -0.02, 1.0), (0.1, 0.9, 0.05), 0.8)
    panel = detector.panels[0]
    x, y = pixel_centers(panel)
    s, response = pixel_rows(beam, panel, 30, 70)
    np.testing.assert_allclose(s, scattering_vectors(beam, panel, x, y[30:70]), atol=1e-14)
    np.testing.assert_allclose(response, pixel_response(beam, panel)[30:70], rtol=1e-12)


def test_units_flux_is_photons_a_second_and_a_steradian_for_one_square_electron():
    """A pixel of known solid angle, straight ahead: counts = K I t Ω A E."""
    frames = make_frames(counts=1.0)
    experiment = frames.experiment
    x, y = beam_center(experiment)
    x, y = np.array([x + 9]), np.array([y])
    panel = experiment.detector.panels[0]
    solid = 1.6**2 / 200.0**2 * np.cos(np.arctan(9 * 1.6 / 200)) ** 3
    efficiency = 1 - np.exp(-panel.mu * 0.45)
    response = response_at(experiment, 0, x, y)
    assert response == pytest.approx(solid * efficiency * np.exp(-_air(12398.4) * 200), rel=6e-3)


def test_flux_for_gives_the_mean_counts():
    frames = make_frames(counts=2.5)
    assert frames.expected(0)[0].mean() == pytest.approx(2.5, rel=0.02)


def test_gaps_are_invalid_and_too_many_counts_overloaded():
    frames = make_frames(detector="modular", counts=3.0)
    values = frames.read(0)[0]
    panel = frames.experiment.detector.panels[0]
    gap = np.zeros(panel.shape, dtype=bool)
    for fast0, slow0, fast1, slow1 in panel.masked:
        gap[slow0:slow1, fast0:fast1] = True
    assert gap.any()
    np.testing.assert_array_equal(values == INVALID, gap)
    low = replace(panel, trusted_range=(0.0, 4.0))
    cut = replace(frames, experiment=frames.experiment.replace(detector=Detector((low,))))
    found = cut.read(0)[0]
    np.testing.assert_array_equal(found == OVERLOADED, values > 4)
    np.testing.assert_array_equal(found[found >= 0], values[(values >= 0) & (values <= 4)])


def test_panels_of_their_own_count_what_the_whole_counts():
    whole = make_frames(detector="modular", effects=False)
    split = make_detector("modular", split=True)
    parts = replace(whole, experiment=whole.experiment.replace(detector=split))
    image = whole.expected(0)[0]
    assert parts.shapes == ((80, 120),) * 6
    for panel, mean in zip(split.panels, parts.expected(0), strict=True):
        fast, slow = panel.offset
        np.testing.assert_allclose(mean, image[slow : slow + 80, fast : fast + 120], rtol=1e-9)
    assert [values.shape for values in parts.read(0)] == [(80, 120)] * 6


def test_gain_and_pedestal():
    frames = make_frames(counts=3.0)
    panel = replace(frames.experiment.detector.panels[0], gain=2.0, pedestal=10.0)
    ccd = replace(frames, experiment=frames.experiment.replace(detector=Detector((panel,))))
    np.testing.assert_array_equal((ccd.read(0)[0] - 10) / 2, frames.read(0)[0])


def test_header_says_what_is():
    header = make_frames().header(3)
    assert (header.phi_start, header.phi_width, header.exposure_time) == (0.75, 0.25, 0.1)
    assert header.distance == pytest.approx(200.0)
    assert header.beam_center == pytest.approx((67.3, 61.3))


def test_detectors_have_the_sizes_of_the_field():
    sizes = {name: kind.image_size for name, kind in DETECTORS.items()}
    assert sizes["pilatus-2m"] == (1475, 1679)
    assert sizes["pilatus-6m"] == (2463, 2527)
    assert sizes["eiger-16m"] == (4148, 4362)
    gap_pixels = 1475 * 1679 - 24 * 487 * 195
    panel = make_detector("pilatus-2m").panels[0]
    marked = np.zeros(panel.shape, dtype=bool)
    for fast0, slow0, fast1, slow1 in panel.masked:
        marked[slow0:slow1, fast0:fast1] = True
    assert marked.sum() == gap_pixels


def test_refusals():
    frames = make_frames()
    with pytest.raises(InputError, match="no such frame"):
        frames.read(4)
    with pytest.raises(InputError, match="without crystal"):
        SimulatedFrames(frames.experiment.replace(lattice=None), AnalyticTruth(CRYSTAL))
    with pytest.raises(InputError, match="mean count of a pixel is negative"):
        replace(frames, background=lambda places, phi: -1e3).read(0)
    with pytest.raises(InputError, match="unknown detector"):
        make_detector("kodak")


def test_orientation_and_drift_follow_the_seed():
    one, two = (make_experiment(CRYSTAL, n_frames=4, seed=s, drift=0.2) for s in (1, 2))
    again = make_experiment(CRYSTAL, n_frames=4, seed=1, drift=0.2)
    np.testing.assert_array_equal(one.lattice.a_at_scan_points, again.lattice.a_at_scan_points)
    assert not np.allclose(one.lattice.a_matrix, two.lattice.a_matrix)
    u = one.lattice.u_matrix
    np.testing.assert_allclose(u @ u.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(u) == pytest.approx(1)
    assert flux_for(one, AnalyticTruth(CRYSTAL), 2.0) > 0
