"""What a pixel sees of the scattered intensity: geometry, polarisation, absorption.

All are functions of the ray to the centre of a pixel. An intensity I (photons a
second and a steradian of unpolarised, unattenuated scattering) gives I · t · Ω · A · E · P
counts in an exposure of t seconds.
"""

from __future__ import annotations

import numpy as np

from unstill.experiment.attenuation import air_mu
from unstill.experiment.beam import Beam
from unstill.experiment.detector import Panel
from unstill.experiment.goniometer import Goniometer
from unstill.experiment.pixels import pixel_centers
from unstill.shapes import Float

Rays = Float[np.ndarray, "*pixels 3"]
PerPixel = Float[np.ndarray, "*pixels"]


def pixel_response(
    beam: Beam,
    panel: Panel,
    *,
    air: bool = True,
    efficiency: bool = True,
    polarization: bool = True,
) -> Float[np.ndarray, "slow fast"]:
    """Ω A E P of every pixel of a panel (steradians).

    Parameters
    ----------
    beam, panel
        The beam and one panel.
    air, efficiency, polarization
        Whether to take A, E and P into account.
    """
    position = panel_rays(panel)
    response: np.ndarray = solid_angle(panel, position)
    if air:
        response = response * air_transmission(beam, position)
    if efficiency:
        response = response * sensor_efficiency(panel, position)
    if polarization:
        response = response * polarization_factor(beam, position)
    return response


def panel_rays(panel: Panel) -> Float[np.ndarray, "slow fast 3"]:
    """Laboratory positions (mm) of all pixel centres, without parallax."""
    fast, slow = pixel_centers(panel)
    position: np.ndarray = (
        np.array(panel.origin)
        + fast[..., None] * panel.pixel_size[0] * np.array(panel.fast_axis)
        + slow[..., None] * panel.pixel_size[1] * np.array(panel.slow_axis)
    )
    return position


def solid_angle(panel: Panel, position: Rays) -> PerPixel:
    """Ω = q_f q_s cos ω / d² (steradians), ω between the ray and the normal of the panel."""
    length = np.linalg.norm(position, axis=-1)
    cosine = np.abs(position @ panel.normal) / length
    angle: np.ndarray = panel.pixel_size[0] * panel.pixel_size[1] * cosine / length**2
    return angle


def air_transmission(beam: Beam, position: Rays) -> PerPixel:
    """Share that the air between sample and pixel lets through, A = exp(−μ d)."""
    through: np.ndarray = np.exp(-air_mu(beam.energy) * np.linalg.norm(position, axis=-1))
    return through


def sensor_efficiency(panel: Panel, position: Rays) -> PerPixel:
    """E = 1 − exp(−μ t / cos ω): what the sensor absorbs; 1 where μ or t is unknown."""
    if panel.mu <= 0 or panel.thickness <= 0:
        return np.ones(position.shape[:-1])
    cosine = np.abs(position @ panel.normal) / np.linalg.norm(position, axis=-1)
    absorbed: np.ndarray = -np.expm1(-panel.mu * panel.thickness / cosine)
    return absorbed


def polarization_factor(beam: Beam, position: Rays) -> PerPixel:
    """P = p (1 − (ŝ₁·u)²) + (1 − p)(1 − (ŝ₁·v)²), with u = ê₀ × n and v = u × ê₀.

    n is the normal of the plane of polarisation and p the share polarised in it:
    u is the direction of the electric field.
    """
    along = position / np.linalg.norm(position, axis=-1, keepdims=True)
    incident = -np.array(beam.direction)
    field = np.cross(incident, beam.polarization_normal)
    field = field / np.linalg.norm(field)
    other = np.cross(field, incident)
    share = beam.polarization_fraction
    factor: np.ndarray = share * (1 - (along @ field) ** 2) + (1 - share) * (
        1 - (along @ other) ** 2
    )
    return factor


def lorentz_inverse(beam: Beam, goniometer: Goniometer, position: Rays) -> PerPixel:
    """L⁻¹ = |(ê₀ × ŝ₁) · m|, m the rotation axis in the laboratory frame."""
    along = position / np.linalg.norm(position, axis=-1, keepdims=True)
    across: np.ndarray = np.abs(np.cross(-np.array(beam.direction), along) @ goniometer.lab_axis)
    return across


def reciprocal_volume(
    beam: Beam, goniometer: Goniometer, panel: Panel, position: Rays, phi_width: float
) -> PerPixel:
    """d³s = L⁻¹ Ω Δφ / λ³: reciprocal volume that a pixel sweeps in one frame (Å⁻³).

    Parameters
    ----------
    phi_width
        Rotation during the frame (degrees).
    """
    volume: np.ndarray = (
        lorentz_inverse(beam, goniometer, position)
        * solid_angle(panel, position)
        * np.radians(abs(phi_width))
        / beam.wavelength**3
    )
    return volume
