"""Whether two unit cells are the same but for small errors."""

from __future__ import annotations

import numpy as np

from unstill.crystal.crystal import Crystal


def same_lattice(first: Crystal, second: Crystal, *, tolerance: float = 0.01) -> bool:
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
