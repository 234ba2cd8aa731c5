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
    n_groups, n = shares.shape
    changed = False
    linear = np.empty(n)
    chosen = np.empty(n)
    best = np.empty(n)
    for r in range(n_groups):
        base, price = r * n, prices[r]
        own[:] = 0.0
        for a in range(n):
            for k in range(starts[base + a], starts[base + a + 1]):
                column = columns[k] - base
                if 0 <= column < n:
                    own[a, column] = values[k]
        for a in range(n):
            linear[a] = slope[base + a]
            for b in range(n):
                linear[a] -= own[a, b] * shares[r, b]
        lowest = np.inf
        for a in range(n):
            value = 0.5 * own[a, a] + linear[a] + price
            if value < lowest:
                lowest = value
                best[:] = 0.0
                best[a] = 1.0
            for b in range(a):
                bend = own[a, a] + own[b, b] - 2 * own[a, b]
                if bend <= 1e-9 * (own[a, a] + own[b, b]):
                    continue
                q = -(own[a, b] - own[b, b] + linear[a] - linear[b]) / bend
                if 0.0 < q < 1.0:
                    value = 0.5 * own[b, b] + linear[b] - 0.5 * bend * q * q + 2 * price
                    if value < lowest:
                        lowest = value
                        best[:] = 0.0
                        best[a], best[b] = q, 1 - q
                for c in range(b):
                    # With shares u, v of a and b, and the rest of c.
                    haa = own[a, a] + own[c, c] - 2 * own[a, c]
                    hbb = own[b, b] + own[c, c] - 2 * own[b, c]
                    hab = own[a, b] + own[c, c] - own[a, c] - own[b, c]
                    det = haa * hbb - hab * hab
                    if det <= 1e-9 * haa * hbb:
                        continue
                    ga = own[a, c] - own[c, c] + linear[a] - linear[c]
                    gb = own[b, c] - own[c, c] + linear[b] - linear[c]
                    u = (-ga * hbb + gb * hab) / det
                    v = (-gb * haa + ga * hab) / det
                    if u > 0.0 and v > 0.0 and u + v < 1.0:
                        value = 0.5 * own[c, c] + linear[c] + 0.5 * (ga * u + gb * v) + 3 * price
                        if value < lowest:
                            lowest = value
                            best[:] = 0.0
                            best[a], best[b], best[c] = u, v, 1 - u - v
        # What stands is left where nothing better than rounding is found.
        count, now = 0, 0.0
        for a in range(n):
            if shares[r, a] > 0.0:
                count += 1
            row = 0.0
            for b in range(n):
                row += own[a, b] * shares[r, b]
            now += shares[r, a] * (0.5 * row + linear[a])
        if count <= MOST and now + price * count <= lowest + 1e-6 * (abs(lowest) + price):
            continue
        changed = True
        for a in range(n):
            chosen[a] = best[a] - shares[r, a]
            shares[r, a] = best[a]
        for a in range(n):
            if chosen[a] != 0.0:
                for k in range(starts[base + a], starts[base + a + 1]):
                    slope[columns[k]] += values[k] * chosen[a]
    return changed
