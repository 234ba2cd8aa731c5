"""Pairs of rows that meet through the symmetry of the crystal."""

from __future__ import annotations

from collections.abc import Iterator

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from unstill.crystal import Crystal
from unstill.shapes import Float, Int

# An atom this near to its own mate lies on the symmetry element: it is one atom (Å).
_SAME_ATOM = 0.5


def mate_pairs(
    crystal: Crystal,
    coord: Float[np.ndarray, "n_rows 3"],
    rows: Int[np.ndarray, " n_rows_used"],
    radius: float,
) -> Iterator[
    tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"], np.ndarray]
]:
    """Pairs (a ≤ b) of a row and a mate of a row up to a distance apart.

    All operations of the space group with all lattice translations except the
    identity. Of the two ways to see one contact (b moved to a, a moved to b)
    one is kept. An atom on a symmetry element is not its own mate.

    Parameters
    ----------
    crystal
        Cell and space group.
    coord
        ``(n_rows, 3)`` Cartesian, in Å; anywhere.
    rows
        Those to look at.
    radius
        In Å.

    Yields
    ------
    a, b, distance, operation
        Rows, distances (Å) and the operations, as text, that bring b near a.
    """
    if not len(rows):
        return
    rows = np.sort(rows)
    frac = crystal.fractional(coord[rows])
    home = np.floor(frac).astype(np.int64)
    here = cKDTree(crystal.cartesian(frac - home))
    for operation in crystal.group.operations():
        moved = _applied(operation, frac)
        index, shift = _images(crystal, moved, radius)
        there = cKDTree(crystal.cartesian(moved[index] + shift))
        found = here.sparse_distance_matrix(there, radius, output_type="ndarray")
        a, image = found["i"], found["j"]
        b = index[image]
        # Lattice vector of the mate seen from where the first atom really is.
        lattice = shift[image] + home[a]
        kept = a <= b
        if operation == gemmi.Op("x,y,z"):
            kept &= (lattice != 0).any(axis=1)
        kept &= (a != b) | (found["v"] > _SAME_ATOM)
        a, b, lattice = a[kept], b[kept], lattice[kept]
        text = _texts(operation, lattice)
        once = (a != b) | _first_of_two(operation, lattice)
        yield rows[a[once]], rows[b[once]], found["v"][kept][once], text[once]


def _applied(operation: gemmi.Op, frac: np.ndarray) -> np.ndarray:
    rotation = np.array(operation.rot) / operation.DEN
    translation = np.array(operation.tran) / operation.DEN
    return np.asarray(frac @ rotation.T + translation)


def _images(crystal: Crystal, moved: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Index and lattice vector of each image in the unit cell and a shell around it."""
    # 1/d of the planes (100): how far the shell goes in fractions of the cell.
    margin = radius * np.linalg.norm(crystal.fractionalization_matrix, axis=1) + 1e-9
    base = -np.floor(moved).astype(np.int64)
    reach = np.ceil(margin).astype(int)
    steps = np.stack(
        np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    indices, shifts = [], []
    for step in steps:
        at = moved + base + step
        inside = np.flatnonzero(((at >= -margin) & (at <= 1 + margin)).all(axis=1))
        indices.append(inside)
        shifts.append(base[inside] + step)
    return np.concatenate(indices), np.concatenate(shifts)


def _texts(operation: gemmi.Op, lattice: np.ndarray) -> np.ndarray:
    known, inverse = np.unique(lattice, axis=0, return_inverse=True)
    texts = [_shifted(operation, vector).triplet() for vector in known.tolist()]
    return np.array(texts, dtype="U48")[inverse.reshape(-1)]


def _shifted(operation: gemmi.Op, vector: list[int]) -> gemmi.Op:
    moved = gemmi.Op(operation.triplet())
    moved.tran = [t + v * moved.DEN for t, v in zip(operation.tran, vector, strict=True)]
    return moved


def _first_of_two(operation: gemmi.Op, lattice: np.ndarray) -> np.ndarray:
    """Whether an operation stands before its inverse, which shows the same contact."""
    known, inverse = np.unique(lattice, axis=0, return_inverse=True)
    first = []
    for vector in known.tolist():
        moved = _shifted(operation, vector)
        back = moved.inverse()
        first.append((moved.rot, moved.tran) <= (back.rot, back.tran))
    return np.array(first, dtype=bool)[inverse.reshape(-1)]
