"""Gauss–Seidel sweeps over the terms of the geometry prior, and their energy.

Extended position-based dynamics: every term C with standard deviation s has a
multiplier λ; a visit moves its atoms (mobility w) along ∇C by

    Δλ = (−C − s²λ) / (Σ w |∇C|² + s²)

so that at rest y = m + w ∇Cᵀλ and λ = −C/s², the minimum of
|y − m|²/2w + C²/2s². Source: Macklin et al. (2016),
https://doi.org/10.1145/2994258.2994272. Multipliers of contacts may only push;
those of the network are bounded, so that a spring gives way.
"""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel


def _sweep(
    y: np.ndarray,
    w: np.ndarray,
    pairs: np.ndarray,
    target: np.ndarray,
    variance: np.ndarray,
    most: np.ndarray,
    fours: np.ndarray,
    volume: np.ndarray,
    volume_variance: np.ndarray,
    contacts: np.ndarray,
    least: np.ndarray,
    contact_variance: float,
    mates: np.ndarray,
    mate_least: np.ndarray,
    turns: np.ndarray,
    shifts: np.ndarray,
    n_sweeps: int,
) -> None:
    """Move ``y`` (n, 3) in place; ``w`` are mobilities (Å²), ``most`` bounds |λ|."""
    on_pair = np.zeros(len(pairs))
    on_four = np.zeros(len(fours))
    on_contact = np.zeros(len(contacts))
    on_mate = np.zeros(len(mates))
    grad = np.empty((4, 3))
    for sweep in range(n_sweeps):
        for k in range(len(fours)):
            a, b, c, d = fours[k, 0], fours[k, 1], fours[k, 2], fours[k, 3]
            ux, uy, uz = y[b, 0] - y[a, 0], y[b, 1] - y[a, 1], y[b, 2] - y[a, 2]
            vx, vy, vz = y[c, 0] - y[a, 0], y[c, 1] - y[a, 1], y[c, 2] - y[a, 2]
            tx, ty, tz = y[d, 0] - y[a, 0], y[d, 1] - y[a, 1], y[d, 2] - y[a, 2]
            grad[1, 0], grad[1, 1], grad[1, 2] = (
                vy * tz - vz * ty,
                vz * tx - vx * tz,
                vx * ty - vy * tx,
            )
            grad[2, 0], grad[2, 1], grad[2, 2] = (
                ty * uz - tz * uy,
                tz * ux - tx * uz,
                tx * uy - ty * ux,
            )
            grad[3, 0], grad[3, 1], grad[3, 2] = (
                uy * vz - uz * vy,
                uz * vx - ux * vz,
                ux * vy - uy * vx,
            )
            found = ux * grad[1, 0] + uy * grad[1, 1] + uz * grad[1, 2] - volume[k]
            total = volume_variance[k]
            for i in range(3):
                grad[0, i] = -grad[1, i] - grad[2, i] - grad[3, i]
            for j in range(4):
                square = grad[j, 0] ** 2 + grad[j, 1] ** 2 + grad[j, 2] ** 2
                total += w[fours[k, j]] * square
            change = (-found - volume_variance[k] * on_four[k]) / total
            on_four[k] += change
            for j in range(4):
                atom = fours[k, j]
                for i in range(3):
                    y[atom, i] += w[atom] * change * grad[j, i]
        for k in range(len(pairs)):
            a, b = pairs[k, 0], pairs[k, 1]
            mobile = w[a] + w[b]
            if mobile == 0.0:
                continue
            dx, dy, dz = y[a, 0] - y[b, 0], y[a, 1] - y[b, 1], y[a, 2] - y[b, 2]
            apart = np.sqrt(dx * dx + dy * dy + dz * dz)
            if apart < 1e-9:
                continue
            new = on_pair[k] + (target[k] - apart - variance[k] * on_pair[k]) / (
                mobile + variance[k]
            )
            new = min(most[k], max(-most[k], new))
            change = (new - on_pair[k]) / apart
            on_pair[k] = new
            y[a, 0] += w[a] * change * dx
            y[a, 1] += w[a] * change * dy
            y[a, 2] += w[a] * change * dz
            y[b, 0] -= w[b] * change * dx
            y[b, 1] -= w[b] * change * dy
            y[b, 2] -= w[b] * change * dz
        for k in range(len(contacts)):
            a, b = contacts[k, 0], contacts[k, 1]
            dx, dy, dz = y[a, 0] - y[b, 0], y[a, 1] - y[b, 1], y[a, 2] - y[b, 2]
            square = dx * dx + dy * dy + dz * dz
            if on_contact[k] == 0.0 and square >= least[k] * least[k]:
                continue
            apart = np.sqrt(square)
            mobile = w[a] + w[b]
            if apart < 1e-9 or mobile == 0.0:
                continue
            new = on_contact[k] + (least[k] - apart - contact_variance * on_contact[k]) / (
                mobile + contact_variance
            )
            new = max(0.0, new)
            change = (new - on_contact[k]) / apart
            on_contact[k] = new
            y[a, 0] += w[a] * change * dx
            y[a, 1] += w[a] * change * dy
            y[a, 2] += w[a] * change * dz
            y[b, 0] -= w[b] * change * dx
            y[b, 1] -= w[b] * change * dy
            y[b, 2] -= w[b] * change * dz
        # Every pair of mates is listed from both sides, so that only the first atom moves.
        for k in range(len(mates)):
            a, b, o = mates[k, 0], mates[k, 1], mates[k, 2]
            dx = y[a, 0] - shifts[o, 0]
            dy = y[a, 1] - shifts[o, 1]
            dz = y[a, 2] - shifts[o, 2]
            for i in range(3):
                dx -= turns[o, 0, i] * y[b, i]
                dy -= turns[o, 1, i] * y[b, i]
                dz -= turns[o, 2, i] * y[b, i]
            square = dx * dx + dy * dy + dz * dz
            if on_mate[k] == 0.0 and square >= mate_least[k] * mate_least[k]:
                continue
            apart = np.sqrt(square)
            if apart < 1e-9 or w[a] == 0.0:
                continue
            new = on_mate[k] + (mate_least[k] - apart - contact_variance * on_mate[k]) / (
                w[a] + w[b] + contact_variance
            )
            new = max(0.0, new)
            change = (new - on_mate[k]) / apart
            on_mate[k] = new
            y[a, 0] += w[a] * change * dx
            y[a, 1] += w[a] * change * dy
            y[a, 2] += w[a] * change * dz


def _turn_over(y: np.ndarray, w: np.ndarray, chirals: np.ndarray, volumes: np.ndarray) -> int:
    """Carry inverted centres through the plane of their neighbours; return how many were."""
    n_turned = 0
    for k in range(len(chirals)):
        a, b, c, d = chirals[k, 0], chirals[k, 1], chirals[k, 2], chirals[k, 3]
        u, v, p = y[c] - y[b], y[d] - y[b], y[a] - y[b]
        normal = np.cross(u, v)
        square = (normal * normal).sum()
        # det(b − a, c − a, d − a) is minus the normal's share of a − b.
        now = -(normal * p).sum()
        if now * volumes[k] > 0 or w[a] == 0.0 or square < 1e-6:
            continue
        n_turned += 1
        y[a] -= normal * ((normal * p).sum() + volumes[k]) / square
    return n_turned


sweep = kernel(_sweep)
turn_over = kernel(_turn_over)
