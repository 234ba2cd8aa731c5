r"""Atoms that are sums of round Gaussians, on a periodic grid, and the sums going back.

In grid units the squared distance is written as nested squares (the form of
:mod:`unstill.scattering.splat`), the same for all atoms. Along a row of the
grid every Gaussian is a table that changes only if the row's centre does, so
that the work of a voxel is one multiplication and addition a Gaussian.
"""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel


@kernel
def add_atoms(
    grid: np.ndarray,
    x: np.ndarray,
    squares: np.ndarray,
    variance: np.ndarray,
    norm: np.ndarray,
    cutoff: float,
) -> None:
    """Add Σ_t norm[j, t] exp(−r²/2v[j, t]), where above exp(−cutoff) for the widest, to the grid.

    ``grid`` is ``(n1, n2, n3)``; ``x`` ``(n_atoms, 3)`` in grid units, any
    period; ``squares`` ``(6,)`` nested squares of the metric (Å² per squared
    step); ``variance`` (Å²) and ``norm`` ``(n_atoms, n_terms)``.
    """
    n1, n2 = grid.shape[:2]
    n_terms = variance.shape[1]
    m1, m2, m3, p, q, r = squares
    room = int(2 * np.sqrt(2 * cutoff * variance.max() / m3)) + 3 if len(x) else 0
    table = np.empty((n_terms, room))
    row = np.empty(room)
    for atom in range(len(x)):
        x1, x2, x3 = x[atom]
        v = variance[atom]
        reach = 2 * cutoff * v.max()
        known, full3 = np.nan, np.sqrt(reach / m3)
        half1 = np.sqrt(reach / m1)
        for i in range(int(np.ceil(x1 - half1)), int(np.floor(x1 + half1)) + 1):
            d1 = i - x1
            left1 = reach - m1 * d1 * d1
            half2, centre2 = np.sqrt(max(left1, 0.0) / m2), x2 - p * d1
            for j in range(int(np.ceil(centre2 - half2)), int(np.floor(centre2 + half2)) + 1):
                left2 = left1 - m2 * (j - centre2) ** 2
                centre3 = x3 - q * d1 - r * (j - x2)
                low = int(np.ceil(centre3 - full3))
                if centre3 != known:
                    known = centre3
                    _fill(table, v, m3, low - centre3, int(np.floor(centre3 + full3)) - low + 1)
                half3 = np.sqrt(max(left2, 0.0) / m3)
                first, last = int(np.ceil(centre3 - half3)), int(np.floor(centre3 + half3))
                n, start = last - first + 1, first - low
                if n <= 0:
                    continue
                aside = reach - left2
                line = grid[i % n1, j % n2]
                if n_terms == 2:
                    _add_both(line, first, n, table[:, start:], norm[atom], v, aside)
                    continue
                row[:n] = 0.0
                for t in range(n_terms):
                    own = 2 * cutoff * v[t] - aside
                    if own <= 0.0:
                        continue
                    skip = max(int(half3 - np.sqrt(own / m3)) - 1, 0)
                    scale = norm[atom, t] * np.exp(-aside / (2 * v[t]))
                    for k in range(skip, n - skip):
                        row[k] += scale * table[t, start + k]
                _add_row(line, first, n, row)


@kernel
def gather_atoms(
    grid: np.ndarray,
    x: np.ndarray,
    squares: np.ndarray,
    variance: np.ndarray,
    norm: np.ndarray,
    cutoff: float,
    moments: np.ndarray,
) -> None:
    """Transpose of :func:`add_atoms`, with what derivatives need.

    With G_t = norm[j, t] exp(−r²/2v[j, t]), ``moments[j]`` becomes the sums over
    the grid of g times Σ_t G_t, Σ_t G_t d/v_t (three, d in grid steps) and
    Σ_t G_t (r²/2v_t² − 3/2v_t).
    """
    n1, n2, n3 = grid.shape
    n_terms = variance.shape[1]
    m1, m2, m3, p, q, r = squares
    room = int(2 * np.sqrt(2 * cutoff * variance.max() / m3)) + 3 if len(x) else 0
    table = np.empty((n_terms, room))
    for atom in range(len(x)):
        x1, x2, x3 = x[atom]
        v = variance[atom]
        reach = 2 * cutoff * v.max()
        known, full3 = np.nan, np.sqrt(reach / m3)
        total = moments[atom]
        total[:] = 0.0
        half1 = np.sqrt(reach / m1)
        for i in range(int(np.ceil(x1 - half1)), int(np.floor(x1 + half1)) + 1):
            d1 = i - x1
            left1 = reach - m1 * d1 * d1
            half2, centre2 = np.sqrt(max(left1, 0.0) / m2), x2 - p * d1
            for j in range(int(np.ceil(centre2 - half2)), int(np.floor(centre2 + half2)) + 1):
                left2 = left1 - m2 * (j - centre2) ** 2
                centre3 = x3 - q * d1 - r * (j - x2)
                low = int(np.ceil(centre3 - full3))
                if centre3 != known:
                    known = centre3
                    _fill(table, v, m3, low - centre3, int(np.floor(centre3 + full3)) - low + 1)
                half3 = np.sqrt(max(left2, 0.0) / m3)
                first, last = int(np.ceil(centre3 - half3)), int(np.floor(centre3 + half3))
                n, start = last - first + 1, first - low
                if n <= 0:
                    continue
                aside = reach - left2
                line = grid[i % n1, j % n2]
                off3, off2 = first - x3, j - x2
                along = first - centre3
                sum_v, sum_v3 = 0.0, 0.0
                for t in range(n_terms):
                    own = 2 * cutoff * v[t] - aside
                    if own <= 0.0:
                        continue
                    skip = max(int(half3 - np.sqrt(own / m3)) - 1, 0)
                    # Sums of g·table and of its first two moments along the row.
                    s0, s1, s2 = 0.0, 0.0, 0.0
                    m, k = skip, (first + skip) % n3
                    while m < n - skip:
                        piece = min(n3 - k, n - skip - m)
                        for u in range(piece):
                            value = line[k + u] * table[t, start + m + u]
                            place = m + u + 0.0
                            s0 += value
                            s1 += value * place
                            s2 += value * place * place
                        m, k = m + piece, 0
                    scale = norm[atom, t] * np.exp(-aside / (2 * v[t]))
                    scale_v = scale / v[t]
                    square = aside * s0 + m3 * (along * along * s0 + 2 * along * s1 + s2)
                    total[0] += scale * s0
                    total[4] += scale_v * (0.5 * square / v[t] - 1.5 * s0)
                    sum_v += scale_v * s0
                    sum_v3 += scale_v * (off3 * s0 + s1)
                total[1] += d1 * sum_v
                total[2] += off2 * sum_v
                total[3] += sum_v3


@kernel
def _add_row(line: np.ndarray, first: int, n: int, row: np.ndarray) -> None:
    """Add a row to a periodic line, in pieces so that the inner loop has no branch."""
    done, k = 0, first % len(line)
    while done < n:
        piece = min(len(line) - k, n - done)
        for m in range(piece):
            line[k + m] += row[done + m]
        done, k = done + piece, 0


@kernel
def _add_both(
    line: np.ndarray,
    first: int,
    n: int,
    table: np.ndarray,
    norm: np.ndarray,
    v: np.ndarray,
    aside: float,
) -> None:
    """Add an atom of two terms, as most are, in one sweep."""
    one = norm[0] * np.exp(-aside / (2 * v[0]))
    other = norm[1] * np.exp(-aside / (2 * v[1]))
    done, k = 0, first % len(line)
    while done < n:
        piece = min(len(line) - k, n - done)
        for m in range(piece):
            line[k + m] += one * table[0, done + m] + other * table[1, done + m]
        done, k = done + piece, 0


@kernel
def _fill(table: np.ndarray, v: np.ndarray, m3: float, start: float, n: int) -> None:
    """Tabulate exp(−m3 (start + k)²/2v_t), k < n."""
    for t in range(len(v)):
        for k in range(n):
            table[t, k] = np.exp(-0.5 * m3 * (start + k) ** 2 / v[t])
