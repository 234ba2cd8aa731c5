"""Positive semidefinite tensors as free parameters: C = L Lᵀ, L lower triangular."""

from __future__ import annotations

import numpy as np

from unstill.disorder.model import Parameter, Theta
from unstill.shapes import Float

Square = Float[np.ndarray, "n n"]


def lower_entries(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the free entries of L: the diagonal first, then below it."""
    below = np.tril_indices(size, -1)
    diagonal = np.arange(size)
    return np.concatenate([diagonal, below[0]]), np.concatenate([diagonal, below[1]])


def factor_parameters(
    size: int, start: Float[np.ndarray, " n"], *, largest: float
) -> tuple[Parameter, ...]:
    """Free entries of L (Å): logarithm on the diagonal, plain below it."""
    rows, columns = lower_entries(size)
    return tuple(
        Parameter(f"factor_{i + 1}{j + 1}", "Å", float(start[i]), 1e-4, largest, zero_is_fine=True)
        if i == j
        else Parameter(f"factor_{i + 1}{j + 1}", "Å", 0.0, -largest, largest, log=False)
        for i, j in zip(rows, columns, strict=True)
    )


def factor(theta: Theta, size: int) -> Square:
    """L from its free entries."""
    rows, columns = lower_entries(size)
    lower = np.zeros((size, size))
    lower[rows, columns] = np.where(rows == columns, np.exp(np.minimum(theta, 50)), theta)
    return lower


def free_entries(tensor: Square, *, smallest: float = 2e-4) -> Theta:
    """θ of a positive semidefinite tensor; vanishing diagonal entries become tiny ones."""
    size = len(tensor)
    lower = _semidefinite_cholesky(tensor)
    rows, columns = lower_entries(size)
    entries: np.ndarray = lower[rows, columns]
    on_diagonal = rows == columns
    entries[on_diagonal] = np.log(np.maximum(entries[on_diagonal], smallest))
    return entries


def chained(by_lower: Float[np.ndarray, "n n points"], lower: Square) -> np.ndarray:
    """Turn derivatives to the entries of L into derivatives to θ."""
    rows, columns = lower_entries(len(lower))
    scale = np.where(rows == columns, lower[rows, columns], 1.0)
    derivatives: np.ndarray = by_lower[rows, columns] * scale[:, None]
    return derivatives


def _semidefinite_cholesky(tensor: Square) -> Square:
    # QR of a square root works where a plain Cholesky stops at a zero eigenvalue.
    values, vectors = np.linalg.eigh(tensor)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    upper = np.asarray(np.linalg.qr(root.T, mode="r"))
    signs = np.where(np.diag(upper) < 0, -1.0, 1.0)
    lower: np.ndarray = (upper * signs[:, None]).T
    return lower
