"""Whether indexed spots fill a lattice, or only every second or third of its points."""

from __future__ import annotations

import itertools

import numpy as np

_ENOUGH = 0.95


def filled_lattice(a_matrix: np.ndarray, hkl: np.ndarray) -> np.ndarray:
    """Return the setting matrix of the lattice that Miller indices fill.

    Where nearly all indices obey h·v ≡ 0 (mod 2 or 3) for some v, the cell that was found is
    too large: the condition is taken out by a coarser reciprocal lattice.

    Parameters
    ----------
    a_matrix
        ``(3, 3)`` reciprocal axes as columns (Å⁻¹).
    hkl
        ``(n, 3)`` integers.

    Examples
    --------
    >>> hkl = np.array([[h, k, l] for h in (-2, 0, 2, 4) for k in range(4) for l in range(4)])
    >>> filled_lattice(np.diag([0.01, 0.03, 0.05]), hkl).round(3).diagonal().tolist()
    [0.02, 0.03, 0.05]
    """
    hkl = np.asarray(hkl)
    for n in (2, 3, 2, 3):
        for v in itertools.product(range(n), repeat=3):
            if any(v) and float(((hkl @ np.array(v)) % n == 0).mean()) > _ENOUGH:
                basis = _basis(v, n)
                hkl = np.rint(hkl @ np.linalg.inv(basis)).astype(int)
                a_matrix = a_matrix @ basis.T
                break
    return a_matrix


def _basis(v: tuple[int, ...], n: int) -> np.ndarray:
    """Rows that span the integer vectors h with h·v ≡ 0 (mod n), the shortest of those."""
    span = range(-n, n + 1)
    vectors = [h for h in itertools.product(span, repeat=3) if any(h) and np.dot(h, v) % n == 0]
    vectors.sort(key=lambda h: (sum(x * x for x in h), tuple(-x for x in h)))
    for triple in itertools.combinations(vectors[:40], 3):
        if abs(round(float(np.linalg.det(np.array(triple))))) == n:
            rows = np.array(triple, dtype=float)
            # In the order of the axes, so that a cell that only halves one keeps its names.
            order = np.argsort(np.argmax(np.abs(rows), axis=1), kind="stable")
            return rows[order] * (1 if np.linalg.det(rows[order]) > 0 else -1)
    raise AssertionError(v)
