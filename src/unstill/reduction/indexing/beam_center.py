"""Where the beam hits the detector, when a lattice is nearly found.

A beam centre that is wrong shifts all reciprocal vectors. Spots can then be
indexed with indices that are all wrong by one; only the beam centre that lets
most spots come close to integers is the right one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.experiment import Experiment
from unstill.reduction.indexing.assign import crystal_points
from unstill.reduction.indexing.geometry_model import moved
from unstill.reduction.indexing.lattice_search import FoundLattice, close_share, turned
from unstill.reduction.indexing.spots import Spots

CLOSE = 0.12
"""Distance of a Miller coordinate from an integer that counts as close."""

_GOOD = 0.85
_POINTS = 600


def recentered(
    experiment: Experiment, spots: Spots, found: FoundLattice, *, reach: float
) -> tuple[Experiment, FoundLattice, tuple[float, float], float]:
    """Try other beam centres for a lattice, and keep the one that brings most spots close.

    Parameters
    ----------
    experiment
        Geometry under which the lattice was found.
    spots
        Spots.
    found
        The lattice; its orientation follows.
    reach
        How far the beam centre may be (pixels).

    Returns
    -------
    experiment, found, shift, close
        As given, if no other centre is clearly better; the shift is in pixels, and ``close`` is
        the share of low-resolution spots that come close.
    """
    length = np.linalg.norm(spots.scattering_vectors(experiment), axis=1)
    few = spots.select(np.sort(np.argsort(length, kind="stable")[:_POINTS]))
    points = crystal_points(experiment, few)
    matrix, shift = turned(points, found.a_matrix), (0.0, 0.0)
    best = _close(points, matrix)
    if best < _GOOD:
        for trial in _grid(reach) if reach > 0 else ():
            points = crystal_points(shifted_beam(experiment, trial), few)
            turn = turned(points, found.a_matrix)
            share = _close(points, turn)
            if share > best + 0.02:
                best, shift, matrix = share, trial, turn
    here = shifted_beam(experiment, shift)
    share = close_share(crystal_points(here, spots), matrix)
    return here, FoundLattice(matrix, share), shift, best


def shifted_beam(experiment: Experiment, shift: tuple[float, float]) -> Experiment:
    """Move the detector so that the beam hits it elsewhere (pixels, fast and slow)."""
    if shift == (0.0, 0.0):
        return experiment
    size = experiment.detector.panels[0].pixel_size
    move = np.array([-shift[0] * size[0], -shift[1] * size[1]])
    return moved(experiment, ("shift_fast", "shift_slow"), move)


def _close(points: np.ndarray, matrix: np.ndarray) -> float:
    return close_share(points, matrix, CLOSE)


def _grid(reach: float) -> Iterator[tuple[float, float]]:
    """Shifts by steps of a pixel, nearest first."""
    n = int(np.ceil(reach))
    steps = range(-n, n + 1)
    grid = [(i * reach / n, j * reach / n) for i in steps for j in steps if i or j]
    yield from sorted(grid, key=lambda shift: (round(float(np.hypot(*shift)), 9), shift))
