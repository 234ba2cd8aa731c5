r"""Density at a resolution: the Fourier synthesis of F to d ≥ d_min, and back.

.. math::
   \rho(x) = \frac1V \sum_{d(H) \ge d_{min}} F(H)\, e^{-2\pi i H\cdot x},
   \qquad F(H) = \sum_g e^{2\pi i H\cdot t_g} F_{asu}(H R_g)

F(000) is one of the terms, so that the integral over the cell is the number of
electrons. Target and model pass through the same sphere, so that neither has
ripples that the other lacks. The transposed maps are here too: what a loss of
the density says to F of the asymmetric unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gemmi
import numpy as np
import scipy.fft

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Complex, Float, Int

FINEST = 3.0
"""Grid steps to one d_min, at least."""


@dataclass(frozen=True, eq=False)
class Synthesis:
    """Which terms of F make up a density, and on which grid of the cell it stands.

    Parameters
    ----------
    crystal
        Cell and space group.
    d_min
        Resolution (Å): terms with d ≥ d_min.
    shape
        ``(nu, nv, nw)`` grid over the whole cell; chosen by :func:`grid_shape` by default.

    Raises
    ------
    InputError
        If the resolution is no length, or the grid is too coarse for it or does not suit the
        space group.

    Examples
    --------
    >>> synthesis = Synthesis(Crystal((10.0, 10.0, 10.0, 90.0, 90.0, 90.0)), 3.0)
    >>> f = np.zeros(synthesis.n_points, dtype=complex)
    >>> f[synthesis.origin] = 500.0
    >>> float(synthesis.density(f).mean())
    0.5
    """

    crystal: Crystal
    d_min: float
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (np.isfinite(self.d_min) and self.d_min > 0):
            raise InputError(
                "the resolution is no length", found=self.d_min, fix="give d_min in angstroms"
            )
        if not self.shape:
            object.__setattr__(self, "shape", grid_shape(self.crystal, self.d_min))
        self._check_grid()

    @cached_property
    def index(self) -> Int[np.ndarray, "points 3"]:
        """``(n_points, 3)`` Miller indices of the half sphere: of H and −H, the later one."""
        # |h_i| ≤ a_i / d_min, in any cell.
        most = np.floor(np.array(self.crystal.unit_cell[:3]) / self.d_min).astype(int)
        h, k, l = np.meshgrid(*[np.arange(-n, n + 1) for n in most], indexing="ij")
        upper = (l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h >= 0))))
        hkl = np.stack([h[upper], k[upper], l[upper]], axis=1)
        return hkl[self.crystal.s_squared(hkl) <= self.d_min**-2]

    @property
    def n_points(self) -> int:
        """Number of terms, of Friedel mates one."""
        return len(self.index)

    @cached_property
    def origin(self) -> int:
        """Place of (0, 0, 0)."""
        return int(np.flatnonzero(~self.index.any(axis=1))[0])

    @property
    def crystal_p1(self) -> Crystal:
        """The same cell without symmetry, for the engine of structure factors."""
        return Crystal(self.crystal.unit_cell)

    @property
    def voxel(self) -> tuple[float, float, float]:
        """Grid steps along a, b, c (Å)."""
        a, b, c = self.crystal.unit_cell[:3]
        return a / self.shape[0], b / self.shape[1], c / self.shape[2]

    def of_cell(self, f_asu: Complex[np.ndarray, " points"]) -> Complex[np.ndarray, " points"]:
        """F of the whole cell from F of the atoms that symmetry repeats."""
        total = np.zeros(self.n_points, dtype=complex)
        for place, mirrored, phase in self._operations:
            term = f_asu[place]
            total += phase * np.where(mirrored, term.conj(), term)
        return total

    def of_cell_adjoint(
        self, cotangent: Complex[np.ndarray, " points"]
    ) -> Complex[np.ndarray, " points"]:
        """Transpose of :meth:`of_cell` under Re Σ conj(g) F."""
        total = np.zeros(self.n_points, dtype=complex)
        for place, mirrored, phase in self._operations:
            term = phase.conj() * cotangent
            # An operation permutes the half sphere, so no place is met twice.
            total[place] += np.where(mirrored, term.conj(), term)
        return total

    def density(self, f: Complex[np.ndarray, " points"]) -> Float[np.ndarray, "nu nv nw"]:
        """Density (per Å³, in the unit of F) on the grid of the cell."""
        n1, n2, n3 = self.shape
        half = np.zeros((n1, n2, n3 // 2 + 1), dtype=complex)
        flat = half.reshape(-1)
        # irfftn has the sign e^{+2πi}: the conjugate of F stands at H.
        flat[self._place] = f.conj()
        flat[self._mate] = f[self._in_plane]
        values: np.ndarray = scipy.fft.irfftn(half, s=self.shape, workers=1)
        return values * (n1 * n2 * n3 / self.crystal.volume)

    def structure_factors(
        self, density: Float[np.ndarray, "nu nv nw"]
    ) -> Complex[np.ndarray, " points"]:
        """F to d_min of a density on the grid: the low-pass that target and model share."""
        per_voxel = self.crystal.volume / np.prod(self.shape)
        modes = scipy.fft.rfftn(density, workers=1)
        f: np.ndarray = modes.reshape(-1)[self._place].conj()
        return f * per_voxel

    def density_adjoint(
        self, cotangent: Float[np.ndarray, "nu nv nw"]
    ) -> Complex[np.ndarray, " points"]:
        """Transpose of :meth:`density`: dL = Re Σ conj(g) dF from ∂L/∂ρ on the grid."""
        f = self.structure_factors(cotangent) * (np.prod(self.shape) / self.crystal.volume**2)
        # Each term of the half sphere stands for its mate too, except F(000).
        f *= 2
        f[self.origin] /= 2
        return f

    @cached_property
    def s_squared(self) -> Float[np.ndarray, " points"]:
        """1/d² of the terms (Å⁻²)."""
        return self.crystal.s_squared(self.index)

    @cached_property
    def _place(self) -> np.ndarray:
        return self._flat_place(self.index)

    @cached_property
    def _in_plane(self) -> np.ndarray:
        """Terms whose mate lies in the stored half of the spectrum as well."""
        flat: np.ndarray = np.flatnonzero((self.index[:, 2] == 0) & self.index.any(axis=1))
        return flat

    @cached_property
    def _mate(self) -> np.ndarray:
        return self._flat_place(-self.index[self._in_plane])

    def _flat_place(self, index: np.ndarray) -> np.ndarray:
        h, k, l = (index % np.array(self.shape)).T
        place: np.ndarray = (h * self.shape[1] + k) * (self.shape[2] // 2 + 1) + l
        return place

    @cached_property
    def _operations(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of every operation: place of HR in the half sphere, whether mirrored, phase."""
        most = np.abs(self.index).max(axis=0, initial=0)
        span = 2 * most + 1
        table = np.full(span, -1)
        table[tuple((self.index + most).T)] = np.arange(self.n_points)
        found = []
        for operation in self.crystal.group.operations():
            rotation = np.array(operation.rot) // gemmi.Op.DEN
            shift = np.array(operation.tran) / gemmi.Op.DEN
            turned = self.index @ rotation
            mirrored = table[tuple((turned + most).T)] < 0
            turned = np.where(mirrored[:, None], -turned, turned)
            phase = np.exp(2j * np.pi * (self.index @ shift))
            found.append((table[tuple((turned + most).T)], mirrored, phase))
        return found

    def _check_grid(self) -> None:
        step = max(self.voxel)
        # One part in a thousand: headers keep six digits of a cell.
        if step > 1.001 * self.d_min / 2:
            raise InputError(
                "the grid is too coarse for the resolution",
                found=f"steps of {step:.3g} Å for d_min {self.d_min:g} Å",
                fix="give a finer grid (d_min/3 or less) or a lower resolution",
            )
        for operation in self.crystal.group.operations():
            shift = np.array(operation.tran) * np.array(self.shape)
            if (shift % gemmi.Op.DEN).any():
                raise InputError(
                    "the grid does not suit the space group",
                    found=f"{self.shape} points in {self.crystal.space_group}: "
                    f"{operation.triplet()} leads between grid points",
                    fix="check the space group, or resample the map",
                )


def grid_shape(crystal: Crystal, d_min: float) -> tuple[int, int, int]:
    """Smallest fast grid of the cell with steps of at most d_min/3 that symmetry maps to itself.

    Examples
    --------
    >>> grid_shape(Crystal((30.0, 30.0, 41.0, 90.0, 90.0, 90.0), "P 41"), 2.0)
    (48, 48, 64)
    """
    grid = gemmi.FloatGrid()
    grid.set_unit_cell(crystal.cell)
    grid.spacegroup = crystal.group
    # gemmi measures the distance of grid planes; in an oblique cell steps are longer than that.
    edges = np.array(crystal.unit_cell[:3])
    heights = 1 / np.linalg.norm(crystal.fractionalization_matrix, axis=1)
    spacing = d_min / FINEST * float((heights / edges).min())
    grid.set_size_from_spacing(spacing, gemmi.GridSizeRounding.Up)
    return grid.nu, grid.nv, grid.nw
