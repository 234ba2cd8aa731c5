"""Directions as tuples of three numbers, checked once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.errors import InputError

Vector = tuple[float, float, float]
"""A direction or a position in the laboratory frame."""


def unit_vector(values: Sequence[float], name: str) -> Vector:
    """Return a direction with length 1.

    Raises
    ------
    InputError
        If there are not three finite numbers, or all are zero.
    """
    vector = np.asarray(values, dtype=float)
    if vector.shape != (3,) or not np.all(np.isfinite(vector)) or not np.any(vector):
        raise InputError(
            f"{name.replace('_', ' ')} is no direction",
            found=tuple(values),
            fix="give three numbers that are not all zero",
        )
    # What has length 1 up to rounding stays bit for bit, so that it can be written and read.
    if np.abs(vector).max() > 1 or abs(float(np.linalg.norm(vector)) - 1) >= 1e-15:
        vector = vector / np.abs(vector).max()
        vector = vector / np.linalg.norm(vector)
    x, y, z = (float(value) for value in vector)
    return x, y, z
