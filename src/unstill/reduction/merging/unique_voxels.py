"""How many unique voxels a resolution shell has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from unstill.compiled import kernel
from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.shapes import Float, Int


def unique_by_shell(
    crystal: Crystal,
    divisions: Triple,
    operations: Int[np.ndarray, "n_operations 3 3"],
    edges: Float[np.ndarray, " edges"],
    *,
    accessible: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[Int[np.ndarray, " shells"], Int[np.ndarray, " shells"] | None]:
    """Count the unique voxels of shells of equal width.

    Parameters
    ----------
    crystal, divisions
        The lattice and its sampling.
    operations
        What makes voxels one.
    edges
        ``(n_shells + 1,)`` 1/d (Å⁻¹), evenly spaced.
    accessible
        Tells of ``(m, 3)`` representatives which ones count as reachable.

    Returns
    -------
    n_unique
        ``(n_shells,)``.
    n_reachable
        ``(n_shells,)``, or ``None`` if nobody tells.
    """
    grid = HklGrid.covering(crystal, 1 / (edges[-1] * (1 + 1e-9)), divisions)
    n_shells = len(edges) - 1
    counted = np.zeros(n_shells, dtype=np.int64)
    reachable = None if accessible is None else np.zeros(n_shells, dtype=np.int64)
    for index, shell in _planes(crystal, grid, operations, edges):
        counted += np.bincount(shell, minlength=n_shells)
        if accessible is not None and reachable is not None and len(index):
            reached = np.asarray(accessible(index), bool)
            reachable += np.bincount(shell[reached], minlength=n_shells)
    return counted, reachable


def unique_by_plane(
    crystal: Crystal,
    divisions: Triple,
    operations: Int[np.ndarray, "n_operations 3 3"],
    radius: float,
) -> tuple[int, Int[np.ndarray, " planes"], Int[np.ndarray, "3"], Int[np.ndarray, "3"]]:
    """Count the unique voxels of a sphere by their first index.

    Parameters
    ----------
    crystal, divisions, operations
        As in :func:`unique_by_shell`.
    radius
        Of the sphere (Å⁻¹).

    Returns
    -------
    first
        First index of the first plane.
    counts
        ``(n_planes,)`` unique voxels.
    low, high
        ``(3,)`` corners of the box that holds them.
    """
    grid = HklGrid.covering(crystal, 1 / radius, divisions)
    planes = _planes(crystal, grid, operations, np.array([0.0, radius]))
    counts, low, high = [], np.array(grid.stop), np.array(grid.start) - 1
    for index, _ in planes:
        counts.append(len(index))
        if len(index):
            low, high = np.minimum(low, index.min(axis=0)), np.maximum(high, index.max(axis=0))
    return grid.start[0], np.array(counts), low, high


def _planes(
    crystal: Crystal, grid: HklGrid, operations: np.ndarray, edges: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield unique voxels and their shells, one plane of the first index after the other."""
    metric = crystal.fractionalization_matrix / np.array(grid.divisions)[:, None]
    metric = np.ascontiguousarray(metric @ metric.T)
    ops = np.ascontiguousarray(operations, dtype=np.int64)
    room = np.empty((grid.shape[1] * grid.shape[2], 3), dtype=np.int64)
    shell = np.empty(len(room), dtype=np.int64)
    for h in range(grid.start[0], grid.stop[0]):
        n = _unique_in_plane(
            h, grid.start[1], grid.shape[1], grid.start[2], grid.shape[2], ops, metric,
            float(edges[0]), float(edges[-1]), len(edges) - 1, room, shell,
        )  # fmt: skip
        yield room[:n].copy(), shell[:n].copy()


@kernel
def _unique_in_plane(
    h: int,
    first_k: int,
    n_k: int,
    first_l: int,
    n_l: int,
    operations: np.ndarray,
    metric: np.ndarray,
    low: float,
    high: float,
    n_shells: int,
    index: np.ndarray,
    shell: np.ndarray,
) -> int:
    found = 0
    width = (high - low) / n_shells
    slack = 1e-9 * high
    for k in range(first_k, first_k + n_k):
        for l in range(first_l, first_l + n_l):
            s = np.sqrt(
                h * h * metric[0, 0]
                + k * k * metric[1, 1]
                + l * l * metric[2, 2]
                + 2 * (h * k * metric[0, 1] + h * l * metric[0, 2] + k * l * metric[1, 2])
            )
            if s < low - slack or s > high + slack:
                continue
            largest = True
            for number in range(len(operations)):
                op = operations[number]
                a = h * op[0, 0] + k * op[1, 0] + l * op[2, 0]
                b = h * op[0, 1] + k * op[1, 1] + l * op[2, 1]
                c = h * op[0, 2] + k * op[1, 2] + l * op[2, 2]
                if a > h or (a == h and (b > k or (b == k and c > l))):
                    largest = False
                    break
            if largest:
                index[found, 0] = h
                index[found, 1] = k
                index[found, 2] = l
                shell[found] = min(max(int(np.floor((s - low) / width)), 0), n_shells - 1)
                found += 1
    return found
