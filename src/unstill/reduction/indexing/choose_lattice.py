"""Which crystal a lattice that was found stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.reduction.indexing.bravais import (
    BravaisCandidate,
    bravais_candidates,
    conventional_cell,
    exact_crystal,
    lattice_of,
)

TOLERANCE = 0.5
"""Departure from the metric of a lattice type (degrees) that errors of a refined cell explain."""

_FOR_KNOWN_CELL = 1e-3


@dataclass(frozen=True, eq=False)
class ChosenLattice:
    """A crystal and its setting matrix.

    Parameters
    ----------
    crystal
        Cell made exact, and space group.
    a_matrix
        ``(3, 3)`` as found, in the axes of the crystal.
    lattice
        Pearson symbol.
    penalty
        Departure of the metric (degrees).
    """

    crystal: Crystal
    a_matrix: np.ndarray
    lattice: str
    penalty: float


def choose_lattice(
    a_matrix: np.ndarray,
    *,
    space_group: str | None = None,
    tolerance: float = TOLERANCE,
) -> tuple[ChosenLattice, list[BravaisCandidate]]:
    """Choose the Bravais lattice of a primitive setting matrix.

    That of the space group, or without one the highest symmetry whose metric
    the lattice has within the tolerance, in its lowest space group.

    Parameters
    ----------
    a_matrix
        ``(3, 3)`` primitive reciprocal axes as columns (Å⁻¹).
    space_group
        As a user gave it.
    tolerance
        Degrees.

    Raises
    ------
    InputError
        If the lattice does not have the metric of the space group.
    """
    basis = np.linalg.inv(a_matrix)
    candidates = bravais_candidates(basis)
    if space_group is not None:
        return _of_group(basis, space_group, candidates), candidates
    # Candidates are in order of falling symmetry; the triclinic one has no penalty.
    best = next(one for one in candidates if one.penalty <= tolerance)
    return _chosen(best.axes, best.space_group, best.lattice, best.penalty), candidates


def crystal_of_cell(
    unit_cell: tuple[float, float, float, float, float, float], space_group: str | None
) -> Crystal:
    """Crystal of a cell that is known; without a space group, the symmetry of its metric.

    Raises
    ------
    InputError
        If the cell contradicts the space group.
    """
    if space_group is not None:
        given = Crystal(unit_cell, space_group)
        exact = exact_crystal(given.orthogonalization_matrix.T, space_group)
        lengths = np.array(exact.unit_cell[:3]) / given.unit_cell[:3] - 1
        turned = np.radians(np.array(exact.unit_cell[3:]) - given.unit_cell[3:])
        if max(np.abs(lengths).max(), np.abs(turned).max()) > 0.02:
            raise InputError(
                "the unit cell contradicts the space group",
                found=f"{unit_cell} and {given.space_group}",
                fix="give a cell that has the symmetry of the group, or leave the group out",
            )
        return exact
    return Crystal(unit_cell, _group_of_metric(unit_cell))


def _group_of_metric(unit_cell: tuple[float, float, float, float, float, float]) -> str:
    """Lowest primitive space group of the highest symmetry that a cell's numbers show."""
    a, b, c, *found = unit_cell

    def equal(first: float, second: float) -> bool:
        return abs(first / second - 1) < _FOR_KNOWN_CELL

    def are(*wanted: float) -> bool:
        return all(abs(x - y) < 0.01 for x, y in zip(found, wanted, strict=True))

    if are(90, 90, 120) and equal(a, b):
        return "P 3"
    if are(90, 90, 90):
        if equal(a, b) and equal(b, c):
            return "P 2 3"
        return "P 4" if equal(a, b) else "P 2 2 2"
    alpha, _, gamma = found
    return "P 1 2 1" if abs(alpha - 90) < 0.01 and abs(gamma - 90) < 0.01 else "P 1"


def _of_group(
    basis: np.ndarray, space_group: str, candidates: list[BravaisCandidate]
) -> ChosenLattice:
    group = Crystal((10, 10, 10, 90, 90, 90), space_group).group
    lattice = lattice_of(group)
    unique = group.monoclinic_unique_axis() or "b"
    found = conventional_cell(basis, lattice, unique=unique)
    if found is None or (lattice == "hR" and group.ext == "R"):
        listed = ", ".join(
            f"{one.lattice} ({one.penalty:.2f}°)" for one in candidates if one.penalty < 3
        )
        raise InputError(
            "the lattice that was found does not have the metric of the space group",
            found=f"{group.xhm()} needs {lattice}; within 3° there are {listed}",
            fix="leave --space-group out or give another; rhombohedral groups in hexagonal axes",
        )
    return _chosen(found[0], space_group, lattice, found[1])


def _chosen(axes: np.ndarray, space_group: str, lattice: str, penalty: float) -> ChosenLattice:
    crystal = exact_crystal(axes, space_group)
    return ChosenLattice(crystal, np.linalg.inv(axes), lattice, penalty)
