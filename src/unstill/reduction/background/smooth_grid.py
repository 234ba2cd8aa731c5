r"""A smooth surface through noisy values on a grid, with its variance.

Penalised likelihood of Poisson counts n with exposure e: minimise

.. math:: 2 \sum_i (e_i f_i - n_i \ln f_i) + \lambda \, |D \ln f|^2

with all second differences D of the grid (g_xx, g_yy, and √2 g_xy). The logarithm is
what is smooth: air scatter falls by factors near the beam, and f stays positive. The
total of the counts is kept. λ is 0.03 of what generalised cross-validation finds:
that balances noise and bias, but noise averages out over voxels and bias does not.
Nodes far from the surface are dropped and the fit repeated.

References
----------
Eilers, P. H. C. (2003). *A perfect smoother*, doi:10.1021/ac034173t.
Golub, G. H., Heath, M. & Wahba, G. (1979), doi:10.1080/00401706.1979.10489751.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

EXACT_NODES = 1500
"""Up to here the variance is exact; above it is estimated with random vectors."""

N_PROBES = 64
OUTLIER = 6.0
"""Nodes are dropped that are so many standard deviations from the surface,"""

ODD = 0.5
"""and differ by this share at least: small misfits of strong counts are none of a spot."""

_ROUNDS, _STEPS = 4, 4
_KERNEL_COUNTS, _SHARE = 30.0, 0.03


@dataclass(frozen=True, eq=False)
class SmoothGrid:
    """A surface on a grid.

    Parameters
    ----------
    value, variance
        ``(n_y, n_x)``.
    rejected
        ``(n_y, n_x)`` nodes that were dropped.
    smoothness
        λ that was used.
    spread
        Scatter of the residuals over that of Poisson, 1 at least; in the variance.
    """

    value: np.ndarray
    variance: np.ndarray
    rejected: np.ndarray
    smoothness: float
    spread: float


def smooth_counts(
    counts: np.ndarray, exposure: np.ndarray, *, smoothness: float | None = None
) -> SmoothGrid:
    """Fit a smooth rate to Poisson counts on a grid.

    Parameters
    ----------
    counts
        ``(n_y, n_x)`` photons of each node.
    exposure
        ``(n_y, n_x)`` seconds × pixels; 0 where nothing was measured: the
        surface goes on smoothly there.
    smoothness
        λ; by default from generalised cross-validation.
    """
    counts, exposure = np.asarray(counts, float), np.asarray(exposure, float)
    seen = exposure > 0
    penalty = _penalty(counts.shape)
    level = _first_guess(counts, exposure)
    raw = np.where(seen, counts / np.where(seen, exposure, 1), 0.0)
    rejected = seen & _spots(raw, seen, exposure)
    chosen, spread = smoothness or 1.0, 1.0
    for _ in range(_ROUNDS):
        used = seen & ~rejected
        if smoothness is None:
            chosen = _best_smoothness(*_working(level, raw, exposure, used), penalty)
        for _ in range(_STEPS):
            wanted, weight = _working(level, raw, exposure, used)
            solve = _solver(weight, penalty, chosen)
            step = solve((weight * wanted).ravel()).reshape(counts.shape) - level
            # A factor of e at a time is enough.
            level = level + np.clip(step, -1.0, 1.0)
        rate = np.exp(level)
        # A node that expects less than one count may well have one.
        sigma = np.sqrt(np.maximum(exposure * rate, 1.0))
        residual = np.where(seen, (raw - rate) * exposure / sigma, 0.0)
        kept = np.abs(residual[used])
        spread = max(1.0, 1.4826 * float(np.median(kept))) if kept.size else 1.0
        odd = np.abs(raw - rate) > ODD * rate
        found = seen & odd & (np.abs(residual) > OUTLIER * spread)
        if np.array_equal(found, rejected):
            break
        rejected = found
    _, weight = _working(level, raw, exposure, seen & ~rejected)
    variance = (spread * rate) ** 2 * _variance(_solver(weight, penalty, chosen), weight)
    return SmoothGrid(rate, variance, rejected, chosen, spread)


def _first_guess(counts: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Logarithm of the rate of 3 × 3 nodes, drawn to the mean by one count."""
    from scipy.ndimage import uniform_filter

    near = [9 * uniform_filter(grid, 3, mode="nearest") for grid in (counts, exposure)]
    mean = max(counts.sum(), 1.0) / max(exposure.sum(), 1e-300)
    guess: np.ndarray = np.log((near[0] + 1.0) / (near[1] + 1.0 / mean))
    return guess


def _spots(raw: np.ndarray, seen: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Single nodes of twice the highest, or half the lowest rate around them, by 6 σ."""
    from scipy.ndimage import maximum_filter, minimum_filter

    around = np.ones((3, 3), bool)
    around[1, 1] = False
    highest = maximum_filter(np.where(seen, raw, 0.0), footprint=around, mode="nearest")
    lowest = minimum_filter(np.where(seen, raw, np.inf), footprint=around, mode="nearest")
    sigma = OUTLIER * np.sqrt(np.maximum(raw * exposure, 1.0)) / np.where(seen, exposure, 1.0)
    found: np.ndarray = (raw > 2 * highest + sigma) | (raw < 0.5 * lowest - sigma)
    return found


def _working(
    level: np.ndarray, raw: np.ndarray, exposure: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the logarithm should be, and its weight: one step of Fisher scoring."""
    rate = np.exp(level)
    wanted = level + (raw - rate) / rate
    return np.where(used, wanted, 0.0), np.where(used, exposure * rate, 0.0)


def _penalty(shape: tuple[int, ...]) -> Any:
    from scipy import sparse

    def differences(n: int, order: int) -> Any:
        if n <= order:
            return sparse.csr_matrix((1, n))
        rows = [np.full(n - order, c) for c in ((-1.0, 1.0), (1.0, -2.0, 1.0))[order - 1]]
        return sparse.diags(rows, list(range(order + 1)), shape=(n - order, n))

    rows, columns = shape
    one_x, one_y = sparse.identity(columns), sparse.identity(rows)
    parts = [
        sparse.kron(one_y, differences(columns, 2)),
        sparse.kron(differences(rows, 2), one_x),
        np.sqrt(2.0) * sparse.kron(differences(rows, 1), differences(columns, 1)),
    ]
    stacked = sparse.vstack(parts).tocsr()
    return (stacked.T @ stacked).tocsc()


def _solver(weight: np.ndarray, penalty: Any, smoothness: float) -> Any:
    from scipy import sparse
    from scipy.sparse.linalg import splu

    flat = weight.ravel()
    # A trace of ridge keeps grids without data solvable.
    ridge = 1e-10 * max(float(flat.mean()), 1e-300)
    matrix = sparse.diags(flat + ridge) + smoothness * penalty
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve


def _best_smoothness(raw: np.ndarray, weight: np.ndarray, penalty: Any) -> float:
    """λ from the least n Σ w (r − g)² / (n − tr H)², the trace from random signs."""
    flat, n = weight.ravel(), int(np.count_nonzero(weight))
    unit = float(flat[flat > 0].mean()) if n else 1.0
    signs = np.random.default_rng(20).choice([-1.0, 1.0], (flat.size, 6))

    def score(step: float) -> float:
        solve = _solver(weight, penalty, unit * 10.0**step)
        fit = solve(flat * raw.ravel())
        trace = float(np.mean(np.sum(signs * solve(flat[:, None] * signs), axis=0)))
        misfit = float(np.sum(flat * (raw.ravel() - fit) ** 2))
        return n * misfit / max(n - trace, 1e-3 * n + 1e-9) ** 2

    # A kernel of a few counts would follow single ones.
    lowest = int(np.ceil(np.log10(_KERNEL_COUNTS**2 / unit**2)))
    lowest = int(np.clip(lowest, -3, 8))
    coarse = min(range(lowest, max(lowest, 5) + 1), key=score)
    near = (max(coarse - 0.5, float(lowest)), float(coarse), coarse + 0.5)
    best: float = min(near, key=score)
    return float(_SHARE * unit * 10.0**best)


def _variance(solve: Any, weight: np.ndarray) -> np.ndarray:
    """diag(A⁻¹ W A⁻¹), as the values have variance W⁻¹."""
    flat = weight.ravel()
    if flat.size <= EXACT_NODES:
        influence = solve(np.diag(np.sqrt(flat)))
        exact: np.ndarray = np.sum(influence**2, axis=1).reshape(weight.shape)
        return exact
    from scipy.ndimage import uniform_filter

    noise = np.random.default_rng(21).standard_normal((flat.size, N_PROBES))
    drawn = solve(np.sqrt(flat)[:, None] * noise)
    estimate = np.mean(drawn**2, axis=1).reshape(weight.shape)
    # The variance is as smooth as the surface: neighbours make up for few vectors.
    smooth: np.ndarray = uniform_filter(estimate, 5, mode="nearest")
    return smooth
