"""Scattering vectors and responses of rows of pixels: ``experiment``'s formulae, compiled.

Large detectors need them anew with every frame, where tables would not fit in memory.
"""

from __future__ import annotations

import math

import numpy as np

from unstill.compiled import kernel
from unstill.experiment import Beam, Panel
from unstill.experiment.attenuation import air_mu


def pixel_rows(beam: Beam, panel: Panel, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return s and Ω A E P of the pixel centres of some rows.

    The same as :func:`unstill.experiment.pixels.scattering_vectors` and
    :func:`unstill.experiment.corrections.pixel_response`.

    Parameters
    ----------
    beam, panel
        The beam and one panel.
    start, stop
        First row and the row after the last.

    Returns
    -------
    s
        ``(rows, fast, 3)`` Å⁻¹.
    response
        ``(rows, fast)`` steradians.
    """
    incident = -np.array(beam.direction)
    field = np.cross(incident, beam.polarization_normal)
    field = field / np.linalg.norm(field)
    directions = np.array(
        [panel.fast_axis, panel.slow_axis, panel.normal, field, np.cross(field, incident), beam.s0]
    )
    numbers = np.array(
        [
            *panel.pixel_size,
            beam.wavelength,
            beam.polarization_fraction,
            air_mu(beam.energy),
            panel.mu,
            panel.thickness,
        ]
    )
    s = np.empty((stop - start, panel.image_size[0], 3))
    response = np.empty(s.shape[:2])
    _fill(s, response, start, np.array(panel.origin), directions, numbers, panel.parallax)
    return s, response


@kernel
def _fill(
    s: np.ndarray,
    response: np.ndarray,
    start: int,
    origin: np.ndarray,
    directions: np.ndarray,
    numbers: np.ndarray,
    parallax: bool,
) -> None:
    size_f, size_s, wavelength, share, mu_air, mu, thickness = numbers
    f, g, normal, u, v, s0 = directions
    sensor = mu > 0 and thickness > 0
    for row in range(s.shape[0]):
        y = (start + row + 0.5) * size_s
        for column in range(s.shape[1]):
            x = (column + 0.5) * size_f
            px = origin[0] + x * f[0] + y * g[0]
            py = origin[1] + x * f[1] + y * g[1]
            pz = origin[2] + x * f[2] + y * g[2]
            length = math.sqrt(px * px + py * py + pz * pz)
            ex, ey, ez = px / length, py / length, pz / length
            cosine = abs(ex * normal[0] + ey * normal[1] + ez * normal[2])
            along_u = ex * u[0] + ey * u[1] + ez * u[2]
            along_v = ex * v[0] + ey * v[1] + ez * v[2]
            seen = size_f * size_s * cosine / (length * length) * math.exp(-mu_air * length)
            seen *= share * (1 - along_u * along_u) + (1 - share) * (1 - along_v * along_v)
            if sensor:
                path = thickness / cosine
                passed = math.exp(-mu * path)
                seen *= 1 - passed
                if parallax:
                    depth = 1 / mu - (path + 1 / mu) * passed
                    in_f = depth * (ex * f[0] + ey * f[1] + ez * f[2])
                    in_g = depth * (ex * g[0] + ey * g[1] + ez * g[2])
                    px -= in_f * f[0] + in_g * g[0]
                    py -= in_f * f[1] + in_g * g[1]
                    pz -= in_f * f[2] + in_g * g[2]
                    length = math.sqrt(px * px + py * py + pz * pz)
            response[row, column] = seen
            s[row, column, 0] = px / (length * wavelength) - s0[0]
            s[row, column, 1] = py / (length * wavelength) - s0[1]
            s[row, column, 2] = pz / (length * wavelength) - s0[2]
