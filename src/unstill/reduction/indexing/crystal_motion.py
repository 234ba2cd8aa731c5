"""A crystal that turns and strains slowly while it is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import BSpline

from unstill.crystal import Crystal
from unstill.experiment import Lattice
from unstill.experiment.lattice import cell_of, nearest_rotation
from unstill.reduction.indexing.geometry_model import rotation_matrices, strains


@dataclass(frozen=True, eq=False)
class CrystalMotion:
    """Setting matrix as a smooth function of the frame, A(z) = exp(ω(z)) U (1 + ε(z)) B.

    ω and ε are sums of spline functions of the position z in the scan; with
    one function they are constants.

    Parameters
    ----------
    u_matrix
        ``(3, 3)`` orientation U to start from.
    crystal
        Gives B and the symmetry of ε.
    turns
        ``(n_knots, 3)`` rotation vectors (degrees).
    strain
        ``(n_knots, n_strains)`` coefficients of the strains of :func:`strains`.
    n_frames
        Length of the scan.
    """

    u_matrix: np.ndarray
    crystal: Crystal
    turns: np.ndarray
    strain: np.ndarray
    n_frames: int

    @classmethod
    def of(cls, lattice: Lattice, n_frames: int) -> CrystalMotion:
        """Start from a lattice: its orientation and the exact cell of its crystal."""
        u_matrix = nearest_rotation(
            lattice.a_matrix @ np.linalg.inv(lattice.crystal.fractionalization_matrix.T)
        )
        tensors = strains(lattice.crystal)
        return cls(
            u_matrix, lattice.crystal, np.zeros((1, 3)), np.zeros((1, len(tensors))), n_frames
        )

    @property
    def n_knots(self) -> int:
        """Number of spline functions."""
        return len(self.turns)

    def with_knots(self, n_knots: int) -> CrystalMotion:
        """Return the constant motion with more spline functions."""
        if self.n_knots != 1:
            return self
        return replace(
            self,
            turns=np.repeat(self.turns, n_knots, axis=0),
            strain=np.repeat(self.strain, n_knots, axis=0),
        )

    def basis(self, frame: np.ndarray) -> np.ndarray:
        """``(n, n_knots)`` spline functions at positions in the scan; they sum to one."""
        if self.n_knots == 1:
            return np.ones((len(frame), 1))
        degree = min(3, self.n_knots - 1)
        inner = np.linspace(0, self.n_frames, self.n_knots - degree + 1)
        knots = np.concatenate([np.zeros(degree), inner, np.full(degree, float(self.n_frames))])
        at = np.clip(frame, 0, self.n_frames * (1 - 1e-12))
        values: np.ndarray = BSpline.design_matrix(at, knots, degree).toarray()
        return values

    def matrices(
        self,
        frame: np.ndarray,
        *,
        more_turn: np.ndarray | None = None,
        more_strain: np.ndarray | None = None,
    ) -> np.ndarray:
        """``(n, 3, 3)`` setting matrices at positions in the scan.

        Parameters
        ----------
        frame
            ``(n,)`` positions.
        more_turn, more_strain
            Added to ω (3) and ε everywhere, for derivatives.
        """
        basis = self.basis(frame)
        turn, strain = basis @ self.turns, basis @ self.strain
        if more_turn is not None:
            turn = turn + more_turn
        if more_strain is not None:
            strain = strain + more_strain
        tensor = np.eye(3) + np.einsum("nk,kij->nij", strain, strains(self.crystal))
        base = self.crystal.fractionalization_matrix.T
        matrices: np.ndarray = rotation_matrices(turn) @ self.u_matrix @ tensor @ base
        return matrices

    def lattice(self) -> Lattice:
        """Return the lattice: the mean A and cell and, if it moves, A at every scan point."""
        middle = np.array([self.n_frames / 2])
        mean_strain = self._mean_strain()
        still = replace(self, strain=np.repeat(mean_strain[None], self.n_knots, axis=0))
        a_matrix = still.matrices(middle)[0]
        crystal = Crystal(_tidy(cell_of(np.linalg.inv(a_matrix))), self.crystal.space_group)
        if self.n_knots == 1:
            return Lattice(crystal, a_matrix)
        points = self.matrices(np.arange(self.n_frames + 1, dtype=float))
        return Lattice(crystal, a_matrix, a_at_scan_points=points)

    def _mean_strain(self) -> np.ndarray:
        at = np.linspace(0, self.n_frames, 50)
        mean: np.ndarray = (self.basis(at) @ self.strain).mean(axis=0)
        return mean


def _tidy(cell: tuple[float, ...]) -> tuple[float, float, float, float, float, float]:
    # Angles and lengths that symmetry fixes come out exact but for the last bits.
    a, b, c, alpha, beta, gamma = (round(value, 6) for value in cell)
    return a, b, c, alpha, beta, gamma
