"""Reciprocal volume that a pixel sweeps, from its scattering vector alone."""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel
from unstill.experiment import Experiment, Panel


def volume_factors(experiment: Experiment, panel: Panel) -> np.ndarray:
    """Seven numbers that turn s into the volume; see :func:`look_up`. Stills sweep none."""
    beam = experiment.beam
    factors = np.zeros(7)
    factors[:3] = beam.wavelength * panel.normal
    factors[3] = beam.wavelength * beam.s0 @ panel.normal
    if experiment.scan is not None and experiment.goniometer is not None:
        across = np.cross(experiment.goniometer.lab_axis, -np.array(beam.direction))
        width = np.radians(abs(float(experiment.scan.phi_width or 0.0)))
        area = panel.pixel_size[0] * panel.pixel_size[1] / panel.distance**2
        factors[4:] = across * (area * width / beam.wavelength**2)
    return factors


@kernel
def look_up(
    s: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    factors: np.ndarray,
    length: np.ndarray,
    volume: np.ndarray,
) -> None:
    """Find |s| and the volume d³s = L⁻¹ Ω Δφ / λ³ of a pixel at many places of a panel.

    With ŝ₁ = λ (s + s₀), both L⁻¹ = |λ s·(m × ê₀)| and Ω = q_f q_s |ŝ₁·n|³ / D²
    follow from s, the second exactly for pixels without parallax.

    Parameters
    ----------
    s
        ``(3, slow, fast)`` scattering vectors of the pixels; linear in between.
    x, y
        ``(n,)`` pixel coordinates.
    factors
        λ n, λ s₀·n, and (m × ê₀) q_f q_s Δφ / (λ² D²).
    length, volume
        ``(n,)`` results.
    """
    _, rows, columns = s.shape
    f = factors
    at = np.empty(3)
    for i in range(len(x)):
        u, v = max(x[i] - 0.5, 0.0), max(y[i] - 0.5, 0.0)
        x0, y0 = min(int(u), columns - 1), min(int(v), rows - 1)
        x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
        u, v = u - x0, v - y0
        for j in range(3):
            at[j] = (1 - v) * ((1 - u) * s[j, y0, x0] + u * s[j, y0, x1]) + v * (
                (1 - u) * s[j, y1, x0] + u * s[j, y1, x1]
            )
        a, b, c = at
        cosine = a * f[0] + b * f[1] + c * f[2] + f[3]
        lorentz = a * f[4] + b * f[5] + c * f[6]
        length[i] = np.sqrt(a * a + b * b + c * c)
        volume[i] = abs(lorentz * cosine * cosine * cosine)
