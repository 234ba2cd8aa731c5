"""Supercells and the operations that fill a unit cell."""

from __future__ import annotations

import gemmi
import numpy as np

from unstill.crystal.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.shapes import Float, Int


def supercell(crystal: Crystal, divisions: Triple) -> Crystal:
    """Return the P 1 crystal of n₁ × n₂ × n₃ unit cells.

    Its Miller index H is the grid index of fractional hkl = H / divisions.

    Raises
    ------
    InputError
        If a division is not a positive integer.

    Examples
    --------
    >>> supercell(Crystal((48.5, 48.5, 63.4, 90.0, 90.0, 90.0), "P 41"), (2, 2, 1)).unit_cell
    (97.0, 97.0, 63.4, 90.0, 90.0, 90.0)
    """
    n1, n2, n3 = _checked(divisions)
    a, b, c, alpha, beta, gamma = crystal.unit_cell
    return Crystal((n1 * a, n2 * b, n3 * c, alpha, beta, gamma), "P 1")


def lattice_translations(divisions: Triple) -> Int[np.ndarray, "n_cells 3"]:
    """Origins of the unit cells of a supercell, in unit cells, first axis slowest.

    Examples
    --------
    >>> lattice_translations((1, 2, 2)).tolist()
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    """
    origins: np.ndarray = np.stack(
        np.unravel_index(np.arange(np.prod(_checked(divisions))), divisions), axis=-1
    )
    return origins


def symmetry_operations(
    crystal: Crystal,
) -> tuple[Float[np.ndarray, "n_operations 3 3"], Float[np.ndarray, "n_operations 3"]]:
    """Operations x' = R x + t that fill the unit cell, centring included.

    Returns
    -------
    rotations
        ``(n, 3, 3)`` R, on fractional coordinates.
    translations
        ``(n, 3)`` t, fractional, in [0, 1). The identity comes first.

    Examples
    --------
    >>> centred = Crystal((50.0, 60.0, 70.0, 90.0, 90.0, 90.0), "C 2 2 21")
    >>> rotations, translations = symmetry_operations(centred)
    >>> len(rotations), translations[4].tolist()
    (8, [0.5, 0.5, 0.0])
    """
    operations = list(crystal.group.operations())
    rotations = np.array([op.rot for op in operations], dtype=float) / gemmi.Op.DEN
    translations = np.array([op.tran for op in operations], dtype=float) / gemmi.Op.DEN % 1.0
    return rotations, translations


def _checked(divisions: Triple) -> Triple:
    n1, n2, n3 = (int(value) for value in divisions)
    if (n1, n2, n3) != tuple(divisions) or min(n1, n2, n3) < 1:
        raise InputError(
            "a supercell needs three positive whole numbers",
            found=tuple(divisions),
            fix="give for example 2 2 2",
        )
    return n1, n2, n3
