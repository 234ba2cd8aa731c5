r"""The fewest candidates of every group that explain the data.

.. math::
   \min_q\; \tfrac12 \Delta^T H \Delta + g^T \Delta + \sum_r p_r |\{l : q_{rl} > 0\}|,
   \qquad \Delta = q - q^0,\quad q_{rl} \ge 0,\quad \sum_l q_{rl} = 1

Group by group the best of all sets of up to three candidates is taken, the
others given, until nothing changes: a set of three among ten is one of 175.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from unstill.compiled import kernel
from unstill.shapes import Float

MOST = 3
"""Candidates of a group, at most."""
_ROUNDS = 30


def choose_candidates(
    curvature: scipy.sparse.csr_array,
    gradient: Float[np.ndarray, "n_groups n_candidates"],
    shares: Float[np.ndarray, "n_groups n_candidates"],
    price: Float[np.ndarray, " n_groups"],
) -> Float[np.ndarray, "n_groups n_candidates"]:
    """Shares of the candidates of every group, of sum 1, few of them above zero.

    Parameters
    ----------
    curvature
        H, group by group.
    gradient
        g of the loss at ``shares``.
    shares
        q⁰, where g was taken; of sum 1 for every group.
    price
        ``(n_groups,)`` p, that a candidate must lower the loss by.
    """
    found = np.array(shares, dtype=float)
    slope = np.array(gradient, dtype=float).ravel()
    h = curvature.tocsr()
    h.sort_indices()
    n_candidates = shares.shape[1]
    dense = np.zeros((n_candidates, n_candidates))
    for _ in range(_ROUNDS):
        if not _round(h.indptr, h.indices, h.data, slope, found, price, dense):
            break
    return found


@kernel
def _round(
    starts: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    slope: np.ndarray,
    shares: np.ndarray,
    prices: np.ndarray,
    own: np.ndarray,
) -> bool:
    """Give every group its best set, the others given; whether one changed."""
    n_groups, n = shares.shape
    changed = False
    linear = np.empty(n)
    best = np.empty(n)
    for r in range(n_groups):
        base = r * n
        _own_block(starts, columns, values, base, own)
        for a in range(n):
            linear[a] = slope[base + a]
            for b in range(n):
                linear[a] -= own[a, b] * shares[r, b]
        lowest = _best_set(own, linear, prices[r], best)
        # What stands is left where nothing better than rounding is found.
        now = _worth(own, linear, prices[r], shares[r])
        if now <= lowest + 1e-6 * (abs(lowest) + prices[r]):
            continue
        changed = True
        for a in range(n):
            change = best[a] - shares[r, a]
            shares[r, a] = best[a]
            if change != 0.0:
                for k in range(starts[base + a], starts[base + a + 1]):
                    slope[columns[k]] += values[k] * change
    return changed


@kernel
def _own_block(
    starts: np.ndarray, columns: np.ndarray, values: np.ndarray, base: int, own: np.ndarray
) -> None:
    """Copy the block of one group from the rows of a sparse matrix."""
    n = len(own)
    own[:] = 0.0
    for a in range(n):
        for k in range(starts[base + a], starts[base + a + 1]):
            column = columns[k] - base
            if 0 <= column < n:
                own[a, column] = values[k]


@kernel
def _worth(own: np.ndarray, linear: np.ndarray, price: float, share: np.ndarray) -> float:
    """Loss and price of the shares of a group; infinite for more than are allowed."""
    count, total = 0, 0.0
    for a in range(len(share)):
        if share[a] > 0.0:
            count += 1
        row = 0.0
        for b in range(len(share)):
            row += own[a, b] * share[b]
        total += share[a] * (0.5 * row + linear[a])
    return total + price * count if count <= MOST else np.inf


@kernel
def _best_set(own: np.ndarray, linear: np.ndarray, price: float, best: np.ndarray) -> float:
    """Shares of the best set of one, two or three, in ``best``; its loss and price."""
    n = len(linear)
    lowest = np.inf
    for a in range(n):
        value = 0.5 * own[a, a] + linear[a] + price
        if value < lowest:
            lowest = value
            best[:] = 0.0
            best[a] = 1.0
        for b in range(a):
            value, u = _pair(own, linear, a, b)
            if value + 2 * price < lowest:
                lowest = value + 2 * price
                best[:] = 0.0
                best[a], best[b] = u, 1 - u
            for c in range(b):
                value, u, v = _triple(own, linear, a, b, c)
                if value + 3 * price < lowest:
                    lowest = value + 3 * price
                    best[:] = 0.0
                    best[a], best[b], best[c] = u, v, 1 - u - v
    return lowest


@kernel
def _pair(own: np.ndarray, linear: np.ndarray, a: int, b: int) -> tuple[float, float]:
    """Lowest loss of a and b together, and the share of a; infinite if one is enough."""
    bend = own[a, a] + own[b, b] - 2 * own[a, b]
    if bend <= 1e-9 * (own[a, a] + own[b, b]):
        return np.inf, 0.0
    u = -(own[a, b] - own[b, b] + linear[a] - linear[b]) / bend
    if not 0.0 < u < 1.0:
        return np.inf, 0.0
    return 0.5 * own[b, b] + linear[b] - 0.5 * bend * u * u, u


@kernel
def _triple(
    own: np.ndarray, linear: np.ndarray, a: int, b: int, c: int
) -> tuple[float, float, float]:
    """Lowest loss of three, and the shares of a and b; infinite if fewer are enough."""
    haa = own[a, a] + own[c, c] - 2 * own[a, c]
    hbb = own[b, b] + own[c, c] - 2 * own[b, c]
    hab = own[a, b] + own[c, c] - own[a, c] - own[b, c]
    det = haa * hbb - hab * hab
    if det <= 1e-9 * haa * hbb:
        return np.inf, 0.0, 0.0
    ga = own[a, c] - own[c, c] + linear[a] - linear[c]
    gb = own[b, c] - own[c, c] + linear[b] - linear[c]
    u = (gb * hab - ga * hbb) / det
    v = (ga * hab - gb * haa) / det
    if u <= 0.0 or v <= 0.0 or u + v >= 1.0:
        return np.inf, 0.0, 0.0
    return 0.5 * own[c, c] + linear[c] + 0.5 * (ga * u + gb * v), u, v
