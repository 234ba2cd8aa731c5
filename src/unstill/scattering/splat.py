r"""Gaussians of any shape on a periodic grid, and the sums over them going back.

Everything is in grid units. The exponent of an atom at x is written as nested
squares (a Cholesky factor read from the last axis),

.. math::
   Q = m_1 d_1^2 + m_2 (d_2 + p d_1)^2 + m_3 (d_3 + q d_1 + r d_2)^2,
   \quad d = n - x,

so that the grid points inside the ellipsoid Q ≤ 2T are found row by row and
none outside is visited; along a row the exponential exp(−Q/2) needs two
multiplications a point.
"""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel
from unstill.shapes import Float


def nested_squares(metric: Float[np.ndarray, "n_atoms 3 3"]) -> Float[np.ndarray, "n_atoms 6"]:
    """m1, m2, m3, p, q, r of the quadratic forms dᵀ M d; see the module.

    Examples
    --------
    >>> nested_squares(np.diag([1.0, 2.0, 3.0])[None]).tolist()
    [[1.0, 2.0, 3.0, 0.0, 0.0, 0.0]]
    """
    m3 = metric[:, 2, 2]
    q, r = metric[:, 0, 2] / m3, metric[:, 1, 2] / m3
    m2 = metric[:, 1, 1] - m3 * r * r
    p = (metric[:, 0, 1] - m3 * q * r) / m2
    m1 = metric[:, 0, 0] - m3 * q * q - m2 * p * p
    return np.stack([m1, m2, m3, p, q, r], axis=1)


@kernel
def add_gaussians(
    grid: np.ndarray, x: np.ndarray, squares: np.ndarray, strength: np.ndarray, cutoff: float
) -> None:
    """Add strength[j, m] exp(−Q_j/2), where above exp(−cutoff), to every channel m of the grid.

    ``grid`` is ``(n1, n2, n3, n_channels)``, ``x`` ``(n_atoms, 3)`` in any
    period, ``squares`` ``(n_atoms, 6)``, ``strength`` ``(n_atoms, n_channels)``.
    """
    n1, n2, n3, n_channels = grid.shape
    for atom in range(len(x)):
        m1, m2, m3, p, q, r = squares[atom]
        x1, x2, x3 = x[atom]
        weight = strength[atom]
        change = np.exp(-m3)
        half1 = np.sqrt(2 * cutoff / m1)
        for i in range(int(np.ceil(x1 - half1)), int(np.floor(x1 + half1)) + 1):
            d1 = i - x1
            left1 = 2 * cutoff - m1 * d1 * d1
            half2, centre2 = np.sqrt(max(left1, 0.0) / m2), x2 - p * d1
            for j in range(int(np.ceil(centre2 - half2)), int(np.floor(centre2 + half2)) + 1):
                left2 = left1 - m2 * (j - centre2) ** 2
                half3, centre3 = np.sqrt(max(left2, 0.0) / m3), x3 - q * d1 - r * (j - x2)
                first, last = int(np.ceil(centre3 - half3)), int(np.floor(centre3 + half3))
                value, ratio = _row_start(2 * cutoff - left2, m3, first - centre3)
                line = grid[i % n1, j % n2]
                k = first % n3
                for _ in range(first, last + 1):
                    for channel in range(n_channels):
                        line[k, channel] += weight[channel] * value
                    value *= ratio
                    ratio *= change
                    k = k + 1 if k + 1 < n3 else 0


@kernel
def gather_moments(
    grid: np.ndarray,
    x: np.ndarray,
    squares: np.ndarray,
    strength: np.ndarray,
    cutoff: float,
    moments: np.ndarray,
) -> None:
    """Transpose of :func:`add_gaussians`, with the moments that derivatives need.

    ``moments[j]`` becomes Σ_n g exp(−Q_j/2) (1, d1, d2, d3, d1², d2², d3²,
    d1d2, d1d3, d2d3), with g = Σ_m strength[j, m] grid[..., m].
    """
    n1, n2, n3, n_channels = grid.shape
    for atom in range(len(x)):
        m1, m2, m3, p, q, r = squares[atom]
        x1, x2, x3 = x[atom]
        weight = strength[atom]
        total = moments[atom]
        total[:] = 0
        change = np.exp(-m3)
        half1 = np.sqrt(2 * cutoff / m1)
        for i in range(int(np.ceil(x1 - half1)), int(np.floor(x1 + half1)) + 1):
            d1 = i - x1
            left1 = 2 * cutoff - m1 * d1 * d1
            half2, centre2 = np.sqrt(max(left1, 0.0) / m2), x2 - p * d1
            for j in range(int(np.ceil(centre2 - half2)), int(np.floor(centre2 + half2)) + 1):
                d2 = j - x2
                left2 = left1 - m2 * (j - centre2) ** 2
                half3, centre3 = np.sqrt(max(left2, 0.0) / m3), x3 - q * d1 - r * d2
                first, last = int(np.ceil(centre3 - half3)), int(np.floor(centre3 + half3))
                value, ratio = _row_start(2 * cutoff - left2, m3, first - centre3)
                line = grid[i % n1, j % n2]
                k = first % n3
                s0, s1, s2 = 0.0, 0.0, 0.0
                for n in range(first, last + 1):
                    here = 0.0
                    for channel in range(n_channels):
                        here += weight[channel] * line[k, channel]
                    here *= value
                    s0 += here
                    s1 += here * (n - x3)
                    s2 += here * (n - x3) ** 2
                    value *= ratio
                    ratio *= change
                    k = k + 1 if k + 1 < n3 else 0
                _add_moments(total, d1, d2, s0, s1, s2)


@kernel
def _row_start(outer: float, m: float, start: float) -> tuple[float, float]:
    """Value of exp(−½(outer + m (start + k)²)) at k = 0, and its ratio to the next.

    From one point of a row to the next that ratio changes by the factor exp(−m).
    """
    return np.exp(-0.5 * (outer + m * start * start)), np.exp(-m * (start + 0.5))


@kernel
def _add_moments(total: np.ndarray, d1: float, d2: float, s0: float, s1: float, s2: float) -> None:
    total[0] += s0
    total[1] += d1 * s0
    total[2] += d2 * s0
    total[3] += s1
    total[4] += d1 * d1 * s0
    total[5] += d2 * d2 * s0
    total[6] += s2
    total[7] += d1 * d2 * s0
    total[8] += d1 * s1
    total[9] += d2 * s1
