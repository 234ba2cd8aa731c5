r"""Structure factors of anisotropic atoms: Gaussians on a grid, FFT, deblurred.

Form factors stay exact: as in the nufft engine they are low-rank curves
:math:`\varphi_m(s)` that multiply after the transform. What is put on the grid
is one Gaussian an atom, the probability density of its displacement widened by
a blur u common to all atoms,

.. math::
   F(H) = e^{2\pi^2 u s^2} \sum_m \varphi_m(s)\,
          \mathrm{FFT}\Big[\sum_j o_j c_{mj}\, \mathcal N(x_j, U_j + u)\Big](H)

with u (often negative: a sharpening) such that the narrowest Gaussian is just
wide enough for the grid. Any cell; no term of the form factor is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from unstill.scattering.form_factors import Table
from unstill.scattering.gradients import Gradients, checked_cotangent
from unstill.scattering.low_rank import LowRank, low_rank
from unstill.scattering.points import Points, checked_frac
from unstill.scattering.scatterers import Scatterers
from unstill.scattering.splat import add_gaussians, gather_moments, nested_squares

# Shares of the tolerance, found by measuring the total against direct sums.
_RANK_SHARE = 0.3
_GRID_SHARE = 0.3
_OVERSAMPLING = (1.35, 1.5, 1.75, 2.0, 2.5, 3.0)


class DensityEngine:
    """Structure factors by Gaussians on a grid; see the module for the equation.

    Made by :func:`unstill.scattering.engine.make_engine`.

    Parameters
    ----------
    points
        Where F is wanted.
    scatterers
        Atoms, isotropic or not.
    factors
        Low-rank form factors of the atoms *at rest* at the points.
    tolerance
        Relative error of F, shared by rank, aliasing and cut-off.
    """

    name = "density"

    def __init__(
        self, points: Points, scatterers: Scatterers, factors: LowRank, *, tolerance: float
    ) -> None:
        self.points, self.scatterers, self.tolerance = points, scatterers, tolerance
        self.factors = factors
        if self._is_empty:
            return
        self.sampling = _choose_sampling(points, scatterers, factors.n_channels, tolerance)
        self._place()

    @classmethod
    def make(
        cls,
        points: Points,
        scatterers: Scatterers,
        *,
        table: Table,
        energy: float | None,
        tolerance: float,
    ) -> DensityEngine:
        """Build the engine, choosing rank, grid and blur for the tolerance."""
        factors = low_rank(
            scatterers.element,
            np.zeros(scatterers.n_atoms),
            points.s_squared,
            table=table,
            energy=energy,
            tolerance=_RANK_SHARE * tolerance,
        )
        return cls(points, scatterers, factors, tolerance=tolerance)

    @property
    def n_points(self) -> int:
        """Number of points."""
        return self.points.n_points

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self.scatterers.n_atoms

    def structure_factors(self, frac: Any) -> Any:
        """F at every point, for fractional coordinates ``(n_atoms, 3)``."""
        checked_frac(frac, self.n_atoms)
        total = np.zeros(self.n_points, dtype=complex)
        if self._is_empty:
            return total
        grid = np.zeros((*self.sampling.shape, self.factors.n_channels))
        add_gaussians(grid, *self._arguments(frac, self.scatterers.occupancy))
        modes = scipy.fft.rfftn(grid, axes=(0, 1, 2), workers=1)
        at_points = modes.reshape(-1, self.factors.n_channels)[self._place_of].T
        for profile, values in zip(self._profile, at_points, strict=True):
            # rfftn has the sign e^{-2πi}; points with l < 0 were looked up at −H.
            total += profile * np.where(self._mirrored, values, values.conj())
        return total

    def adjoint(self, frac: Any, cotangent: Any) -> Gradients:
        """Gradients of a real loss with dL = Re Σ_H conj(cotangent) dF."""
        checked_frac(frac, self.n_atoms)
        checked_cotangent(cotangent, self.n_points)
        moments = np.zeros((self.n_atoms, 10))
        if not self._is_empty:
            grid = np.stack(
                [self._back(profile.conj() * cotangent) for profile in self._profile], axis=-1
            )
            x, squares, strength, cutoff = self._arguments(frac, np.ones(self.n_atoms))
            gather_moments(grid, x, squares, strength, cutoff, moments)
        return self._gradients(moments)

    def _gradients(self, moments: np.ndarray) -> Gradients:
        """Chain rule from moments in grid units to Å and Å²."""
        occupancy = self.scatterers.occupancy
        is_tensor = self.scatterers.anisotropic
        if self._is_empty:
            return Gradients(moments[:, 1:4], moments[:, 0], moments[:, 0], None)
        # Σ⁻¹ d, Cartesian, from displacements in grid units.
        to_force = self._inverse @ self.sampling.step(self.points)
        coord = np.einsum("jab,jb->ja", to_force, moments[:, 1:4])
        second = _symmetric(moments[:, 4:])
        by_tensor = to_force @ second @ np.swapaxes(to_force, 1, 2)
        by_tensor = 0.5 * (by_tensor - self._inverse * moments[:, 0, None, None])
        by_u = occupancy[:, None] * _six(by_tensor)
        by_b = by_u[:, :3].sum(axis=1) / (8 * np.pi**2)
        return Gradients(
            coord=occupancy[:, None] * coord,
            occupancy=moments[:, 0],
            b_factor=np.where(is_tensor, 0.0, by_b),
            u_aniso=np.where(is_tensor[:, None], by_u, 0.0) if is_tensor.any() else None,
        )

    def _back(self, weighted: np.ndarray) -> np.ndarray:
        """Re Σ_H weighted(H) exp(−2πi H·n/N) at every grid point."""
        n1, n2, n3 = self.sampling.shape
        half = np.zeros((n1, n2, n3 // 2 + 1), dtype=complex)
        upper = np.where(self._mirrored, weighted, weighted.conj())
        # The plane l = 0 holds both mates, the others one that stands for two.
        np.add.at(half.reshape(-1), self._place_of, upper / 2)
        flat = self._flat_plane
        np.add.at(half.reshape(-1), self._mate_of[flat], upper[flat].conj() / 2)
        grid: np.ndarray = scipy.fft.irfftn(half, s=self.sampling.shape, workers=1)
        return grid * (n1 * n2 * n3)

    def _place(self) -> None:
        """Precompute what does not depend on the coordinates."""
        sampling, points = self.sampling, self.points
        shape = np.array(sampling.shape)
        index = points.index
        self._mirrored = index[:, 2] < 0
        upper = np.where(self._mirrored[:, None], -index, index)
        self._place_of = _half_position(upper, shape)
        self._flat_plane = np.flatnonzero(index[:, 2] == 0)
        self._mate_of = _half_position(-upper, shape)
        deblur = np.exp(2 * np.pi**2 * sampling.blur * points.s_squared)
        self._profile = self.factors.profile * deblur
        tensor = _symmetric(self.scatterers.displacement) + sampling.blur * np.eye(3)
        self._inverse = np.linalg.inv(tensor)
        step = sampling.step(points)
        self._squares = nested_squares(step.T @ self._inverse @ step)
        per_voxel = points.crystal.volume / shape.prod()
        self._norm = per_voxel / np.sqrt((2 * np.pi) ** 3 * np.linalg.det(tensor))

    def _arguments(
        self, frac: np.ndarray, occupancy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        x = np.asarray(frac, dtype=float)
        x = np.ascontiguousarray((x - np.floor(x)) * np.array(self.sampling.shape))
        strength = np.ascontiguousarray((self.factors.coefficient * (occupancy * self._norm)).T)
        return x, self._squares, strength, self.sampling.cutoff

    @property
    def _is_empty(self) -> bool:
        return self.n_atoms == 0 or self.n_points == 0


@dataclass(frozen=True)
class _Sampling:
    """Grid, blur (Å²) and cut-off exponent."""

    shape: tuple[int, int, int]
    blur: float
    cutoff: float

    def step(self, points: Points) -> np.ndarray:
        """Columns: one step along each axis of the grid (Å)."""
        step: np.ndarray = points.crystal.orthogonalization_matrix / np.array(self.shape)
        return step


def _choose_sampling(
    points: Points, scatterers: Scatterers, n_channels: int, tolerance: float
) -> _Sampling:
    tensor = _symmetric(scatterers.displacement)
    narrowest = float(np.linalg.eigvalsh(tensor).min())
    candidates = [
        _sampling(points, tensor, narrowest, oversampling, _GRID_SHARE * tolerance)
        for oversampling in _OVERSAMPLING
    ]
    return min(candidates, key=lambda sampling: _cost(sampling, points, tensor, n_channels))


def _sampling(
    points: Points, tensor: np.ndarray, narrowest: float, oversampling: float, eps: float
) -> _Sampling:
    r"""Grid and blur for an oversampling σ.

    With n ≥ (2σ−1) s_max a + |h|_max points along an axis of length a, every
    alias of a wanted point lies at s ≥ (2σ−1) s_max, in any cell. The width v
    of the narrowest Gaussian then follows from
    exp(−2π² v [(2σ−1)² − 1] s_max²) = ε.
    """
    s_max_squared = max(float(points.s_squared.max()), 1e-12)
    lengths = np.linalg.norm(points.crystal.orthogonalization_matrix, axis=0)
    least = (2 * oversampling - 1) * np.sqrt(s_max_squared) * lengths
    least = np.maximum(least + np.abs(points.index).max(axis=0), 2)
    n1, n2, n3 = (int(scipy.fft.next_fast_len(int(np.ceil(n)), real=True)) for n in least)
    log_eps = -np.log(eps)
    width = log_eps / (8 * np.pi**2 * oversampling * (oversampling - 1) * s_max_squared)
    blur = width - narrowest
    # What is cut off is amplified by the deblurring, and compared with F at the edge.
    damping = 2 * np.pi**2 * s_max_squared * np.trace(tensor, axis1=1, axis2=2) / 3
    edge = -0.5 * np.log(np.mean(np.exp(-2 * (damping - damping.min())))) + damping.min()
    cutoff = log_eps + max(0.0, 2 * np.pi**2 * blur * s_max_squared + float(edge))
    return _Sampling((n1, n2, n3), blur, cutoff)


def _cost(sampling: _Sampling, points: Points, tensor: np.ndarray, n_channels: int) -> float:
    """Operations of one frame, roughly: points splatted and points transformed."""
    n_grid = float(np.prod(sampling.shape))
    volumes = np.sqrt(np.linalg.det(tensor + sampling.blur * np.eye(3)))
    ellipsoid = 4 / 3 * np.pi * (2 * sampling.cutoff) ** 1.5 * float(volumes.sum())
    splatted = ellipsoid / points.crystal.volume * n_grid
    return float(splatted * (3 + n_channels) + n_channels * n_grid * np.log2(n_grid))


def _half_position(index: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Flat position in the half spectrum; meaningful where l ≥ 0."""
    h, k, l = (index % shape).T
    position: np.ndarray = (h * shape[1] + k) * (shape[2] // 2 + 1) + l
    return position


def _symmetric(six: np.ndarray) -> np.ndarray:
    """(n, 3, 3) from columns 11, 22, 33, 12, 13, 23."""
    matrix: np.ndarray = six[:, [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
    return matrix


def _six(matrix: np.ndarray) -> np.ndarray:
    """Columns 11, 22, 33, 12, 13, 23; an off-diagonal stands for both of its places."""
    both = matrix + np.swapaxes(matrix, 1, 2)
    diagonal = np.diagonal(matrix, axis1=1, axis2=2)
    off = np.stack([both[:, 0, 1], both[:, 0, 2], both[:, 1, 2]], axis=1)
    return np.concatenate([diagonal, off], axis=1)
