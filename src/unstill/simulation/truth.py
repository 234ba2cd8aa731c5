"""What is scattered: the interface that every truth offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from unstill.crystal import Crystal
from unstill.shapes import Float, Hkl


class Truth(Protocol):
    """Diffuse intensity as an exact function of fractional hkl (e² per unit cell)."""

    @property
    def crystal(self) -> Crystal:
        """Unit cell and space group."""

    def at(self, hkl: Hkl) -> Float[np.ndarray, "*points"]:
        """Return the intensity at fractional Miller coordinates."""

    def add(
        self,
        out: Float[np.ndarray, " n"],
        s: Float[np.ndarray, "n 3"],
        hkl_matrix: Float[np.ndarray, "3 3"],
        weight: float,
    ) -> None:
        """Add weight · I(M s) to ``out``, for laboratory vectors s (Å⁻¹); compiled."""

    def as_dict(self) -> dict[str, object]:
        """All parameters, for the record."""
