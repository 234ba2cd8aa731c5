r"""A smooth surface through noisy values on a grid, with its variance.

Penalised least squares: minimise

.. math:: \sum_i w_i (r_i - f_i)^2 + \lambda \, |D f|^2

with all second differences D of the grid (f_xx, f_yy, and √2 f_xy). λ is chosen by
generalised cross-validation. The weights are those of Poisson counts; nodes far
from the surface are dropped and the fit repeated.

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
        λ; by default the one of generalised cross-validation.
    """
    counts, exposure = np.asarray(counts, float), np.asarray(exposure, float)
    seen = exposure > 0
    raw = np.where(seen, counts / np.where(seen, exposure, 1), 0.0)
    penalty = _penalty(counts.shape)
    # Weights of raw counts would favour low ones: begin with those of the mean rate.
    rate = np.full(counts.shape, max(counts.sum(), 1.0) / max(exposure.sum(), 1e-300))
    rejected = np.zeros(counts.shape, bool)
    chosen, spread = smoothness, 1.0
    for _ in range(4):
        floor = 0.05 * max(counts.sum(), 1.0) / max(exposure.sum(), 1e-300)
        weight = np.where(seen & ~rejected, exposure / np.maximum(rate, floor), 0.0)
        if smoothness is None:
            chosen = _best_smoothness(raw, weight, penalty)
        assert chosen is not None
        solve = _solver(weight, penalty, chosen)
        rate = solve((weight * raw).ravel()).reshape(counts.shape)
        residual = np.where(seen, (raw - rate) * np.sqrt(exposure / np.maximum(rate, floor)), 0.0)
        kept = np.abs(residual[seen & ~rejected])
        spread = max(1.0, 1.4826 * float(np.median(kept))) if kept.size else 1.0
        found = seen & (np.abs(residual) > OUTLIER * spread)
        if np.array_equal(found, rejected):
            break
        rejected = found
    assert chosen is not None
    weight = np.where(seen & ~rejected, exposure / np.maximum(rate, floor), 0.0)
    variance = spread**2 * _variance(_solver(weight, penalty, chosen), weight)
    return SmoothGrid(np.maximum(rate, 0.0), variance, rejected, chosen, spread)


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
    """λ of least n Σ w (r − f)² / (n − tr H)², the trace from random signs."""
    flat, n = weight.ravel(), int(np.count_nonzero(weight))
    unit = float(flat[flat > 0].mean()) if n else 1.0
    signs = np.random.default_rng(20).choice([-1.0, 1.0], (flat.size, 6))
    best, score = unit, np.inf
    for step in np.arange(-2.0, 5.01, 0.5):
        smoothness = unit * 10.0**step
        solve = _solver(weight, penalty, smoothness)
        fit = solve(flat * raw.ravel())
        trace = float(np.mean(np.sum(signs * solve(flat[:, None] * signs), axis=0)))
        misfit = float(np.sum(flat * (raw.ravel() - fit) ** 2))
        found = n * misfit / max(n - trace, 1e-3 * n + 1e-9) ** 2
        if found < score:
            best, score = smoothness, found
    return best


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
