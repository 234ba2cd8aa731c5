r"""Sums of an exponential correlation over the translations of a lattice."""

from __future__ import annotations

import numpy as np

from unstill.crystal import Crystal
from unstill.shapes import Float

_REACH = 20.0
"""Direct sums end at exp(−20) ≈ 2e-9."""

_MOST_TRANSLATIONS = 100_000
_RECIPROCAL_POINTS = 40_000


def lattice_sum(
    crystal: Crystal, hkl: Float[np.ndarray, "points 3"], length: float
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    r"""Σ_T e^{−|T|/L} cos 2πh·T over the lattice translations T, and its derivative to L.

    Short correlation is summed over the translations. For long correlation
    (from about 1.5 unit cells) Poisson's formula needs fewer terms,

    .. math::
       \sum_T e^{-|T|/L} \cos 2\pi hT = \frac1V \sum_G \Gamma_L(q - G),
       \qquad \Gamma_L(q) = \frac{8\pi L^3}{(1+L^2q^2)^2},

    with the far reciprocal lattice as an integral.

    Parameters
    ----------
    crystal
        Its unit cell is the lattice.
    hkl
        ``(n_points, 3)`` fractional Miller coordinates, each in [0, 1).
    length
        L (Å).
    """
    radius = _REACH * length
    if 4 / 3 * np.pi * radius**3 / crystal.volume < _MOST_TRANSLATIONS:
        return _direct(crystal, hkl, length, radius)
    return _reciprocal(crystal, hkl, length)


def _direct(
    crystal: Crystal, hkl: np.ndarray, length: float, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    steps = lattice_points(crystal.orthogonalization_matrix, radius)
    distance = np.linalg.norm(crystal.cartesian(steps), axis=1)
    decay = np.exp(-distance / length)
    phase = np.cos(2 * np.pi * (hkl @ steps.T))
    total: np.ndarray = phase @ decay
    slope: np.ndarray = phase @ (decay * distance / length**2)
    return total, slope


def _reciprocal(crystal: Crystal, hkl: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    # Columns of A⁻ᵀ are the reciprocal axes.
    s_edge = (3 * _RECIPROCAL_POINTS / (4 * np.pi * crystal.volume)) ** (1 / 3)
    nodes = lattice_points(crystal.fractionalization_matrix.T, s_edge)
    total, slope = np.empty(len(hkl)), np.empty(len(hkl))
    for number, point in enumerate(hkl):
        spread = 1 / (1 + (2 * np.pi * length) ** 2 * crystal.s_squared(nodes - point))
        kernel = 8 * np.pi * length**3 / crystal.volume * spread**2
        total[number] = kernel.sum()
        slope[number] = np.sum(kernel * (4 * spread - 1)) / length
    # The volume that the nodes stand for, as a sphere, decides where the integral begins.
    q_edge = 2 * np.pi * (3 * len(nodes) / (4 * np.pi * crystal.volume)) ** (1 / 3)
    y = length * q_edge
    tail = 2 / np.pi * (np.pi / 2 - np.arctan(y) + y / (1 + y**2))
    tail_slope = -4 / np.pi * q_edge * y**2 / (1 + y**2) ** 2
    return total + tail, slope + tail_slope


def lattice_points(
    matrix: Float[np.ndarray, "3 3"], radius: float
) -> Float[np.ndarray, "points 3"]:
    """Whole-number combinations of the columns of a matrix that are no longer than a radius."""
    # |n_i| = |row i of the inverse · T| ≤ |row i| |T|.
    reach = np.floor(np.linalg.norm(np.linalg.inv(matrix), axis=1) * radius + 1e-9).astype(int)
    axes = [np.arange(-n, n + 1) for n in reach]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(float)
    inside: np.ndarray = steps[np.linalg.norm(steps @ matrix.T, axis=1) <= radius]
    return inside
