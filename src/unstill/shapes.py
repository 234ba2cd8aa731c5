"""Array shapes, named once.

Annotations cost nothing at run time; the tests switch on jaxtyping's import
hook, so that a wrong shape or dtype fails there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Complex, Float, Inexact, Int, Integer, Num

Hkl = Num[np.ndarray, "*points 3"]
"""Miller coordinates, fractional allowed; last axis h, k, l."""

HklIndex = Integer[np.ndarray, "*points 3"]
"""Integer grid indices, h times the divisions; last axis h, k, l."""

PerPoint = Num[np.ndarray, "*points"]
"""One real number a reciprocal-space point."""

Coord = Float[np.ndarray, "n_atoms 3"]
"""Coordinates of one member (Å, or fractional where said)."""

Coords = Float[np.ndarray, "n_members n_atoms 3"]
"""Coordinates of all members (Å)."""

PerAtom = Num[np.ndarray, " n_atoms"]
"""One number an atom."""

Matrix3 = Float[np.ndarray, "3 3"]
"""A 3 × 3 matrix."""

Volume = Num[np.ndarray, "h k l"]
"""One number a voxel of a map."""

Mask = Bool[np.ndarray, "h k l"]
"""True where a voxel must not be used."""

FCalc = Complex[np.ndarray, " points"]
"""Structure factors at a list of points (electrons)."""

__all__ = [
    "Bool",
    "Complex",
    "Coord",
    "Coords",
    "FCalc",
    "Float",
    "Hkl",
    "HklIndex",
    "Inexact",
    "Int",
    "Integer",
    "Mask",
    "Matrix3",
    "Num",
    "PerAtom",
    "PerPoint",
    "Volume",
]
