"""Where reflections are expected: pixel and angle, differentiable by steps.

Everything is vectorised over spots, each with its own reciprocal vector, so
that orientations that drift cost nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.experiment import Detector, Experiment
from unstill.experiment.pixels import lab_positions


@dataclass(frozen=True, eq=False)
class Geometry:
    """Beam, panels and goniometer as arrays.

    Parameters
    ----------
    s0
        ``(3,)`` incident wave vector (Å⁻¹).
    origin, fast, slow
        ``(n_panels, 3)`` corner (mm) and axes of every panel.
    pixel
        ``(n_panels, 2)`` mm.
    fixed, setting
        ``(3, 3)`` F and S of the goniometer.
    axis
        ``(3,)`` rotation axis e.
    """

    s0: np.ndarray
    origin: np.ndarray
    fast: np.ndarray
    slow: np.ndarray
    pixel: np.ndarray
    fixed: np.ndarray
    setting: np.ndarray
    axis: np.ndarray


def geometry_of(experiment: Experiment) -> Geometry:
    """Return the geometry of an experiment as arrays; a still turns about x by 0."""
    panels = experiment.detector.panels
    goniometer = experiment.goniometer
    eye = np.eye(3)
    return Geometry(
        s0=experiment.beam.s0,
        origin=np.array([panel.origin for panel in panels]),
        fast=np.array([panel.fast_axis for panel in panels]),
        slow=np.array([panel.slow_axis for panel in panels]),
        pixel=np.array([panel.pixel_size for panel in panels]),
        fixed=eye if goniometer is None else goniometer.fixed_rotation,
        setting=eye if goniometer is None else goniometer.setting_rotation,
        axis=np.array([1.0, 0, 0] if goniometer is None else goniometer.rotation_axis),
    )


def flat_positions(
    detector: Detector, panel: np.ndarray, fast: np.ndarray, slow: np.ndarray
) -> np.ndarray:
    """``(n, 2)`` pixel coordinates with the parallax taken out.

    Where a ray crosses the front of the sensor: what :func:`crossing` predicts.
    """
    flat = np.stack([fast, slow], axis=1).astype(float)
    for i, one in enumerate(detector.panels):
        here = panel == i
        at = lab_positions(one, fast[here], slow[here]) - np.array(one.origin)
        flat[here, 0] = at @ np.array(one.fast_axis) / one.pixel_size[0]
        flat[here, 1] = at @ np.array(one.slow_axis) / one.pixel_size[1]
    return flat


def rotating(
    geometry: Geometry, r: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diffracted beams of reflections that a rotation brings through the Ewald sphere.

    |s₀ + S R(φ) F r| = |s₀| is a cos φ + b sin φ = c; of the two solutions the
    one nearer to an observed angle is taken.

    Parameters
    ----------
    geometry
        Beam and goniometer.
    r
        ``(n, 3)`` reciprocal vectors A h (Å⁻¹).
    phi
        ``(n,)`` observed angles (degrees).

    Returns
    -------
    s1, angle, crosses
        ``(n, 3)`` diffracted wave vectors, ``(n,)`` angle minus the observed one (degrees), and
        whether there is a solution; the nearest approach where there is none.
    """
    turned = r @ geometry.fixed.T
    s0 = geometry.s0 @ geometry.setting
    e = geometry.axis
    along = turned @ e
    offset = along * (s0 @ e)
    cosine = turned @ s0 - offset
    sine = turned @ np.cross(s0, e)  # s₀·(e × r) = (s₀ × e)·r
    amplitude = np.hypot(cosine, sine)
    wanted = -0.5 * np.einsum("ni,ni->n", turned, turned) - offset
    ratio = wanted / np.where(amplitude > 0, amplitude, 1)
    crosses = (np.abs(ratio) <= 1) & (amplitude > 0)
    middle = np.degrees(np.arctan2(sine, cosine))
    half = np.degrees(np.arccos(np.clip(ratio, -1, 1)))
    first = (middle + half - phi + 180) % 360 - 180
    second = (middle - half - phi + 180) % 360 - 180
    angle = np.where(np.abs(first) < np.abs(second), first, second)
    s1 = _turn(turned, e, phi + angle) @ geometry.setting.T + geometry.s0
    return s1, angle, crosses


def standing(
    geometry: Geometry, r: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diffracted beams of reflections of a crystal that does not turn.

    Each reciprocal vector is brought to the Ewald sphere by the smallest
    rotation. Arguments and result as :func:`rotating`; the angle is the one of
    that rotation, positive when the vector lies inside the sphere.
    """
    q = _turn(r @ geometry.fixed.T, geometry.axis, phi) @ geometry.setting.T
    size = np.linalg.norm(q, axis=1)
    size = np.where(size > 0, size, 1e-9)
    k = float(np.linalg.norm(geometry.s0))
    beam = geometry.s0 / k
    along = q @ beam
    across = q - along[:, None] * beam
    width = np.linalg.norm(across, axis=1)
    across = across / np.where(width > 0, width, 1)[:, None]
    cosine = -size / (2 * k)
    crosses = (np.abs(cosine) <= 1) & (width > 0)
    cosine = np.clip(cosine, -1, 1)
    on_sphere = size[:, None] * (cosine[:, None] * beam + np.sqrt(1 - cosine**2)[:, None] * across)
    angle = np.degrees(np.arctan2(width, along) - np.arccos(cosine))
    return on_sphere + geometry.s0, angle, crosses


def crossing(geometry: Geometry, panel: np.ndarray, s1: np.ndarray) -> np.ndarray:
    """``(n, 2)`` pixel coordinates, without parallax, where beams cross the panels named."""
    fast, slow, origin = geometry.fast[panel], geometry.slow[panel], geometry.origin[panel]
    normal = np.cross(fast, slow)
    depth = np.einsum("ni,ni->n", origin, normal) / np.einsum("ni,ni->n", s1, normal)
    at = s1 * depth[:, None] - origin
    pixels: np.ndarray = (
        np.stack([np.einsum("ni,ni->n", at, fast), np.einsum("ni,ni->n", at, slow)], axis=1)
        / geometry.pixel[panel]
    )
    return pixels


def _turn(vectors: np.ndarray, axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Turn each vector about the axis by its own angle (degrees)."""
    phi = np.radians(angle)[:, None]
    along = (vectors @ axis)[:, None] * axis
    turned: np.ndarray = (
        along + np.cos(phi) * (vectors - along) + np.sin(phi) * np.cross(axis, vectors)
    )
    return turned


def crystal_frame(geometry: Geometry, s: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """``(n, 3)`` scattering vectors turned back to the crystal: [S R(φ) F]⁻¹ s."""
    unset = s @ geometry.setting
    crystal: np.ndarray = _turn(unset, geometry.axis, -phi) @ geometry.fixed
    return crystal
