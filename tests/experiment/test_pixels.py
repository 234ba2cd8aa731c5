"""Pixel → laboratory → hkl against formulae written another way."""

from __future__ import annotations

import numpy as np
import pytest
from geometries import sweep, tilted_panel
from scipy.integrate import quad
from scipy.spatial.transform import Rotation, Slerp

from unstill.experiment import Beam, Detector, Experiment, Goniometer, Lattice, Panel, Scan
from unstill.experiment.pixels import lab_positions, pixel_centers, scattering_vectors


def absorbed_at(panel: Panel, fast: float, slow: float) -> np.ndarray:
    """Where on the front a ray enters that is absorbed below a pixel coordinate.

    The mean depth by numerical integration over the path in the sensor, in the
    frame of the panel, and not by the closed formula.
    """
    axes = np.array([panel.fast_axis, panel.slow_axis, panel.normal])
    local = axes @ np.array(panel.origin) + [
        fast * panel.pixel_size[0],
        slow * panel.pixel_size[1],
        0.0,
    ]
    ray = local / np.sqrt(local @ local)
    path = panel.thickness / abs(ray[2])
    # What passes through is as if absorbed nowhere: it adds no depth.
    depth, _ = quad(lambda t: t * panel.mu * np.exp(-panel.mu * t), 0, path, epsabs=1e-13)
    local[:2] -= depth * ray[:2]
    return np.linalg.solve(axes, local)


@pytest.mark.parametrize("tilt", [0.0, 12.0, 40.0])
def test_positions_agree_with_integration_over_the_sensor(tilt: float) -> None:
    panel = tilted_panel(tilt=tilt)
    rng = np.random.default_rng(1)
    at = rng.uniform(0, 256, (40, 2))
    found = lab_positions(panel, at[:, 0], at[:, 1])
    expected = np.array([absorbed_at(panel, *point) for point in at])
    assert np.abs(found - expected).max() <= 1e-6
    # The parallax is real: without it positions differ by far more.
    plain = lab_positions(tilted_panel(tilt=tilt, sensor=False), at[:, 0], at[:, 1])
    assert np.abs(found - plain).max() > 1e-2


def test_the_centre_of_the_first_pixel_is_half_a_pixel_from_the_corner() -> None:
    panel = Panel((0.0, 0.0, -100.0), (1, 0, 0), (0, -1, 0), (0.1, 0.2), (4, 3))
    fast, slow = pixel_centers(panel)
    centers = lab_positions(panel, fast, slow)
    assert centers.shape == (3, 4, 3)
    np.testing.assert_allclose(centers[0, 0], [0.05, -0.1, -100], atol=1e-15)
    np.testing.assert_allclose(centers[2, 3], [0.35, -0.5, -100], atol=1e-15)
    np.testing.assert_allclose(lab_positions(panel, 0.0, 0.0), panel.origin)


def oracle_hkl(experiment: Experiment, fast: float, slow: float, position: float) -> np.ndarray:
    """hkl in extended precision, with rotations by scipy and interpolation by Slerp."""
    wide = np.longdouble
    panel, beam = experiment.detector.panels[0], experiment.beam
    x = absorbed_at(panel, fast, slow).astype(wide)
    direction = np.array(beam.direction, dtype=wide)
    s = (x / np.sqrt(x @ x) + direction / np.sqrt(direction @ direction)) / wide(beam.wavelength)
    scan, goniometer, lattice = experiment.scan, experiment.goniometer, experiment.lattice
    assert scan is not None
    assert goniometer is not None
    assert lattice is not None
    phi = scan.phi_start + scan.phi_step * position
    turn = Rotation.from_rotvec(np.radians(phi) * np.array(goniometer.rotation_axis)).as_matrix()
    a_matrix = lattice.a_matrix
    points = lattice.a_at_scan_points
    if points is not None:
        i = int(position)
        parts = [np.linalg.svd(m) for m in points[i : i + 2]]
        u = [left @ right for left, _, right in parts]
        b = [rotation.T @ m for rotation, m in zip(u, points[i : i + 2], strict=True)]
        between = Slerp([i, i + 1], Rotation.from_matrix(u))(position).as_matrix()
        a_matrix = between @ (b[0] + (position - i) * (b[1] - b[0]))
    for matrix in (goniometer.setting_rotation, turn, goniometer.fixed_rotation, a_matrix):
        s = np.linalg.inv(matrix).astype(wide) @ s
    return np.asarray(s, dtype=float)


@pytest.mark.parametrize("drifts", [False, True])
def test_hkl_of_pixels_agree_with_the_oracle(drifts: bool) -> None:
    experiment = sweep(3, drifts=drifts)
    panel = experiment.detector.panels[0]
    rng = np.random.default_rng(2)
    worst = 0.0
    for fast, slow, position in rng.uniform([0, 0, 0], [256, 256, 20], (60, 3)):
        s = scattering_vectors(experiment.beam, panel, fast, slow)
        found = experiment.hkl_matrix(position) @ s
        worst = max(
            worst, float(np.abs(found - oracle_hkl(experiment, fast, slow, position)).max())
        )
    assert worst <= 1e-6


def test_half_a_pixel_moves_hkl_by_what_the_geometry_says() -> None:
    """Without the half pixel the offset would be a quarter of a voxel at 13 divisions."""
    panel = Panel((-22.0, 22.0, -120.0), (1, 0, 0), (0, -1, 0), (0.172, 0.172), (256, 256))
    experiment = Experiment(
        Beam(0.9),
        Detector((panel,)),
        Goniometer(),
        Scan(1),
        Lattice.from_axes(np.diag([60.0, 60.0, 60.0]), "P 1"),
    )
    matrix = experiment.hkl_matrix(0.5)
    center = scattering_vectors(experiment.beam, panel, 128.5, 128.5)
    corner = scattering_vectors(experiment.beam, panel, 128.0, 128.0)
    moved = matrix @ (center - corner)
    # 0.086 mm at 120 mm are 7.2e-4 rad: 7.2e-4 / 0.9 Å × 60 Å.
    np.testing.assert_allclose(np.abs(moved[:2]), 0.0478, rtol=0.03)
