"""Sweeps over distances, signed volumes and contacts: the inner loop of the geometry prior.

Every constraint is solved in turn by moving its atoms along their gradient, each
in proportion to its variance (Gauss–Seidel). A multiplier per constraint
remembers what it did, so that the end is the balance of all, and not of the
last.

Source: Macklin, Müller & Chentanez (2016), XPBD,
https://doi.org/10.1145/2994258.2994272.
"""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel


@kernel
def hold_distances(
    y: np.ndarray,
    variance: np.ndarray,
    pairs: np.ndarray,
    lengths: np.ndarray,
    compliance: np.ndarray,
    most: np.ndarray,
    multiplier: np.ndarray,
) -> None:
    """One sweep over distances: ``y`` (n, 3) Å changes in place.

    ``variance`` (n,) Å² is how far atoms may go, 0 for those that stand still;
    ``pairs`` (m, 2), ``lengths`` (m,) Å, ``compliance`` (m,) the square of their
    standard deviations (Å²), ``most`` (m,) the largest force (per Å), ``multiplier``
    (m,) starts at 0.
    """
    for c in range(len(pairs)):
        i, j = pairs[c]
        w = variance[i] + variance[j]
        if w == 0.0:
            continue
        dx, dy, dz = y[i, 0] - y[j, 0], y[i, 1] - y[j, 1], y[i, 2] - y[j, 2]
        length = np.sqrt(dx * dx + dy * dy + dz * dz)
        if length < 1e-6:
            continue
        change = -(length - lengths[c] + compliance[c] * multiplier[c]) / (w + compliance[c])
        pulled = min(max(multiplier[c] + change, -most[c]), most[c])
        change = pulled - multiplier[c]
        multiplier[c] = pulled
        change /= length
        for axis, d in enumerate((dx, dy, dz)):
            y[i, axis] += variance[i] * change * d
            y[j, axis] -= variance[j] * change * d


@kernel
def hold_volumes(
    y: np.ndarray,
    variance: np.ndarray,
    centres: np.ndarray,
    volumes: np.ndarray,
    compliance: float,
    multiplier: np.ndarray,
) -> None:
    """One sweep over signed volumes (Å³) of a centre's bonds to three neighbours."""
    g = np.empty((4, 3))
    for c in range(len(centres)):
        a = centres[c, 0]
        u = y[centres[c, 1]] - y[a]
        v = y[centres[c, 2]] - y[a]
        w = y[centres[c, 3]] - y[a]
        for axis in range(3):
            b, d = (axis + 1) % 3, (axis + 2) % 3
            g[1, axis] = v[b] * w[d] - v[d] * w[b]
            g[2, axis] = w[b] * u[d] - w[d] * u[b]
            g[3, axis] = u[b] * v[d] - u[d] * v[b]
            g[0, axis] = -(g[1, axis] + g[2, axis] + g[3, axis])
        volume = u[0] * g[1, 0] + u[1] * g[1, 1] + u[2] * g[1, 2]
        size = compliance
        for k in range(4):
            size += variance[centres[c, k]] * (g[k, 0] ** 2 + g[k, 1] ** 2 + g[k, 2] ** 2)
        if size < 1e-9:
            continue
        change = -(volume - volumes[c] + compliance * multiplier[c]) / size
        multiplier[c] += change
        for k in range(4):
            for axis in range(3):
                y[centres[c, k], axis] += variance[centres[c, k]] * change * g[k, axis]


@kernel
def keep_apart(
    y: np.ndarray,
    variance: np.ndarray,
    pairs: np.ndarray,
    nearest: np.ndarray,
    compliance: float,
    multiplier: np.ndarray,
) -> None:
    """One sweep over pairs that must not come nearer than ``nearest`` (m,) Å."""
    for c in range(len(pairs)):
        i, j = pairs[c]
        w = variance[i] + variance[j]
        if w == 0.0:
            continue
        dx, dy, dz = y[i, 0] - y[j, 0], y[i, 1] - y[j, 1], y[i, 2] - y[j, 2]
        square = dx * dx + dy * dy + dz * dz
        if multiplier[c] == 0.0 and square >= nearest[c] * nearest[c]:
            continue
        length = np.sqrt(square)
        if length < 1e-6:
            continue
        change = (nearest[c] - length - compliance * multiplier[c]) / (w + compliance)
        # A contact pushes and never pulls.
        change = max(change, -multiplier[c])
        multiplier[c] += change
        change /= length
        for axis, d in enumerate((dx, dy, dz)):
            y[i, axis] += variance[i] * change * d
            y[j, axis] -= variance[j] * change * d


@kernel
def not_listed(pairs: np.ndarray, starts: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """Which pairs (i < j) are not among the sorted ``partners[starts[i]:starts[i + 1]]``."""
    found = np.ones(len(pairs), dtype=np.bool_)
    for c in range(len(pairs)):
        i, j = min(pairs[c, 0], pairs[c, 1]), max(pairs[c, 0], pairs[c, 1])
        for place in range(starts[i], starts[i + 1]):
            if partners[place] == j:
                found[c] = False
                break
    return found
