"""Whether two unit cells are the same but for small errors."""

from __future__ import annotations

import numpy as np

from unstill.crystal.crystal import Crystal

CELL_TOLERANCE = 0.01
"""Unit cells of one crystal form may differ by 1 % in a length and 0.01 rad in an angle."""


def same_lattice(first: Crystal, second: Crystal, *, tolerance: float = CELL_TOLERANCE) -> bool:
    """Whether two unit cells agree: lengths within a fraction, angles within as many radians.

    Examples
    --------
    >>> a = Crystal((50.0, 60.0, 70.0, 90.0, 90.0, 90.0))
    >>> b = Crystal((50.3, 60.0, 69.9, 90.0, 90.2, 90.0))
    >>> same_lattice(a, b), same_lattice(a, Crystal((50.0, 61.0, 70.0, 90.0, 90.0, 90.0)))
    (True, False)
    """
    one, two = np.array(first.unit_cell), np.array(second.unit_cell)
    lengths = np.abs(two[:3] / one[:3] - 1)
    angles = np.radians(np.abs(two[3:] - one[3:]))
    return bool(max(lengths.max(), angles.max()) <= tolerance)
