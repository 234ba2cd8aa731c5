r"""Form factors of many kinds of atoms from a few shared curves.

The form factor of atom j, :math:`f_{e_j}(s)\,e^{-B_j s^2/4}`, is one row of a
matrix over (element, B) and s. A singular value decomposition leaves few rows:

.. math:: f_j(s) \approx \sum_{m} c_{jm}\, \varphi_m(s)

so that one transform a *curve* replaces one a kind of atom. Continuous B is
reached by polynomial interpolation between Chebyshev nodes of B.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.scattering.form_factors import Symbols, Table, dispersion, form_factors
from unstill.shapes import Float, Inexact

_N_SAMPLES = 64
_CHUNK = 1 << 15
_RARE = 0.01
_MAX_NODES = 160
# Share of the tolerance for the rank where B is interpolated: without it the worst of some 500
# random cases was 1.6 times the tolerance.
_BETWEEN_NODES = 0.5
# Where damping leaves less than this of the strongest scattering, the error is measured against
# this much instead.
_FAINT = 1e-12


@dataclass(frozen=True, eq=False)
class LowRank:
    """f_j(H) = Σ_m coefficient[m, j] profile[m, H].

    Parameters
    ----------
    profile
        ``(n_channels, n_points)``; complex where there is an anomalous part.
    coefficient
        ``(n_channels, n_atoms)``, real, for unit occupancy.
    """

    profile: Inexact[np.ndarray, "channels points"]
    coefficient: Float[np.ndarray, "channels n_atoms"]

    @property
    def n_channels(self) -> int:
        """Number of real transforms that are needed."""
        return len(self.profile)


def low_rank(
    element: Symbols,
    b_factor: np.ndarray,
    s_squared: np.ndarray,
    *,
    table: Table = "xray",
    energy: float | None = None,
    tolerance: float = 1e-5,
) -> LowRank:
    """Shortest list of curves that reproduces every atom's form factor.

    The rank is the smallest for which, at every s, the root mean square error
    over the atoms is below ``tolerance`` times their root mean square form
    factor. Elements rarer than 1 % count as 1 %, so that a lone metal keeps
    its own shape. An even rank is preferred: transforms go in pairs.

    Parameters
    ----------
    element, b_factor
        ``(n_atoms,)`` symbols and B (Å²).
    s_squared
        ``(n_points,)`` 1/d² (Å⁻²).
    table, energy
        As in :func:`unstill.scattering.form_factors.form_factors`.
    tolerance
        Relative error allowed.

    Examples
    --------
    Five elements to 2 Å need four curves for 1e-4, and five for any accuracy:

    >>> element = np.array(["C", "N", "O", "H", "S"] * 10)
    >>> s_squared = np.linspace(0, 0.25, 50)
    >>> low_rank(element, np.zeros(50), s_squared, tolerance=1e-4).n_channels
    4
    >>> low_rank(element, np.zeros(50), s_squared, tolerance=1e-9).n_channels
    5
    """
    names, kind = np.unique(element, return_inverse=True)
    if not len(element) or not len(s_squared):
        return LowRank(np.zeros((0, len(s_squared))), np.zeros((0, len(element))))
    share = np.maximum(np.bincount(kind) / len(kind), _RARE)
    samples = _samples(s_squared)
    nodes, weights = _b_nodes(b_factor, samples, 0.1 * tolerance)
    kinds = _Kinds(names, nodes, table, energy)
    rms = _rms(kinds, share, samples, b_factor)

    # Interpolation in B amplifies what the truncation leaves at the nodes.
    kept = tolerance if len(nodes) == 1 else _BETWEEN_NODES * tolerance
    parts = [_compressed(kinds.real_rows, share, samples, rms, kept)]
    units = [1.0 + 0j]
    if energy is not None and np.any(kinds.anomalous.imag):
        parts.append(_compressed(kinds.imag_rows, share, samples, rms, kept))
        units.append(1j)

    profiles, coefficients = [], []
    for unit, (projection, rows) in zip(units, parts, strict=True):
        profile = _in_chunks(rows, projection, s_squared)
        profiles.append(profile if len(units) == 1 else unit * profile)
        coefficients.append(_per_atom(projection, share, kind, weights))
    return LowRank(np.concatenate(profiles), np.concatenate(coefficients))


Rows = Callable[[np.ndarray], np.ndarray]
"""Rows of the matrix (element × B node, s) at some s²."""


class _Kinds:
    """The rows of the matrix: every element at every node of B."""

    def __init__(
        self, names: np.ndarray, nodes: np.ndarray, table: Table, energy: float | None
    ) -> None:
        self.names, self.nodes, self.table = names, nodes, table
        self.anomalous = (
            np.zeros(len(names), dtype=complex)
            if energy is None
            else dispersion(names, energy=energy, table=table)
        )

    def real_rows(self, s_squared: np.ndarray) -> np.ndarray:
        at_rest = form_factors(self.names, s_squared, table=self.table)
        return self._damped(at_rest + self.anomalous.real[:, None], s_squared)

    def imag_rows(self, s_squared: np.ndarray) -> np.ndarray:
        flat = np.broadcast_to(self.anomalous.imag[:, None], (len(self.names), len(s_squared)))
        return self._damped(flat, s_squared)

    def _damped(self, at_rest: np.ndarray, s_squared: np.ndarray) -> np.ndarray:
        damping = np.exp(-self.nodes[:, None] / 4 * s_squared)
        rows: np.ndarray = (at_rest[:, None] * damping).reshape(-1, len(s_squared))
        return rows


def _samples(s_squared: np.ndarray) -> np.ndarray:
    low, high = np.sqrt(s_squared.min()), np.sqrt(s_squared.max())
    return np.unique(np.linspace(low, high, _N_SAMPLES) ** 2)


def _rms(
    kinds: _Kinds, share: np.ndarray, samples: np.ndarray, b_factor: np.ndarray
) -> np.ndarray:
    """Root mean square form factor over the atoms, at each sample of s²."""
    at_rest = form_factors(kinds.names, samples, table=kinds.table) + kinds.anomalous[:, None]
    typical_b = np.quantile(b_factor, np.linspace(0, 1, 65))
    damping = np.exp(-typical_b[:, None] / 2 * samples).mean(axis=0)
    rms: np.ndarray = np.sqrt(share @ np.abs(at_rest) ** 2 * damping)
    floored: np.ndarray = np.maximum(rms, _FAINT * rms.max())
    return floored


def _compressed(
    rows: Rows, share: np.ndarray, samples: np.ndarray, rms: np.ndarray, tolerance: float
) -> tuple[np.ndarray, Rows]:
    """Projection (rows × rank) onto the leading singular vectors, and the weighted rows."""
    n_nodes = len(rows(samples[:1])) // len(share)
    weight = np.sqrt(np.repeat(share, n_nodes) / n_nodes)[:, None]

    def weighted(s_squared: np.ndarray) -> np.ndarray:
        return weight * rows(s_squared)

    left, values, right = np.linalg.svd(weighted(samples) / rms, full_matrices=False)
    # Error left at each s after keeping the first r vectors; the sum runs from the small end.
    energy = (values[:, None] * right) ** 2
    left_over = np.cumsum(energy[::-1], axis=0)[::-1].max(axis=1)
    rank = max(1, int(np.sum(left_over > tolerance**2)))
    rank = min(rank + rank % 2, left.shape[1])
    return left[:, :rank], weighted


def _in_chunks(rows: Rows, projection: np.ndarray, s_squared: np.ndarray) -> np.ndarray:
    profile = np.empty((projection.shape[1], len(s_squared)))
    for start in range(0, len(s_squared), _CHUNK):
        part = slice(start, start + _CHUNK)
        # einsum, not @: the bits of a BLAS product depend on its number of threads, and the
        # same frames must give the same sums whatever the workers are allowed.
        profile[:, part] = np.einsum("kr,kp->rp", projection, rows(s_squared[part]))
    return profile


def _per_atom(
    projection: np.ndarray, share: np.ndarray, kind: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    n_nodes = weights.shape[1]
    unweighted = projection / np.sqrt(np.repeat(share, n_nodes) / n_nodes)[:, None]
    table = unweighted.reshape(len(share), n_nodes, -1)
    coefficient = np.empty((projection.shape[1], len(kind)))
    for number in range(len(share)):
        chosen = kind == number
        coefficient[:, chosen] = np.einsum("jk,kr->rj", weights[chosen], table[number])
    return coefficient


def _b_nodes(
    b_factor: np.ndarray, samples: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of B, and the weight of each node for each atom, ``(n_atoms, n_nodes)``."""
    distinct, place = np.unique(b_factor, return_inverse=True)
    low, high = float(distinct[0]), float(distinct[-1])
    trial = np.linspace(low, high, 257)
    typical = np.exp(-np.quantile(b_factor, np.linspace(0, 1, 65))[:, None] / 2 * samples)
    rms = np.maximum(np.sqrt(typical.mean(axis=0)), _FAINT)
    exact = np.exp(-trial[:, None] / 4 * samples) / rms
    for n_nodes in range(2, _MAX_NODES):
        if len(distinct) <= n_nodes:
            return distinct, np.eye(len(distinct))[place]
        nodes = low + (high - low) * (1 - np.cos(np.pi * np.arange(n_nodes) / (n_nodes - 1))) / 2
        at_nodes = np.exp(-nodes[:, None] / 4 * samples) / rms
        if np.abs(_lagrange(nodes, trial) @ at_nodes - exact).max() <= tolerance:
            return nodes, _lagrange(nodes, b_factor)
    raise InputError(
        "B factors spread too widely for this resolution",
        found=f"from {low:g} to {high:g} Å²",
        fix="correct the B factors, or use engine='direct'",
    )


def _lagrange(nodes: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Weights of Lagrange interpolation from Chebyshev–Lobatto nodes, barycentric form."""
    sign = np.where(np.arange(len(nodes)) % 2, -1.0, 1.0)
    sign[[0, -1]] /= 2
    distance = x[:, None] - nodes
    exact = distance == 0
    terms = sign / np.where(exact, 1.0, distance)
    weights: np.ndarray = terms / terms.sum(axis=1, keepdims=True)
    return np.where(exact.any(axis=1, keepdims=True), exact, weights)
