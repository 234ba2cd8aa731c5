"""Density in real space, on a grid over the whole unit cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Bool, Float


@dataclass(frozen=True, eq=False)
class DensityMap:
    """Density at the points (i/nu, j/nv, k/nw) of the cell.

    Parameters
    ----------
    crystal
        Cell and space group. A map of electron microscopy has a box in P 1.
    values
        ``(nu, nv, nw)`` in electrons/Å³ (X-rays) or 1/Å² (electrons: Å per Å³); NaN where
        nothing is known.

    Raises
    ------
    InputError
        If the values do not fill three dimensions, or none is known.
    """

    crystal: Crystal
    values: Float[np.ndarray, "nu nv nw"]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or not np.isfinite(self.values).any():
            raise InputError(
                "a density map needs values on a grid of the cell",
                found=f"shape {self.values.shape}, "
                f"{int(np.isfinite(self.values).sum())} values that are numbers",
                fix="check how the map was made",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid points along a, b, c."""
        nu, nv, nw = self.values.shape
        return nu, nv, nw

    @property
    def voxel(self) -> tuple[float, float, float]:
        """Grid steps along a, b, c (Å)."""
        a, b, c = self.crystal.unit_cell[:3]
        return a / self.shape[0], b / self.shape[1], c / self.shape[2]

    @property
    def known(self) -> Bool[np.ndarray, "nu nv nw"]:
        """Where the map has a value."""
        known: np.ndarray = np.isfinite(self.values)
        return known

    @property
    def integral(self) -> float:
        """Integral over the cell: electrons of a density that has F(000)."""
        return float(self.values.mean(dtype=float) * self.crystal.volume)
