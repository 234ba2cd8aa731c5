"""Whether spots that are not indexed belong to a second crystal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.experiment import Experiment
from unstill.reduction.indexing.assign import crystal_points
from unstill.reduction.indexing.lattice_search import TOLERANCE, search_known_cell
from unstill.reduction.indexing.spots import Spots

_FEWEST = 20
_MOST = 3000
_CHANCE = (2 * TOLERANCE) ** 3
_SIGMAS = 6.0
_CLEAR = 0.3
_SMALLEST = 0.04
_SEPARATE = 0.4


@dataclass(frozen=True, eq=False)
class SecondLattice:
    """Another orientation of the same cell.

    Parameters
    ----------
    a_matrix
        ``(3, 3)`` its setting matrix (Å⁻¹).
    share
        Of all spots: those that only the second lattice explains.
    angle
        Smallest rotation between the two lattices (degrees), by any symmetry of the lattice.
    """

    a_matrix: np.ndarray
    share: float
    angle: float


def find_second_lattice(
    experiment: Experiment, spots: Spots, indexed: np.ndarray
) -> SecondLattice | None:
    """Look for another orientation among the spots that are not indexed.

    Parameters
    ----------
    experiment
        Refined, with a lattice.
    spots, indexed
        All spots, and which of them the first lattice explains.

    Returns
    -------
    second
        ``None`` if those spots index no better than chance allows.
    """
    rest = np.flatnonzero(~indexed)
    if len(rest) < _FEWEST:
        return None
    rest = np.sort(rest[np.argsort(-spots.intensity[rest], kind="stable")[:_MOST]])
    points = crystal_points(experiment, spots.select(rest))
    found = search_known_cell(points, experiment.crystal, n_best=1)
    if not found:
        return None
    hkl = points @ np.linalg.inv(found[0].a_matrix).T
    share = float((np.abs(hkl - np.rint(hkl)).max(axis=1) < TOLERANCE).mean())
    # An orientation picked among many does better than one at random.
    noise = np.sqrt(_CHANCE * (1 - _CHANCE) / len(rest))
    if share < max(_CHANCE + _SIGMAS * noise, _CLEAR):
        return None
    above_chance = (share - _CHANCE) / (1 - _CHANCE)
    of_all = above_chance * float((~indexed).mean())
    if of_all < _SMALLEST:
        # Streaks and halos beside the spots of the first lattice pass for that much.
        return None
    angle = angle_between(experiment, found[0].a_matrix)
    # Nearer than this they are outliers of the first lattice, not another.
    return SecondLattice(found[0].a_matrix, of_all, angle) if angle >= _SEPARATE else None


def angle_between(experiment: Experiment, a_matrix: np.ndarray) -> float:
    """Smallest rotation (degrees) from an experiment's lattice to another, by its symmetry."""
    import gemmi

    from unstill.crystal.reindexing import lattice_operations
    from unstill.experiment.lattice import nearest_rotation

    first = experiment.indexed_lattice.a_matrix
    angles = []
    for op in lattice_operations(experiment.crystal):
        rotation = op / gemmi.Op.DEN
        if np.linalg.det(rotation) < 0:
            continue
        # hkl' = hkl @ M is A' = A M⁻ᵀ; in a group the inverse comes by itself.
        turn = nearest_rotation(a_matrix @ rotation.T @ np.linalg.inv(first))
        angles.append(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
    return float(min(angles))
