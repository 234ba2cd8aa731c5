"""Where pixels are: in the laboratory, and in reciprocal space.

The exact formulae, vectorised. Pixel coordinates are continuous and count from
the corner of the panel, so that the centre of pixel (i, j) is (i + ½, j + ½);
XDS counts the same centre as (i + 1, j + 1).
"""

from __future__ import annotations

import numpy as np

from unstill.experiment.beam import Beam
from unstill.experiment.detector import Panel
from unstill.shapes import Float, Num

Coordinates = float | Num[np.ndarray, "..."]
"""Pixel coordinates along one axis; both axes are broadcast against each other."""

DIALS_CENTER = 0.5
"""Coordinate of the centre of the first pixel, in DIALS and here."""

XDS_CENTER = 1.0
"""Coordinate of the centre of the first pixel in XDS."""


def lab_positions(
    panel: Panel, fast: Coordinates, slow: Coordinates
) -> Float[np.ndarray, "*pixels 3"]:
    """Where rays that were recorded at pixel coordinates cross the front of a panel (mm).

    x = origin + f q_f f̂ + s q_s ŝ − o (û·f̂ f̂ + û·ŝ ŝ), with the parallax
    o = 1/μ − (t/c + 1/μ) exp(−μt/c), c = |û·n̂|, û the unit vector to the
    uncorrected position: the mean depth of absorption in a sensor of thickness
    t, measured along the ray.

    Parameters
    ----------
    panel
        Without ``parallax`` the last term is left out.
    fast, slow
        Continuous pixel coordinates, pixel centres at i + ½.

    Returns
    -------
    positions
        ``(*pixels, 3)`` laboratory coordinates (mm).

    References
    ----------
    The parallax of DIALS, doi:10.1107/S2059798317017235.
    """
    fast, slow = np.broadcast_arrays(np.asarray(fast, float), np.asarray(slow, float))
    f_axis, s_axis = np.array(panel.fast_axis), np.array(panel.slow_axis)
    position: np.ndarray = (
        np.array(panel.origin)
        + fast[..., None] * panel.pixel_size[0] * f_axis
        + slow[..., None] * panel.pixel_size[1] * s_axis
    )
    if not (panel.parallax and panel.mu > 0 and panel.thickness > 0):
        return position
    corrected: np.ndarray = position - parallax_shift(panel, position)
    return corrected


def parallax_shift(
    panel: Panel, position: Float[np.ndarray, "*pixels 3"]
) -> Float[np.ndarray, "*pixels 3"]:
    """How far along the panel rays travel in the sensor before they are absorbed (mm).

    The last term of :func:`lab_positions`, of uncorrected positions on the panel.
    """
    f_axis, s_axis = np.array(panel.fast_axis), np.array(panel.slow_axis)
    along = position / np.linalg.norm(position, axis=-1, keepdims=True)
    path = panel.thickness / np.abs(along @ panel.normal)
    depth = 1 / panel.mu - (path + 1 / panel.mu) * np.exp(-panel.mu * path)
    shift: np.ndarray = depth[..., None] * (
        (along @ f_axis)[..., None] * f_axis + (along @ s_axis)[..., None] * s_axis
    )
    return shift


def scattering_vectors(
    beam: Beam,
    panel: Panel,
    fast: Coordinates,
    slow: Coordinates,
) -> Float[np.ndarray, "*pixels 3"]:
    """Scattering vectors s = s₁ − s₀ (Å⁻¹, laboratory frame) of pixel coordinates.

    s₁ points to the position with length 1/λ. hkl = experiment.hkl_matrix(i + ½) @ s.
    """
    position = lab_positions(panel, fast, slow)
    length = np.linalg.norm(position, axis=-1, keepdims=True)
    vectors: np.ndarray = position / (length * beam.wavelength) - beam.s0
    return vectors


def pixel_centers(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Fast and slow coordinates of all pixel centres, to be broadcast to (slow, fast)."""
    fast = np.arange(panel.image_size[0]) + DIALS_CENTER
    slow = np.arange(panel.image_size[1]) + DIALS_CENTER
    return fast[None, :], slow[:, None]
