"""The points of reciprocal space at which structure factors are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.scattering.namespace import array_namespace
from unstill.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class Points:
    """Integer Miller indices of a cell in P 1, any number in any order.

    Parameters
    ----------
    crystal
        The cell that holds all atoms (the supercell), in P 1.
    index
        ``(n_points, 3)`` integers.

    Raises
    ------
    InputError
        If the crystal is not in P 1, or the indices are not integers.
    """

    crystal: Crystal
    index: Int[np.ndarray, "points 3"]

    def __post_init__(self) -> None:
        if self.crystal.n_operations != 1:
            raise InputError(
                "structure factors are summed over all atoms of the cell, in P 1",
                found=f"space group {self.crystal.space_group}",
                fix="expand the atoms to the full cell and give the crystal in P 1",
            )
        index = np.asarray(self.index)
        if index.ndim != 2 or index.shape[1] != 3 or index.dtype.kind not in "iu":
            raise InputError(
                "Miller indices of the cell must be integers",
                found=f"{index.dtype} of shape {index.shape}",
                fix="give an integer array of shape (n_points, 3)",
            )
        object.__setattr__(self, "index", index.astype(np.int64))

    @property
    def n_points(self) -> int:
        """Number of points."""
        return len(self.index)

    @cached_property
    def s(self) -> Float[np.ndarray, "points 3"]:
        """Reciprocal-lattice vectors, Cartesian (Å⁻¹)."""
        return self.crystal.s(self.index)

    @cached_property
    def s_squared(self) -> Float[np.ndarray, " points"]:
        """1/d² (Å⁻²)."""
        return self.crystal.s_squared(self.index)

    @property
    def largest_index(self) -> int:
        """Largest |h|, |k| or |l|."""
        return int(np.abs(self.index).max(initial=0))


def checked_frac(frac: Any, n_atoms: int) -> None:
    """Refuse coordinates that do not fit the atoms or are not finite.

    Raises
    ------
    InputError
        If the shape is not ``(n_atoms, 3)`` or a coordinate is NaN or infinite.
    """
    if frac.shape != (n_atoms, 3):
        raise InputError(
            "coordinates do not fit the scatterers",
            found=f"shape {tuple(frac.shape)} for {n_atoms} atoms",
            fix="give fractional coordinates of shape (n_atoms, 3)",
        )
    # One sum over everything: NaN and infinity survive it, and no temporary is made.
    if not np.isfinite(float(frac.sum())):
        xp = array_namespace(frac)
        bad = xp.flatnonzero(~xp.isfinite(frac).all(axis=1))
        raise InputError(
            "coordinates are not finite",
            found=f"{len(bad)} atoms, the first at position {bad[:1].tolist()}",
            fix="leave out this frame or these atoms",
        )
