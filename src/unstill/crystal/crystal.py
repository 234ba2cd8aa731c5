"""A unit cell with a space group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import gemmi
import numpy as np

from unstill.errors import InputError
from unstill.shapes import Float, Hkl, Matrix3


@dataclass(frozen=True)
class Crystal:
    """A unit cell with a space group; immutable, hashable, picklable.

    Parameters
    ----------
    unit_cell
        a, b, c (Å) and α, β, γ (degrees).
    space_group
        Hermann–Mauguin symbol, any setting that gemmi knows, or its number as
        a string. Normalised to the extended symbol.

    Raises
    ------
    InputError
        If the cell has no volume, or the space group is unknown.

    Examples
    --------
    >>> crystal = Crystal((48.5, 48.5, 63.4, 90, 90, 90), "P 41")
    >>> crystal.laue_group, crystal.n_operations
    ('4/m', 4)
    >>> float(crystal.d(np.array([0.0, 0.0, 0.5])).round(3))
    126.8
    """

    unit_cell: tuple[float, float, float, float, float, float]
    space_group: str = "P 1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit_cell", _checked_cell(self.unit_cell))
        object.__setattr__(self, "space_group", _checked_group(self.space_group).xhm())

    @cached_property
    def cell(self) -> gemmi.UnitCell:
        """The gemmi cell."""
        return gemmi.UnitCell(*self.unit_cell)

    @cached_property
    def group(self) -> gemmi.SpaceGroup:
        """The gemmi space group."""
        return _checked_group(self.space_group)

    @property
    def laue_group(self) -> str:
        """Laue class, for example ``"4/m"``."""
        return str(self.group.laue_str())

    @property
    def n_operations(self) -> int:
        """Number of symmetry operations of the cell, centring included."""
        return len(self.group.operations())

    @property
    def volume(self) -> float:
        """Volume of the unit cell (Å³)."""
        return float(self.cell.volume)

    @cached_property
    def orthogonalization_matrix(self) -> Matrix3:
        """A, with cartesian = A @ fractional (Å)."""
        return np.array(self.cell.orth.mat.tolist())

    @cached_property
    def fractionalization_matrix(self) -> Matrix3:
        """A⁻¹, with fractional = A⁻¹ @ cartesian (Å⁻¹)."""
        return np.array(self.cell.frac.mat.tolist())

    def s(self, hkl: Hkl) -> Float[np.ndarray, "*points 3"]:
        """Reciprocal-lattice vector s = A⁻ᵀ h (Å⁻¹), of length 1/d."""
        s: np.ndarray = np.asarray(hkl, dtype=float) @ self.fractionalization_matrix
        return s

    def q(self, hkl: Hkl) -> Float[np.ndarray, "*points 3"]:
        """Scattering vector q = 2πs (Å⁻¹)."""
        return 2 * np.pi * self.s(hkl)

    def hkl_from_q(self, q: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
        """Fractional Miller coordinates of scattering vectors q (Å⁻¹)."""
        hkl: np.ndarray = np.asarray(q, dtype=float) @ self.orthogonalization_matrix / (2 * np.pi)
        return hkl

    def s_squared(self, hkl: Hkl) -> Float[np.ndarray, "*points"]:
        """1/d² (Å⁻²)."""
        s = self.s(hkl)
        squared: np.ndarray = np.asarray(np.einsum("...i,...i->...", s, s))
        return squared

    def d(self, hkl: Hkl) -> Float[np.ndarray, "*points"]:
        """Spacing d (Å) of fractional Miller coordinates; infinite at the origin."""
        with np.errstate(divide="ignore"):
            d: np.ndarray = np.asarray(1 / np.sqrt(self.s_squared(hkl)))
        return d

    def cartesian(self, frac: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
        """Cartesian coordinates (Å) of fractional ones."""
        return _rotated(frac, self.orthogonalization_matrix)

    def fractional(self, coord: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
        """Fractional coordinates of cartesian ones (Å)."""
        return _rotated(coord, self.fractionalization_matrix)


def _rotated(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    points = np.asarray(points)
    rotated: np.ndarray = points @ matrix.T.astype(np.result_type(points.dtype, np.float32))
    return rotated


def _checked_cell(values: Sequence[float]) -> tuple[float, float, float, float, float, float]:
    fix = "give a, b, c in angstroms and alpha, beta, gamma in degrees"
    if len(values) != 6:
        raise InputError("a unit cell has six numbers", found=len(values), fix=fix)
    a, b, c, alpha, beta, gamma = (float(value) for value in values)
    numbers = np.array([a, b, c, alpha, beta, gamma])
    if not np.all(np.isfinite(numbers)) or numbers[:3].min() <= 0:
        raise InputError("the unit cell is impossible", found=tuple(values), fix=fix)
    cosines = np.cos(np.radians(numbers[3:]))
    flat = 1 - np.sum(cosines**2) + 2 * np.prod(cosines)
    if flat <= 1e-6 or np.any(numbers[3:] <= 0) or np.any(numbers[3:] >= 180):
        raise InputError("the unit cell encloses no volume", found=tuple(values), fix=fix)
    return a, b, c, alpha, beta, gamma


def _checked_group(symbol: str) -> gemmi.SpaceGroup:
    name = str(symbol).strip()
    found = (
        gemmi.find_spacegroup_by_number(int(name))
        if name.isdigit()
        else gemmi.find_spacegroup_by_name(name)
    )
    if found is None:
        raise InputError(
            "unknown space group",
            found=repr(symbol),
            fix="give a Hermann–Mauguin symbol such as 'P 21 21 21', or a number from 1 to 230",
        )
    return found
