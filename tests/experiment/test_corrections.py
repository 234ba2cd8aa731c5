"""Corrections of a pixel against sums, integrals and differences."""

from __future__ import annotations

import numpy as np
import pytest
from geometries import closed_box, sweep, tilted_panel
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from unstill.errors import InputError
from unstill.experiment import Beam, Goniometer
from unstill.experiment.attenuation import air_mu, sensor_mu
from unstill.experiment.corrections import (
    air_transmission,
    lorentz_inverse,
    panel_rays,
    pixel_response,
    polarization_factor,
    reciprocal_volume,
    sensor_efficiency,
    solid_angle,
)
from unstill.experiment.pixels import lab_positions, scattering_vectors

ENERGY = 12692.9
"""eV; 0.9768 Å, where the reference values of the attenuation hold."""


def test_a_closed_box_covers_the_whole_sphere() -> None:
    total = sum(solid_angle(panel, panel_rays(panel)).sum() for panel in closed_box(100).panels)
    assert total == pytest.approx(4 * np.pi, rel=1e-4)


def test_the_solid_angle_of_a_pixel_is_that_of_its_four_corners() -> None:
    panel = tilted_panel(tilt=30.0, sensor=False)
    found = solid_angle(panel, panel_rays(panel))
    for i, j in ((0, 0), (17, 200), (255, 255)):
        corners = [lab_positions(panel, j + a, i + b) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
        exact = _triangle(*corners[:3]) + _triangle(corners[0], corners[2], corners[3])
        assert found[i, j] == pytest.approx(exact, rel=1e-5)


def _triangle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Solid angle of a triangle (van Oosterom and Strackee)."""
    x, y, z = (v / np.linalg.norm(v) for v in (a, b, c))
    below = 1 + x @ y + y @ z + z @ x
    return float(2 * abs(np.arctan2(x @ np.cross(y, z), below)))


@given(st.integers(0, 2**32 - 1))
def test_half_polarised_light_is_unpolarised(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rays = rng.normal(size=(5, 3))
    beam = Beam(1.0, tuple(rng.normal(size=3)), tuple(rng.normal(size=3)), 0.5)
    cosine = rays @ -np.array(beam.direction) / np.linalg.norm(rays, axis=1)
    np.testing.assert_allclose(polarization_factor(beam, rays), (1 + cosine**2) / 2, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_polarised_light_scatters_two_thirds_in_all(share: float) -> None:
    beam = Beam(1.0, (0.1, 0.2, 1.0), (0.0, 1.0, 0.1), share)
    summed = 0.0
    for panel in closed_box(80).panels:
        rays = panel_rays(panel)
        summed += float(np.sum(solid_angle(panel, rays) * polarization_factor(beam, rays)))
    assert summed / (4 * np.pi) == pytest.approx(2 / 3, rel=1e-3)


def test_nothing_scatters_along_the_electric_field() -> None:
    beam = Beam(1.0, polarization_normal=(0, 1, 0), polarization_fraction=1.0)
    rays = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    np.testing.assert_allclose(polarization_factor(beam, rays), [0, 1], atol=1e-15)


def test_the_sensor_absorbs_what_does_not_pass() -> None:
    panel = tilted_panel(tilt=35.0)
    rays = panel_rays(panel)
    found = sensor_efficiency(panel, rays)
    for i, j in ((0, 0), (255, 128)):
        cosine = abs(rays[i, j] @ panel.normal) / np.linalg.norm(rays[i, j])
        path = panel.thickness / cosine
        absorbed, _ = quad(lambda t: panel.mu * np.exp(-panel.mu * t), 0, path)
        assert found[i, j] == pytest.approx(absorbed, rel=1e-9)
    bare = tilted_panel(sensor=False)
    assert np.all(sensor_efficiency(bare, panel_rays(bare)) == 1)


def test_air_attenuates_along_the_path() -> None:
    beam = Beam(0.9768)
    through = air_transmission(beam, np.array([[0, 0, -100.0], [0, 0, -300.0]]))
    assert through[0] ** 3 == pytest.approx(through[1])
    # cctbx gives 3.113e-4 mm⁻¹, xraydb at 15 °C 3.146e-4: at 300 mm 0.2 % at most.
    assert through[1] == pytest.approx(np.exp(-300 * 3.113e-4), rel=2e-3)


def test_attenuation_is_that_of_the_tables() -> None:
    assert sensor_mu("Si", ENERGY) == pytest.approx(3.929, rel=1e-3)
    assert sensor_mu("silicon", ENERGY) == sensor_mu("Si", ENERGY)
    # The same gas at 15 °C.
    assert air_mu(ENERGY) * 293.15 / 288.15 == pytest.approx(3.146e-4, rel=3e-3)
    # What DIALS wrote into files at other wavelengths.
    assert sensor_mu("Si", 12398.42 / 0.6889) == pytest.approx(1.41535, rel=3e-3)
    assert sensor_mu("Si", 12398.42 / 0.9126) == pytest.approx(3.21947, rel=1e-3)
    with pytest.raises(InputError, match="unknown"):
        sensor_mu("cheese", ENERGY)


def test_reciprocal_volume_is_that_of_the_box_a_pixel_sweeps() -> None:
    """Finite differences of s at rest, over pixel edges and a frame."""
    experiment = sweep(0, sensor=False, step=0.05)
    beam, panel = experiment.beam, experiment.detector.panels[0]
    goniometer, scan = experiment.goniometer, experiment.scan
    assert goniometer is not None
    assert scan is not None
    volume = reciprocal_volume(beam, goniometer, panel, panel_rays(panel), scan.phi_step)

    def at_rest(fast: float, slow: float, position: float) -> np.ndarray:
        s = scattering_vectors(beam, panel, fast, slow)
        turn: np.ndarray = goniometer.rotation(experiment.phi(position))
        return turn.T @ s

    for i, j in ((3, 250), (100, 20), (255, 255)):
        x, y = j + 0.5, i + 0.5
        edges = [
            at_rest(x + 0.5, y, 0.5) - at_rest(x - 0.5, y, 0.5),
            at_rest(x, y + 0.5, 0.5) - at_rest(x, y - 0.5, 0.5),
            at_rest(x, y, 1.0) - at_rest(x, y, 0.0),
        ]
        assert volume[i, j] == pytest.approx(abs(np.linalg.det(edges)), rel=1e-5)


def test_rays_along_the_axis_stand_still() -> None:
    beam, goniometer = Beam(1.0), Goniometer((1.0, 0.0, 0.0))
    rays = np.array([[5.0, 0, 0], [0, 5.0, 0]])
    np.testing.assert_allclose(lorentz_inverse(beam, goniometer, rays), [0, 1], atol=1e-15)


def test_the_response_is_the_product_and_each_factor_can_be_left_out() -> None:
    beam, panel = Beam(0.9768), tilted_panel(size=32)
    rays = panel_rays(panel)
    whole = pixel_response(beam, panel)
    product = (
        solid_angle(panel, rays)
        * air_transmission(beam, rays)
        * sensor_efficiency(panel, rays)
        * polarization_factor(beam, rays)
    )
    np.testing.assert_allclose(whole, product, rtol=1e-12)
    bare = pixel_response(beam, panel, air=False, efficiency=False, polarization=False)
    np.testing.assert_array_equal(bare, solid_angle(panel, rays))
