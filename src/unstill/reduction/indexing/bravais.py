"""Bravais lattices that a primitive lattice is, or nearly is.

Instead of the table of 44 lattice characters (International Tables A, 9.2.5),
triples of short lattice vectors are tried: one that has the index of a
centring, contains its vectors, and meets the metric conditions of a crystal
system within an error is a conventional cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.experiment.lattice import cell_of
from unstill.reduction.indexing.lattice_search import reduced_basis

MAX_PENALTY = 3.0
"""Largest departure from the metric of a lattice type (degrees) that is listed."""

LATTICES = {
    "aP": "P 1", "mP": "P 1 2 1", "mC": "C 1 2 1", "oP": "P 2 2 2", "oC": "C 2 2 2",
    "oF": "F 2 2 2", "oI": "I 2 2 2", "tP": "P 4", "tI": "I 4", "hR": "R 3 :H", "hP": "P 3",
    "cP": "P 2 3", "cI": "I 2 3", "cF": "F 2 3",
}  # fmt: skip
"""Lattice types, from the lowest to the highest symmetry, and their lowest space group."""

_LETTERS = {
    "triclinic": "a", "monoclinic": "m", "orthorhombic": "o", "tetragonal": "t",
    "trigonal": "h", "hexagonal": "h", "cubic": "c",
}  # fmt: skip
_INDEX = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}


@dataclass(frozen=True, eq=False)
class BravaisCandidate:
    """A conventional cell of a lattice.

    Parameters
    ----------
    lattice
        Pearson symbol of the lattice type, for example ``"tP"``.
    axes
        ``(3, 3)`` direct axes as rows (Å), in the frame of the primitive basis.
    penalty
        Departure from the metric of the type (degrees): the largest of the
        errors of angles, and of equal axes as |a − b|/a in degrees.
    space_group
        Lowest symmetry that has this lattice.
    """

    lattice: str
    axes: np.ndarray
    penalty: float
    space_group: str

    @property
    def unit_cell(self) -> tuple[float, float, float, float, float, float]:
        """As found, its metric not yet made exact."""
        return cell_of(self.axes)


def bravais_candidates(
    basis: np.ndarray, *, max_penalty: float = MAX_PENALTY
) -> list[BravaisCandidate]:
    """Lattice types of a primitive basis, highest symmetry first.

    Parameters
    ----------
    basis
        ``(3, 3)`` primitive direct axes as rows (Å).
    max_penalty
        Degrees.
    """
    found = []
    for lattice, group in reversed(LATTICES.items()):
        best = conventional_cell(basis, lattice, max_penalty=max_penalty)
        if best is not None:
            found.append(BravaisCandidate(lattice, best[0], best[1], group))
    return found


def lattice_of(space_group: gemmi.SpaceGroup) -> str:
    """Pearson symbol of the lattice of a space group, its setting kept: ``"mI"`` is possible."""
    letter = _LETTERS[space_group.crystal_system_str()]
    centring = space_group.centring_type()
    # Rhombohedral axes: the lattice is found in hexagonal ones.
    if letter == "h" and space_group.ext == "R":
        centring = "R"
    return letter + centring


def conventional_cell(
    basis: np.ndarray, lattice: str, *, unique: str = "b", max_penalty: float = MAX_PENALTY
) -> tuple[np.ndarray, float] | None:
    """Best conventional axes of a lattice type and their penalty (degrees), or ``None``.

    Parameters
    ----------
    basis
        ``(3, 3)`` primitive direct axes as rows (Å).
    lattice
        Pearson symbol.
    unique
        Unique axis of monoclinic lattices.
    max_penalty
        Degrees.
    """
    basis = reduced_basis(basis)
    if lattice == "aP":
        return basis, 0.0
    system, centring = lattice[0], lattice[1]
    rows = np.concatenate([_triples(_INDEX[centring])[:, list(order)] for order in _ORDERS])
    penalty = _penalty(rows @ basis, system)
    rows, penalty = rows[penalty <= max_penalty], penalty[penalty <= max_penalty]
    rows, inside = _centred(rows, basis, system, centring)
    if not inside.any():
        return None
    rows, penalty = rows[inside], penalty[inside]
    size = np.linalg.norm(rows @ basis, axis=2).sum(axis=1)
    # The same lattice has many cells with one penalty; the shortest is the custom.
    best = np.lexsort((size.round(6), penalty > 1.5 * penalty.min() + _SLACK))[0]
    return _standing(rows[best] @ basis, system, centring, unique), float(penalty[best])


def exact_crystal(axes: np.ndarray, space_group: str) -> Crystal:
    """Crystal whose cell meets the conditions of its space group, nearest to given axes.

    The metric tensor is averaged over the operations of the group.
    """
    group = Crystal((10, 10, 10, 90, 90, 90), space_group).group
    metric = np.asarray(axes) @ np.asarray(axes).T
    operations = [np.array(op.rot, dtype=float) / gemmi.Op.DEN for op in group.operations()]
    mean = np.mean([op.T @ metric @ op for op in operations], axis=0)
    lengths = np.sqrt(np.diag(mean))
    cosines = [mean[i, j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    a, b, c = (float(length) for length in lengths)
    alpha, beta, gamma = (round(float(np.degrees(np.arccos(value))), 9) for value in cosines)
    return Crystal((a, b, c, alpha, beta, gamma), space_group)


@lru_cache(maxsize=8)
def _triples(index: int) -> np.ndarray:
    """Integer triples of short vectors with a determinant of ``index``."""
    values = np.arange(-3, 4)
    grid = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1).reshape(-1, 3)
    coprime = np.gcd.reduce(grid, axis=1) == 1
    first = np.array([row[np.flatnonzero(row)[0]] > 0 if row.any() else False for row in grid])
    vectors = grid[coprime & first]
    i, j = np.triu_indices(len(vectors), 1)
    cross = np.cross(vectors[i], vectors[j])
    found = []
    for k in range(len(vectors)):
        determinant = cross @ vectors[k]
        keep = (np.abs(determinant) == index) & (j < k)
        found.append(np.stack([vectors[i[keep]], vectors[j[keep]]], axis=1))
        found[-1] = np.concatenate(
            [found[-1], np.broadcast_to(vectors[k], (len(found[-1]), 1, 3))], axis=1
        )
    return np.concatenate(found)


_ORDERS = ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2))
_SLACK = 0.1
_MAX_OBTUSE = 140.0


def _penalty(rows: np.ndarray, system: str) -> np.ndarray:
    """Largest departure (degrees) from the metric of a system; unique axis b, or c if 4, 3, 6."""
    lengths = np.linalg.norm(rows, axis=-1)
    unit = rows / lengths[..., None]

    def off(i: int, j: int, wanted: float = 90.0) -> np.ndarray:
        cosine = np.einsum("...i,...i->...", unit[..., i, :], unit[..., j, :])
        if wanted != 90.0:
            cosine = -np.abs(cosine)  # vectors come without their sign: 60° is as good as 120°
        angle: np.ndarray = np.abs(np.degrees(np.arccos(np.clip(cosine, -1, 1))) - wanted)
        return angle

    def unequal(i: int, j: int) -> np.ndarray:
        ratio: np.ndarray = np.degrees(np.abs(lengths[..., i] / lengths[..., j] - 1))
        return ratio

    if system == "h":
        worst = np.max([off(0, 1, 120.0), off(1, 2), off(0, 2), unequal(0, 1)], axis=0)
    elif system == "m":
        oblique = np.where(off(0, 2) < _MAX_OBTUSE - 90, 0.0, 90.0)
        worst = np.max([off(0, 1), off(1, 2), oblique], axis=0)
    else:
        right = [off(0, 1), off(1, 2), off(0, 2)]
        equal = {"o": [], "t": [unequal(0, 1)], "c": [unequal(0, 1), unequal(0, 2)]}[system]
        worst = np.max([*right, *equal], axis=0)
    largest: np.ndarray = worst
    return largest


def _centred(
    rows: np.ndarray, basis: np.ndarray, system: str, centring: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which integer triples contain the vectors of a centring; hexagonal ones get γ = 120°."""
    if system == "h":
        vectors = rows @ basis
        acute = np.einsum("ni,ni->n", vectors[:, 0], vectors[:, 1]) > 0
        rows = rows * np.where(acute[:, None, None], [[1], [-1], [1]], [[1], [1], [1]])
    a, b, c = rows[:, 0], rows[:, 1], rows[:, 2]
    if centring == "R":
        obverse = ~np.any((2 * a + b + c) % 3, axis=1)
        reverse = ~np.any((2 * a + b - c) % 3, axis=1)
        turned = rows * np.where(reverse[:, None, None], [[-1], [-1], [1]], [[1], [1], [1]])
        return turned, obverse | reverse
    wanted = {
        "P": [], "A": [b + c], "B": [a + c], "C": [a + b], "I": [a + b + c],
        "F": [a + b, b + c],
    }[centring]  # fmt: skip
    inside = np.ones(len(rows), bool)
    for vector in wanted:
        inside &= ~np.any(vector % 2, axis=1)
    return rows, inside


def _standing(axes: np.ndarray, system: str, centring: str, unique: str) -> np.ndarray:
    """Signs and order of axes as is the custom: right-handed, β obtuse, a < b < c."""
    a, b, c = axes
    if system == "m" and a @ c > 0:
        c = -c
    axes = np.array([a, b, c])
    if system == "o" and centring in "PIF":
        axes = axes[np.argsort(np.linalg.norm(axes, axis=1), kind="stable")]
    if system == "m" and unique != "b":
        axes = axes[list({"a": (1, 2, 0), "c": (2, 0, 1)}[unique])]
    # Turning all axes round keeps every angle and every centring.
    return -axes if np.linalg.det(axes) < 0 else axes
