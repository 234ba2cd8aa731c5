"""Symmetry mates that come near a molecule."""

from __future__ import annotations

import gemmi
import numpy as np
import scipy.spatial

from unstill.crystal import Crystal
from unstill.shapes import Coord

Mate = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rotation (3, 3) and shift (3,) in Å that make the mate, and the atoms of it that are near."""


def mates_near(reference: Coord, crystal: Crystal, reach: float) -> list[Mate]:
    """Every mate of a molecule that comes within ``reach`` (Å) of it.

    Parameters
    ----------
    reference
        ``(n_atoms, 3)`` in Å.
    crystal
        Its operations and cell translations make the mates.
    reach
        Å.
    """
    to_cell, to_space = crystal.fractionalization_matrix, crystal.orthogonalization_matrix
    frac = reference @ to_cell.T
    low, high = frac.min(axis=0), frac.max(axis=0)
    margin = reach * np.linalg.norm(to_cell, axis=1)
    tree = scipy.spatial.cKDTree(reference)
    found: list[Mate] = []
    for number, operation in enumerate(crystal.group.operations()):
        rotation = np.array(operation.rot) / gemmi.Op.DEN
        moved = frac @ rotation.T + np.array(operation.tran) / gemmi.Op.DEN
        first = np.ceil(low - margin - moved.max(axis=0)).astype(int)
        last = np.floor(high + margin - moved.min(axis=0)).astype(int)
        for step in np.ndindex(*(last - first + 1)):
            shift = first + np.array(step)
            if number == 0 and not shift.any():
                continue
            places = (moved + shift) @ to_space.T
            near = np.isfinite(tree.query(places, distance_upper_bound=reach)[0])
            if near.any():
                cartesian = to_space @ rotation @ to_cell
                offset = (np.array(operation.tran) / gemmi.Op.DEN + shift) @ to_space.T
                found.append((cartesian, offset, np.flatnonzero(near)))
    return found
