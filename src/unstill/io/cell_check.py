"""Whether a file belongs to the crystal that the user named."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.same_lattice import same_lattice
from unstill.errors import InputError, UnknownCrystalError

MOST_DIVISIONS = 24
"""Largest number of voxels a reciprocal-lattice vector that is recognised unasked."""


def check_same_cell(path: Path, own: Crystal, given: Crystal) -> None:
    """Refuse a file whose own cell is not the one that was given.

    Raises
    ------
    InputError
        If the cells differ by more than 1 % in a length or 0.01 rad in an angle.
    """
    if not same_lattice(own, given):
        raise wrong_cell(path, cell_text(own), cell_text(given))


def divisions_of_supercell(
    path: Path, supercell: Crystal, crystal: Crystal, given: Triple | None = None
) -> Triple:
    """Return how many unit cells make up the supercell of a file.

    Raises
    ------
    InputError
        If the supercell is no whole multiple of the unit cell.
    """
    lengths = np.array(supercell.unit_cell[:3]) / np.array(crystal.unit_cell[:3])
    counts = np.array(given) if given is not None else np.maximum(np.rint(lengths), 1)
    a, b, c = (float(length) for length in np.array(supercell.unit_cell[:3]) / counts)
    if not same_lattice(Crystal((a, b, c, *supercell.unit_cell[3:])), crystal):
        raise wrong_cell(path, f"the supercell {cell_text(supercell)}", cell_text(crystal))
    h, k, l = (int(count) for count in counts)
    return h, k, l


def wrong_cell(path: Path, own: str, given: str) -> InputError:
    """Return the error for a file of another crystal."""
    return InputError(
        f"wrong cell: {path.name} does not belong to the unit cell that was given",
        found=f"{own} in the file, {given} given",
        fix="check --unit-cell or --model, or whether this is the right file",
    )


def require_crystal(path: Path, crystal: Crystal | None, kind: str) -> Crystal:
    """Return the crystal, or refuse a format that carries none.

    Raises
    ------
    UnknownCrystalError
        If ``crystal`` is ``None``.
    """
    if crystal is None:
        raise UnknownCrystalError(
            f"{kind} carry no unit cell and space group, and none was given",
            found=path,
            fix="give --unit-cell and --space-group, or --model with coordinates",
        )
    return crystal


def cell_text(crystal: Crystal) -> str:
    """Return the cell as short text."""
    return " ".join(f"{value:g}" for value in crystal.unit_cell)
