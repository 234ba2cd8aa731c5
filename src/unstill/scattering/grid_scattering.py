r"""Structure factors of many members at once, by Gaussians on the grid of a density.

The form factor of an isotropic atom is a handful of Gaussians, and so is its
density:

.. math::
   o\,f(s)\,e^{-Bs^2/4} = o\sum_i a_i e^{-(b_i + B)s^2/4}
   \;\leftrightarrow\;
   o\sum_i a_i\,\mathcal N\big(x,\ (b_i + B)/8\pi^2\big)

All atoms of all members are added to one grid, which is transformed once,
restricted to the sphere of the synthesis and sharpened by what the Gaussians
had to be widened for the grid. The gradient goes the same way back: one
transform, then one sum around every atom, whose moments are the derivatives
to place, occupancy and B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.parallel.cpu import cpu_count
from unstill.scattering.few_gaussians import few_gaussians
from unstill.scattering.form_factors import Symbols
from unstill.scattering.spheres import add_atoms, gather_atoms
from unstill.scattering.splat import nested_squares
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Complex, Coords, Float

_B_OF_U = 8 * np.pi**2
_LANES = 2
"""Grids that members are added to; threads share them out."""


@dataclass(frozen=True, eq=False)
class GridGradients:
    """Gradient of a real loss to the atoms of every member.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` per Å, Cartesian.
    occupancy
        ``(n_members, n_atoms)`` to the product of weight and occupancy.
    b_factor
        ``(n_members, n_atoms)`` per Å².
    """

    coord: Coords
    occupancy: Float[np.ndarray, "n_members n_atoms"]
    b_factor: Float[np.ndarray, "n_members n_atoms"]


@dataclass(frozen=True, eq=False)
class GridProbe:
    """Gradient to the occupancy of an atom at any place, as a sum over a grid around it.

    Parameters
    ----------
    values
        Over the whole cell; the gradient is Σ values × Σ_t norm_t exp(−r²/2 variance_t).
    variance, norm
        ``(n_atoms, n_terms)`` Å², and heights.
    squares
        ``(6,)`` nested squares of the metric (Å² per squared step).
    """

    values: Float[np.ndarray, "nu nv nw"]
    variance: Float[np.ndarray, "n_atoms n_terms"]
    norm: Float[np.ndarray, "n_atoms n_terms"]
    squares: Float[np.ndarray, "6"]


class GridScattering:
    """Density and structure factors of isotropic atoms on the grid of a synthesis.

    Parameters
    ----------
    synthesis
        The terms and the grid.
    element
        ``(n_atoms,)`` symbols of the asymmetric unit.
    electron
        Scattering of electrons (Å; *International Tables* vol. C, table 4.3.2.2) instead of
        X-rays (electrons; table 6.1.1.4).
    tolerance
        Relative error of F that is allowed to aliasing and to the cut-off of the Gaussians.

    Raises
    ------
    InputError
        If an element is unknown.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        element: Symbols,
        *,
        electron: bool = False,
        tolerance: float = 1e-3,
    ) -> None:
        self.synthesis = synthesis
        self.tolerance = tolerance
        self._height, self._width = few_gaussians(
            np.asarray(element, dtype=str), synthesis.d_min, tolerance, electron=electron
        )

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self._height)

    def structure_factors(
        self,
        coord: Coords,
        occupancy: Float[np.ndarray, "n_members n_atoms"],
        b_factor: Float[np.ndarray, "n_members n_atoms"],
    ) -> Complex[np.ndarray, " points"]:
        """F of the asymmetric unit, summed over members.

        Parameters
        ----------
        coord
            ``(n_members, n_atoms, 3)`` in Å.
        occupancy
            ``(n_members, n_atoms)`` product of weight and occupancy.
        b_factor
            ``(n_members, n_atoms)`` in Å².

        Raises
        ------
        InputError
            If a coordinate is not finite, or B is negative.
        """
        self._check(coord, b_factor)
        blur = self._blur(b_factor)

        def add(members: range) -> np.ndarray:
            grid = np.zeros(self.synthesis.shape)
            for member in members:
                x, variance, norm = self._member(coord[member], b_factor[member], blur)
                norm = norm * occupancy[member][:, None]
                add_atoms(grid, x, self._squares, variance, norm, self._cutoff(blur))
            return grid

        # Two lanes whatever the number of processors, so that bits do not depend on it.
        lanes = [range(lane, len(coord), _LANES) for lane in range(_LANES)]
        first, *rest = _in_threads(add, [lane for lane in lanes if len(lane)])
        for grid in rest:
            first += grid
        f: np.ndarray = self.synthesis.structure_factors(first) * self._sharpening(blur)
        return f

    def adjoint(
        self,
        coord: Coords,
        occupancy: Float[np.ndarray, "n_members n_atoms"],
        b_factor: Float[np.ndarray, "n_members n_atoms"],
        cotangent: Complex[np.ndarray, " points"],
    ) -> GridGradients:
        """Gradient of a real loss with dL = Re Σ conj(cotangent) dF of the asymmetric unit."""
        self._check(coord, b_factor)
        blur = self._blur(b_factor)
        grid = self._back(cotangent * self._sharpening(blur))

        def gather(member: int) -> np.ndarray:
            x, variance, norm = self._member(coord[member], b_factor[member], blur)
            moments = np.zeros((self.n_atoms, 5))
            gather_atoms(grid, x, self._squares, variance, norm, self._cutoff(blur), moments)
            return moments

        moments = np.stack(_in_threads(gather, range(len(coord))))
        return GridGradients(
            coord=(moments[..., 1:4] @ self._step.T) * occupancy[..., None],
            occupancy=moments[..., 0],
            b_factor=moments[..., 4] * occupancy / _B_OF_U,
        )

    def probe(
        self, b_factor: Float[np.ndarray, " n_atoms"], cotangent: Complex[np.ndarray, " points"]
    ) -> GridProbe:
        """Prepare the gradient to the occupancy of every atom, wherever it may stand.

        Parameters
        ----------
        b_factor
            ``(n_atoms,)`` in Å².
        cotangent
            As of :meth:`adjoint`.
        """
        blur = self._blur(b_factor)
        variance = (self._width + b_factor[:, None] + blur) / _B_OF_U
        return GridProbe(
            self._back(cotangent * self._sharpening(blur)),
            variance,
            self._height / (2 * np.pi * variance) ** 1.5,
            self._squares,
        )

    @property
    def _n_terms(self) -> int:
        return int(self._height.shape[1])

    def _blur(self, b_factor: np.ndarray) -> float:
        """B (Å²) that all Gaussians are widened by; negative where they are wide enough."""
        # Aliases of the sphere lie at (n−1)/d_min and beyond; see scattering.density.
        oversampling = self._per_d_min / 2
        least = -np.log(self.tolerance) * self.synthesis.d_min**2
        least = least / max(oversampling * (oversampling - 1), 0.1)
        return float(least - (self._width.min(axis=1) + b_factor).min())

    @property
    def _per_d_min(self) -> float:
        """Grid steps to one d_min along the coarsest axis."""
        return self.synthesis.d_min / max(self.synthesis.voxel)

    def _cutoff(self, blur: float) -> float:
        # What is cut off is amplified by the sharpening at the edge of the sphere.
        return float(-np.log(self.tolerance) + max(0.0, blur / (4 * self.synthesis.d_min**2)))

    def _sharpening(self, blur: float) -> np.ndarray:
        sharpening: np.ndarray = np.exp(blur * self.synthesis.s_squared / 4)
        return sharpening

    def _member(
        self, coord: np.ndarray, b_factor: np.ndarray, blur: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places in grid units; variances (Å²) and heights of the Gaussians of every atom."""
        frac = self.synthesis.crystal.fractional(np.asarray(coord, dtype=float))
        x = np.ascontiguousarray((frac - np.floor(frac)) * np.array(self.synthesis.shape))
        variance = (self._width + b_factor[:, None] + blur) / _B_OF_U
        return x, variance, self._height / (2 * np.pi * variance) ** 1.5

    @cached_property
    def _step(self) -> np.ndarray:
        """Columns: one step along each axis of the grid (Å)."""
        step: np.ndarray = self.synthesis.crystal.orthogonalization_matrix / np.array(
            self.synthesis.shape
        )
        return step

    @cached_property
    def _squares(self) -> np.ndarray:
        squares: np.ndarray = nested_squares((self._step.T @ self._step)[None])[0]
        return squares

    def _back(self, cotangent: np.ndarray) -> np.ndarray:
        """∂L/∂grid from the cotangent of F: the transpose of the low-pass."""
        synthesis = self.synthesis
        doubled = cotangent / 2
        doubled[synthesis.origin] *= 2
        return synthesis.density(doubled) * (
            synthesis.crystal.volume**2 / np.prod(synthesis.shape)
        )

    def _check(self, coord: np.ndarray, b_factor: np.ndarray) -> None:
        if coord.ndim != 3 or coord.shape[1:] != (self.n_atoms, 3):
            raise InputError(
                "coordinates do not fit the atoms",
                found=f"shape {coord.shape} for {self.n_atoms} atoms",
                fix="give an array of shape (n_members, n_atoms, 3)",
            )
        if not np.isfinite(coord).all():
            raise InputError(
                "coordinates are not finite",
                found=f"{int((~np.isfinite(coord)).any(axis=-1).sum())} atoms",
                fix="leave out these atoms",
            )
        if not (np.isfinite(b_factor).all() and (b_factor >= 0).all()):
            raise InputError(
                "a B factor is negative or no number",
                found=float(np.min(b_factor)),
                fix="give B factors of zero or more (Å²)",
            )


def _in_threads(work: Callable[[Any], np.ndarray], parts: Sequence[Any]) -> list[np.ndarray]:
    """Results in order; kernels release the interpreter, so threads share the processors."""
    with ThreadPoolExecutor(min(_LANES, cpu_count())) as pool:
        return list(pool.map(work, parts))
