"""How sharply a density tells where an atom is."""

from __future__ import annotations

import numpy as np

from unstill.scattering import form_factors
from unstill.shapes import Float


def sharpness(
    element: np.ndarray, b_factor: np.ndarray, d_min: float, electron: bool
) -> Float[np.ndarray, " n_atoms"]:
    r"""Return ∫ (∂ρ/∂x)² dV of every atom, by Parseval.

    .. math:: \int_0^{1/d} 4\pi s^2 \frac{(2\pi s)^2}{3} f(s)^2 e^{-B s^2/2} ds

    Parameters
    ----------
    element, b_factor
        ``(n_atoms,)`` symbols and B (Å²).
    d_min
        Resolution (Å).
    electron
        Scattering of electrons.
    """
    nodes, shares = np.polynomial.legendre.leggauss(32)
    s = (nodes + 1) / (2 * d_min)
    shares = shares / (2 * d_min)
    kinds, kind = np.unique(element, return_inverse=True)
    f = form_factors(kinds, s**2, table="electron" if electron else "xray")
    density = shares * 4 * np.pi * s**2 * (2 * np.pi * s) ** 2 / 3
    damping = np.exp(-b_factor[:, None] * s**2 / 2)
    total: np.ndarray = (f[kind] ** 2 * damping * density).sum(axis=1)
    return total
