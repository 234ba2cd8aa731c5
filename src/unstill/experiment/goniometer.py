"""What turns the crystal."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unstill.errors import InputError
from unstill.experiment.rotation import nearest_rotation, rotation_about
from unstill.experiment.vectors import Vector, unit_vector
from unstill.shapes import Float, Matrix3


@dataclass(frozen=True, eq=False)
class Goniometer:
    """One rotation axis between two fixed rotations, R(φ)_lab = S R(φ) F.

    Parameters
    ----------
    rotation_axis
        Axis of R(φ), before the setting rotation S; made a unit vector.
    fixed_rotation
        F, applied to the crystal first.
    setting_rotation
        S, applied last.

    Raises
    ------
    InputError
        If a matrix is no rotation.
    """

    rotation_axis: Vector = (1.0, 0.0, 0.0)
    fixed_rotation: Matrix3 = field(default_factory=lambda: np.eye(3))
    setting_rotation: Matrix3 = field(default_factory=lambda: np.eye(3))

    def __post_init__(self) -> None:
        axis = unit_vector(self.rotation_axis, "rotation_axis")
        object.__setattr__(self, "rotation_axis", axis)
        for name in ("fixed_rotation", "setting_rotation"):
            matrix = np.asarray(getattr(self, name), dtype=float).reshape(3, 3)
            largest = float(np.abs(matrix).max())
            off = float(np.abs(matrix @ matrix.T - np.eye(3)).max()) if largest <= 2 else largest
            # A mirror keeps lengths as well.
            if not off <= 1e-4 or np.linalg.det(matrix) < 0:
                raise InputError(
                    f"the {name.replace('_', ' ')} is no rotation",
                    found=matrix.round(4).tolist(),
                    fix="give an orthogonal 3 × 3 matrix with determinant 1",
                )
            # Few decimals in a file must not stretch the lattice.
            object.__setattr__(self, name, matrix if off < 1e-9 else nearest_rotation(matrix))

    def rotation(self, phi: float | np.ndarray) -> Float[np.ndarray, "*angles 3 3"]:
        """S R(φ) F of rotation angles φ (degrees)."""
        rotation: np.ndarray = (
            self.setting_rotation @ rotation_about(self.rotation_axis, phi) @ self.fixed_rotation
        )
        return rotation

    @property
    def lab_axis(self) -> np.ndarray:
        """``(3,)`` rotation axis in the laboratory frame, S e."""
        axis: np.ndarray = self.setting_rotation @ np.array(self.rotation_axis)
        return axis
