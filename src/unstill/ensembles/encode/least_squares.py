"""Places that meet distances: Levenberg-Marquardt with conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.compiled import kernel
from unstill.ensembles.encode.restraints import Restraints
from unstill.shapes import Float, Int

_STEPS = 12
_CG_STEPS = 60
_CG_TOLERANCE = 0.03
_ENOUGH = 2e-3
"""Share by which a step must lower the sum for another one to be worth while."""


@dataclass(frozen=True, eq=False)
class Balls:
    """Groups of rows that shall stay near places: the residues of members near the bound.

    Parameters
    ----------
    start
        ``(n_groups + 1,)`` first entry of each group.
    row, place
        ``(n_entries,)`` and ``(n_entries, 3)``.
    limit
        Largest mean squared distance of a group, in Å².
    weight
        Of the squared excess, relative to the limit.
    """

    start: Int[np.ndarray, " n_groups_plus_1"]
    row: Int[np.ndarray, " n_entries"]
    place: Float[np.ndarray, "n_entries 3"]
    limit: float
    weight: float


def meet_distances(
    mean: Float[np.ndarray, "n_rows 3"],
    restraints: Restraints,
    balls: Balls,
    tether: float,
    first: Float[np.ndarray, "n_rows 3"] | None = None,
) -> Float[np.ndarray, "n_rows 3"]:
    r"""Minimise the sum of squares of restraints, tethers and excesses.

    .. math::

        \sum_{ij} \Bigl(\frac{|x_i - x_j| - d_{ij}}{\sigma_{ij}}\Bigr)^2
        + \sum_i \Bigl(\frac{x_i - \bar x_i}{t}\Bigr)^2
        + k \sum_g \max\Bigl(0, \frac{\mathrm{msd}_g}{\mathrm{limit}} - 1\Bigr)^2

    Normal equations are solved by conjugate gradients, preconditioned by their blocks of
    3 × 3, to a few per cent, which the next step mends.

    Parameters
    ----------
    mean
        Where the tethers hold rows.
    restraints
        Distances.
    balls
        Places not to be left.
    tether
        Its width, in Å.
    first
        Where to begin; at ``mean`` by default.

    Returns
    -------
    coord
        ``(n_rows, 3)``.
    """
    a = np.ascontiguousarray(restraints.a, dtype=np.int64)
    b = np.ascontiguousarray(restraints.b, dtype=np.int64)
    given = (a, b, restraints.length, 1.0 / restraints.sigma)
    groups = (balls.start, balls.row, balls.place, balls.limit, balls.weight)
    x = mean.copy() if first is None else first
    damping = 0.0
    scale = np.empty((len(a), 3))
    pull = np.zeros((max(len(balls.start) - 1, 1), 2))
    value, gradient, blocks = _linearised(x, mean, tether, *given, *groups, scale, pull)
    for _ in range(_STEPS):
        step = _solved(
            gradient,
            _inverted(blocks, damping),
            damping + tether**-2,
            a,
            b,
            scale,
            x,
            *groups,
            pull,
        )
        tried = x + step
        trial_scale, trial_pull = np.empty_like(scale), np.zeros_like(pull)
        trial = _linearised(tried, mean, tether, *given, *groups, trial_scale, trial_pull)
        if trial[0] >= value:
            damping = max(4 * damping, 10.0)
            if damping > 1e6:
                break
            continue
        gain = (value - trial[0]) / value
        x, scale, pull = tried, trial_scale, trial_pull
        value, gradient, blocks = trial
        damping = damping / 10 if damping > 1 else 0.0
        if gain < _ENOUGH:
            break
    return x


@kernel
def _linearised(x, mean, tether, a, b, length, weight, start, row, place, limit, k, scale, pull):  # type: ignore[no-untyped-def]  # numba
    """Sum of squares, half its gradient, and the diagonal blocks of the normal matrix."""
    n = len(x)
    gradient = np.empty((n, 3))
    blocks = np.zeros((n, 3, 3))
    loose = 1.0 / tether**2
    value = 0.0
    for i in range(n):
        for c in range(3):
            shift = x[i, c] - mean[i, c]
            gradient[i, c] = loose * shift
            blocks[i, c, c] = loose
            value += loose * shift * shift
    for j in range(len(a)):
        d0 = x[a[j], 0] - x[b[j], 0]
        d1 = x[a[j], 1] - x[b[j], 1]
        d2 = x[a[j], 2] - x[b[j], 2]
        r = max(np.sqrt(d0 * d0 + d1 * d1 + d2 * d2), 1e-6)
        error = (r - length[j]) * weight[j]
        value += error * error
        scale[j, 0] = d0 / r * weight[j]
        scale[j, 1] = d1 / r * weight[j]
        scale[j, 2] = d2 / r * weight[j]
        for c in range(3):
            gradient[a[j], c] += error * scale[j, c]
            gradient[b[j], c] -= error * scale[j, c]
            for e in range(3):
                blocks[a[j], c, e] += scale[j, c] * scale[j, e]
                blocks[b[j], c, e] += scale[j, c] * scale[j, e]
    value += _add_excess(x, start, row, place, limit, k, pull, gradient, blocks)
    return value, gradient, blocks


@kernel
def _add_excess(x, start, row, place, limit, k, pull, gradient, blocks):  # type: ignore[no-untyped-def]  # numba
    """Add what groups beyond their limit ask for; return their part of the sum."""
    value = 0.0
    for g in range(len(start) - 1):
        size = start[g + 1] - start[g]
        squared = 0.0
        for i in range(start[g], start[g + 1]):
            for c in range(3):
                squared += (x[row[i], c] - place[i, c]) ** 2
        over = squared / (size * limit) - 1.0
        pull[g] = 0.0
        if over > 0.0:
            value += k * over * over
            # d(over)/dx is this factor times (x − place).
            pull[g, 0] = 2.0 / (size * limit)
            # The curvature of the excess itself, which matters far beyond the limit.
            pull[g, 1] = k * over * pull[g, 0]
            for i in range(start[g], start[g + 1]):
                for c in range(3):
                    away = (x[row[i], c] - place[i, c]) * pull[g, 0]
                    gradient[row[i], c] += k * over * away
                    blocks[row[i], c, c] += pull[g, 1]
                    for e in range(3):
                        other = (x[row[i], e] - place[i, e]) * pull[g, 0]
                        blocks[row[i], c, e] += k * away * other
    return value


@kernel
def _inverted(blocks, damping):  # type: ignore[no-untyped-def]  # numba
    """Inverses of symmetric positive blocks, ``damping`` added to their diagonals."""
    found = np.empty_like(blocks)
    for i in range(len(blocks)):
        a, b, c = blocks[i, 0, 0] + damping, blocks[i, 0, 1], blocks[i, 0, 2]
        d, e, f = blocks[i, 1, 1] + damping, blocks[i, 1, 2], blocks[i, 2, 2] + damping
        p, q, r = d * f - e * e, c * e - b * f, b * e - c * d
        whole = a * p + b * q + c * r
        found[i, 0, 0], found[i, 0, 1], found[i, 0, 2] = p / whole, q / whole, r / whole
        found[i, 1, 0], found[i, 1, 1] = q / whole, (a * f - c * c) / whole
        found[i, 1, 2] = (b * c - a * e) / whole
        found[i, 2, 0], found[i, 2, 1] = r / whole, found[i, 1, 2]
        found[i, 2, 2] = (a * d - b * b) / whole
    return found


@kernel
def _product(p, diagonal, a, b, scale, x, start, row, place, k, pull, out):  # type: ignore[no-untyped-def]  # numba
    """Multiply the normal matrix with a vector."""
    for i in range(len(p)):
        for c in range(3):
            out[i, c] = diagonal * p[i, c]
    for j in range(len(a)):
        i, m = a[j], b[j]
        along = (
            scale[j, 0] * (p[i, 0] - p[m, 0])
            + scale[j, 1] * (p[i, 1] - p[m, 1])
            + scale[j, 2] * (p[i, 2] - p[m, 2])
        )
        for c in range(3):
            out[i, c] += along * scale[j, c]
            out[m, c] -= along * scale[j, c]
    for g in range(len(start) - 1):
        if pull[g, 0] == 0.0:
            continue
        along = 0.0
        for i in range(start[g], start[g + 1]):
            for c in range(3):
                along += p[row[i], c] * (x[row[i], c] - place[i, c])
        along *= k * pull[g, 0] * pull[g, 0]
        for i in range(start[g], start[g + 1]):
            for c in range(3):
                out[row[i], c] += along * (x[row[i], c] - place[i, c])
                out[row[i], c] += pull[g, 1] * p[row[i], c]


@kernel
def _solved(gradient, inverse, diagonal, a, b, scale, x, start, row, place, limit, k, pull):  # type: ignore[no-untyped-def]  # numba
    """Step that solves the normal equations, to a few per cent."""
    n = len(gradient)
    step = np.zeros((n, 3))
    rest = -gradient
    z = np.empty((n, 3))
    out = np.empty((n, 3))
    direction = np.zeros((n, 3))
    before = 1.0
    first = 0.0
    for number in range(_CG_STEPS):
        now = 0.0
        for i in range(n):
            for c in range(3):
                z[i, c] = (
                    inverse[i, c, 0] * rest[i, 0]
                    + inverse[i, c, 1] * rest[i, 1]
                    + inverse[i, c, 2] * rest[i, 2]
                )
                now += z[i, c] * rest[i, c]
        if number == 0:
            first = now
        if now <= first * _CG_TOLERANCE**2:
            break
        beta = now / before if number else 0.0
        before = now
        for i in range(n):
            for c in range(3):
                direction[i, c] = z[i, c] + beta * direction[i, c]
        _product(direction, diagonal, a, b, scale, x, start, row, place, k, pull, out)
        curve = 0.0
        for i in range(n):
            for c in range(3):
                curve += direction[i, c] * out[i, c]
        alpha = now / curve
        for i in range(n):
            for c in range(3):
                step[i, c] += alpha * direction[i, c]
                rest[i, c] -= alpha * out[i, c]
    return step
