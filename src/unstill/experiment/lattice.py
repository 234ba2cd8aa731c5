"""A crystal as it was mounted: its lattice in the laboratory frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment.rotation import between, nearest_rotation
from unstill.shapes import Float, Matrix3

__all__ = ["Lattice", "cell_of", "nearest_rotation", "polar"]


@dataclass(frozen=True, eq=False)
class Lattice:
    """The setting matrix of a crystal, constant or drifting with the scan.

    A has the reciprocal axes a*, b*, c* (Å⁻¹) as columns, in the laboratory
    frame at goniometer angle 0: s = S R(φ) F A h.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    a_matrix
        A, for the scan as a whole.
    a_at_scan_points
        ``(n_frames + 1, 3, 3)`` A at the beginning of every frame and at the
        end of the last, or ``None``.
    mosaicity
        Half width of the orientation spread (degrees); 0 where unknown.

    Raises
    ------
    InputError
        If A is singular or not finite, or does not have the unit cell of the crystal within 2 %.
    """

    crystal: Crystal
    a_matrix: Matrix3
    a_at_scan_points: Float[np.ndarray, "scan_points 3 3"] | None = None
    mosaicity: float = 0.0

    def __post_init__(self) -> None:
        matrix = np.asarray(self.a_matrix, dtype=float).reshape(3, 3)
        object.__setattr__(self, "a_matrix", matrix)
        # Spacings of less than a thousandth of an angstrom are damage in a file.
        if not np.all(np.abs(matrix) < 1e3) or abs(np.linalg.det(matrix)) < 1e-12:
            raise InputError(
                "the setting matrix spans no lattice",
                found=matrix.tolist(),
                fix="give the three reciprocal axes in inverse angstroms, as columns",
            )
        lengths = np.linalg.norm(np.linalg.inv(matrix), axis=1)
        if not np.allclose(lengths, self.crystal.unit_cell[:3], rtol=0.02):
            raise InputError(
                "the setting matrix has another unit cell than the crystal",
                found=f"axes {lengths.round(3).tolist()} Å and cell {self.crystal.unit_cell}",
                fix="give both in the same setting",
            )
        if self.a_at_scan_points is not None:
            points = np.asarray(self.a_at_scan_points, dtype=float).reshape(-1, 3, 3)
            if len(points) < 2 or not np.all(np.abs(points) < 1e3):
                raise InputError(
                    "the setting matrices at scan points are unusable",
                    found=f"{len(points)} matrices",
                    fix="give one at the beginning of each frame and one at the end of the last",
                )
            object.__setattr__(self, "a_at_scan_points", points)

    @classmethod
    def from_axes(
        cls, axes: Float[np.ndarray, "3 3"], space_group: str, **more: object
    ) -> Lattice:
        """Make a lattice from direct axes a, b, c (Å), as rows, at goniometer angle 0."""
        rows = np.asarray(axes, dtype=float).reshape(3, 3)
        return cls(Crystal(cell_of(rows), space_group), np.linalg.inv(rows), **more)  # type: ignore[arg-type]

    @classmethod
    def oriented(
        cls, crystal: Crystal, u_matrix: Float[np.ndarray, "3 3"], **more: object
    ) -> Lattice:
        """Make a lattice from a crystal and its orientation U, A = U B.

        B = fractionalisation matrix transposed: a along x, b in the xy plane.
        """
        return cls(crystal, np.asarray(u_matrix) @ crystal.fractionalization_matrix.T, **more)  # type: ignore[arg-type]

    @property
    def u_matrix(self) -> Matrix3:
        """Orientation U = A B⁻¹."""
        return nearest_rotation(self.a_matrix @ self.crystal.orthogonalization_matrix.T)

    def part(self, start: int, stop: int) -> Lattice:
        """Return the lattice of the frames ``start`` to ``stop`` (excluded)."""
        if self.a_at_scan_points is None:
            return self
        return replace(self, a_at_scan_points=self.a_at_scan_points[start : stop + 1])

    def a_at(self, position: float | np.ndarray) -> Float[np.ndarray, "*positions 3 3"]:
        """Return the setting matrix at positions in frames; i + 0.5 is the middle of frame i.

        Between scan points the orientation turns at constant speed and the
        reciprocal metric changes linearly; beyond the ends it stays as it is there.
        """
        at = np.asarray(position, dtype=float)
        if self.a_at_scan_points is None:
            constant: np.ndarray = np.broadcast_to(self.a_matrix, (*at.shape, 3, 3))
            return constant
        u, b = self._polar_at_scan_points
        at = np.clip(at, 0.0, len(u) - 1.0)
        i = np.minimum(at.astype(int), len(u) - 2)
        share = at - i
        part = share[..., None, None]
        stretch = (1 - part) * b[i] + part * b[i + 1]
        matrices: np.ndarray = between(u[i], u[i + 1], share) @ stretch
        return matrices

    @cached_property
    def _polar_at_scan_points(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.a_at_scan_points is not None
        return polar(self.a_at_scan_points)


def cell_of(axes: Float[np.ndarray, "3 3"]) -> tuple[float, float, float, float, float, float]:
    """Return the unit cell (Å, degrees) of direct axes given as rows."""
    lengths = np.linalg.norm(axes, axis=1)
    # An axis without length gives angles that are no numbers, which Crystal refuses.
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = [
            float(axes[i] @ axes[j] / (lengths[i] * lengths[j]))
            for i, j in ((1, 2), (0, 2), (0, 1))
        ]
    # Ten decimals: so that a right angle is one.
    alpha, beta, gamma = (
        round(float(np.degrees(np.arccos(np.clip(value, -1, 1)))), 10) for value in cosines
    )
    a, b, c = (float(value) for value in lengths)
    return a, b, c, alpha, beta, gamma


def polar(
    matrix: Float[np.ndarray, "*matrices 3 3"],
) -> tuple[Float[np.ndarray, "*matrices 3 3"], Float[np.ndarray, "*matrices 3 3"]]:
    """Split matrices into a rotation and a symmetric stretch, A = U P."""
    rotation = nearest_rotation(matrix)
    return rotation, np.swapaxes(rotation, -1, -2) @ matrix
