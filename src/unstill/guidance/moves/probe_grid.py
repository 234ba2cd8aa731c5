"""What density and neighbours say to a carbon atom anywhere near a loop, on a grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unstill.compiled import kernel
from unstill.guidance.moves.contacts import Contacts, repulsion_at
from unstill.guidance.moves.residual import LocalDensity, coverage_at, pair_overlap
from unstill.guidance.moves.sweep import Pool, gradient_now

STEP = 0.45
"""Å."""


class ProbeGrid(NamedTuple):
    """Grid over a box.

    ``origin`` Å; ``wanted`` how much of an atom the density asks for, 1 for a whole one that
    is missing; ``repelled`` kT.
    """

    origin: np.ndarray
    wanted: np.ndarray
    repelled: np.ndarray


def probe_grid(
    contacts: Contacts,
    density: LocalDensity,
    pool: Pool,
    member: int,
    atom: int,
    ignored: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> ProbeGrid:
    """Probe a box with an atom.

    Parameters
    ----------
    contacts, density, pool
        The scene, with the loop lifted out.
    member
        Number of the member.
    atom
        The probe, a carbon.
    ignored
        ``(n_atoms,)`` which do not repel it.
    low, high
        Corners of the box (Å).
    """
    shape = np.ceil((high - low) / STEP).astype(int) + 2
    grid = ProbeGrid(np.asarray(low, dtype=float), np.zeros(shape), np.zeros(shape))
    _probe(contacts, density, pool, member, atom, ignored, grid)
    return grid


@kernel
def _probe(
    contacts: Contacts,
    density: LocalDensity,
    pool: Pool,
    member: int,
    atom: int,
    ignored: np.ndarray,
    grid: ProbeGrid,
) -> None:
    own = density.strength * pair_overlap(density, atom, atom, 0.0)
    n1, n2, n3 = grid.wanted.shape
    for i in range(n1):
        for j in range(n2):
            for k in range(n3):
                x = grid.origin[0] + i * STEP
                y = grid.origin[1] + j * STEP
                z = grid.origin[2] + k * STEP
                grid.repelled[i, j, k] = repulsion_at(contacts, member, atom, x, y, z, ignored)
                if own > 0.0:
                    covered = max(coverage_at(density, x, y, z), 0.5)
                    gradient = gradient_now(density, pool, atom, x, y, z)
                    grid.wanted[i, j, k] = -gradient / (own * covered)


@kernel
def value_at(grid: ProbeGrid, values: np.ndarray, x: float, y: float, z: float) -> float:
    """Value between the points of the grid; that of its edge beyond."""
    n1, n2, n3 = values.shape
    u = min(max((x - grid.origin[0]) / STEP, 0.0), n1 - 1.001)
    v = min(max((y - grid.origin[1]) / STEP, 0.0), n2 - 1.001)
    w = min(max((z - grid.origin[2]) / STEP, 0.0), n3 - 1.001)
    i, j, k = int(u), int(v), int(w)
    u, v, w = u - i, v - j, w - k
    low = (1 - v) * ((1 - w) * values[i, j, k] + w * values[i, j, k + 1])
    low += v * ((1 - w) * values[i, j + 1, k] + w * values[i, j + 1, k + 1])
    i += 1
    high = (1 - v) * ((1 - w) * values[i, j, k] + w * values[i, j, k + 1])
    high += v * ((1 - w) * values[i, j + 1, k] + w * values[i, j + 1, k + 1])
    return float((1 - u) * low + u * high)
