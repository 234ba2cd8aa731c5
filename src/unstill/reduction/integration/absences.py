"""Reflections that symmetry extinguishes, by screw axes and glide planes as by centring."""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel
from unstill.crystal import Crystal

DENOMINATOR = 24
"""Translations are multiples of 1/24, as in gemmi."""


def absence_rules(crystal: Crystal) -> np.ndarray:
    """Return the operations that can extinguish a reflection.

    Parameters
    ----------
    crystal
        Its space group.

    Returns
    -------
    rules
        ``(n, 12)`` int64: a rotation R, row by row, and a translation t in
        1/24. hkl is extinguished if h R = h and h·t is not whole for any of them.
    """
    operations = crystal.group.operations()
    rules = []
    for operation in operations:
        rotation = np.array(operation.rot) // DENOMINATOR
        translation = np.array(operation.tran) % DENOMINATOR
        fixed_nothing = abs(round(np.linalg.det(rotation - np.eye(3)))) > 0
        if np.any(translation) and not fixed_nothing:
            rules.append([*rotation.ravel(), *translation])
    return np.array(rules, dtype=np.int64).reshape(-1, 12)


@kernel
def is_absent(h: int, k: int, l: int, rules: np.ndarray) -> bool:
    """Whether symmetry extinguishes a reflection; ``rules`` of :func:`absence_rules`."""
    for i in range(len(rules)):
        r = rules[i]
        if (
            h * r[0] + k * r[3] + l * r[6] == h
            and h * r[1] + k * r[4] + l * r[7] == k
            and h * r[2] + k * r[5] + l * r[8] == l
            and (h * r[9] + k * r[10] + l * r[11]) % DENOMINATOR != 0
        ):
            return True
    return False


@kernel
def absent_among(index: np.ndarray, rules: np.ndarray) -> np.ndarray:
    """Which of many reflections ``(n, 3)`` are extinguished."""
    out = np.zeros(len(index), np.bool_)
    for i in range(len(index)):
        out[i] = is_absent(index[i, 0], index[i, 1], index[i, 2], rules)
    return out
