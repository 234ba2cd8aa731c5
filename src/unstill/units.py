"""Units at the edges: B and U, nanometres and angstroms, degrees.

Inside unstill lengths are in angstroms, angles of cells in degrees,
displacements are mean squares U in square angstroms, F in electrons.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

EIGHT_PI_SQUARED = 8 * math.pi**2
"""B = 8π²U (dimensionless)."""

ANGSTROM_PER_NM = 10.0

Number = TypeVar("Number", float, np.ndarray)


def b_from_u(u_iso: Number) -> Number:
    """B factor (Å²) from an isotropic mean-square displacement U (Å²), B = 8π²U.

    Examples
    --------
    >>> round(b_from_u(0.25), 3)
    19.739
    """
    return u_iso * EIGHT_PI_SQUARED


def u_from_b(b_factor: Number) -> Number:
    """Isotropic mean-square displacement U (Å²) from a B factor (Å²), U = B/8π².

    Examples
    --------
    >>> round(u_from_b(19.739), 3)
    0.25
    """
    return b_factor / EIGHT_PI_SQUARED
