"""Bragg peaks of a mosaic crystal."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.compiled import kernel
from unstill.crystal import Crystal, HklGrid
from unstill.crystal.symmetry import check_metric, map_to_asu
from unstill.errors import InputError
from unstill.shapes import Float, Hkl, Int

_REACH = 6.0
"""A peak ends at so many standard deviations, where it has fallen to 1.5e-8."""


@dataclass(frozen=True, eq=False)
class BraggPeaks:
    r"""|F|² at the lattice points, each spread by size and mosaic spread.

    Intensity of one unit cell of an infinite crystal (e² per cell):

    .. math:: I(s) = \sum_h |F_h|^2 V^* p(s - s_h)

    with V* = 1/V and p a normalised Gaussian of width σ along s_h and
    √(σ² + (η s_h)²) across it; η is the mosaic spread in radians.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    start
        Miller indices of the first element of ``f_squared``.
    f_squared
        ``(h, k, l)`` |F|² in a box of Miller indices (e² per cell), Laue-symmetric.
    size
        σ, from the size of the coherent domains and the divergence of the beam (Å⁻¹).
    mosaicity
        Standard deviation of the orientations (degrees).

    Raises
    ------
    InputError
        If the widths are not positive.
    """

    crystal: Crystal
    start: tuple[int, int, int]
    f_squared: Float[np.ndarray, "h k l"]
    size: float = 5e-4
    mosaicity: float = 0.05

    def __post_init__(self) -> None:
        if not (self.size > 0 and self.mosaicity >= 0):
            raise InputError(
                "the width of the Bragg peaks is impossible",
                found=f"size {self.size} Å⁻¹, mosaicity {self.mosaicity}°",
                fix="give a positive size and a mosaicity of 0 or more",
            )

    def at(self, hkl: Hkl) -> Float[np.ndarray, "*points"]:
        """Return the intensity at fractional Miller coordinates (numpy, not the kernel)."""
        hkl = np.asarray(hkl, dtype=float)
        nearest = np.rint(hkl).astype(np.int64)
        strength = self.strength(nearest) / self.crystal.volume
        node = self.crystal.s(nearest)
        offset = self.crystal.s(hkl - nearest)
        length = np.linalg.norm(node, axis=-1)
        along = np.sum(offset * node, axis=-1) / np.maximum(length, 1e-12)
        across = np.sum(offset**2, axis=-1) - along**2
        wide = self.size**2 + (np.radians(self.mosaicity) * length) ** 2
        exponent = along**2 / self.size**2 + across / wide
        density = np.exp(-exponent / 2) / ((2 * np.pi) ** 1.5 * self.size * wide)
        intensity: np.ndarray = np.where(exponent < _REACH**2, strength * density, 0.0)
        return intensity

    def strength(self, hkl: Int[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points"]:
        """|F|² at Miller indices; 0 outside the box."""
        grid = HklGrid(self.start, self.f_squared.shape)
        inside = grid.contains(hkl)
        safe = np.where(inside[..., None], hkl, np.array(self.start))
        found: np.ndarray = np.where(inside, self.f_squared.reshape(-1)[grid.position(safe)], 0.0)
        return found

    def add(
        self,
        out: Float[np.ndarray, " n"],
        s: Float[np.ndarray, "n 3"],
        hkl_matrices: Float[np.ndarray, "steps 3 3"],
        weight: float,
    ) -> None:
        """Add weight · mean over the steps of I(M s) to ``out``, laboratory vectors s (Å⁻¹)."""
        matrices = np.ascontiguousarray(hkl_matrices)
        middle = matrices[len(matrices) // 2]
        # How far (r.l.u. by Å⁻¹) a fixed pixel moves through the crystal in half a frame.
        travel = float(max(np.linalg.norm((m - middle) @ self._to_s, 2) for m in matrices))
        _add_bragg(
            out, s, matrices, middle, self._to_s, self._table, np.array(self.start),
            self.size, math.radians(self.mosaicity), travel, weight / self.crystal.volume,
        )  # fmt: skip

    @cached_property
    def _to_s(self) -> np.ndarray:
        return np.ascontiguousarray(self.crystal.fractionalization_matrix)

    @cached_property
    def _table(self) -> np.ndarray:
        return np.ascontiguousarray(self.f_squared, dtype=np.float64)

    def as_dict(self) -> dict[str, object]:
        """All parameters but the table, for the record."""
        return {
            "size": self.size,
            "mosaicity": self.mosaicity,
            "n": int(np.count_nonzero(self.f_squared)),
            "sha256": hashlib.sha256(self._table.tobytes()).hexdigest(),
        }


def wilson_peaks(
    crystal: Crystal,
    d_min: float,
    *,
    seed: int = 0,
    mean: float | None = None,
    b_factor: float = 15.0,
    size: float = 5e-4,
    mosaicity: float = 0.05,
) -> BraggPeaks:
    """Bragg peaks with intensities as random atoms give them (Wilson's statistics).

    |F|² is drawn from an exponential distribution, once for each Laue orbit, and
    is 0 where the space group says absent.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    d_min
        Smallest spacing (Å).
    seed
        Of the random numbers.
    mean
        Mean |F|² at rest (e² per cell); by default 0.6 e²/Å³ times the volume of
        the cell, about that of a protein crystal.
    b_factor
        Mean B (Å²): ⟨|F|²⟩ falls as exp(−B s²/2).
    size, mosaicity
        Widths of the peaks, see :class:`BraggPeaks`.

    Raises
    ------
    InputError
        If the cell does not have the symmetry of the space group.
    """
    check_metric(crystal)
    grid, hkl, s_squared = _box(crystal, d_min)
    unique, orbit = np.unique(map_to_asu(crystal, hkl), axis=0, return_inverse=True)
    level = 0.6 * crystal.volume if mean is None else mean
    drawn = level * np.random.default_rng([seed, 3]).exponential(size=len(unique))
    drawn *= np.exp(-b_factor * crystal.s_squared(unique) / 2)
    f_squared = drawn[orbit.reshape(-1)]
    return _peaks(crystal, grid, hkl, s_squared, d_min, f_squared, size, mosaicity)


def model_peaks(
    crystal: Crystal,
    element: Sequence[str],
    coord: Float[np.ndarray, "n_atoms 3"],
    occupancy: Float[np.ndarray, " n_atoms"],
    b_factor: Float[np.ndarray, " n_atoms"],
    d_min: float,
    *,
    size: float = 5e-4,
    mosaicity: float = 0.05,
) -> BraggPeaks:
    """Bragg peaks of a model: |F|² of its atoms and their symmetry mates, without solvent.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    element, coord, occupancy, b_factor
        The atoms of one asymmetric unit (Å, Å²).
    d_min
        Smallest spacing (Å).
    size, mosaicity
        Widths of the peaks, see :class:`BraggPeaks`.
    """
    from unstill.scattering import Scatterers, make_engine

    grid, hkl, s_squared = _box(crystal, d_min)
    frac = crystal.fractional(np.asarray(coord, dtype=float))
    operations = list(crystal.group.operations())
    mates = np.concatenate(
        [frac @ (np.array(op.rot) / op.DEN).T + np.array(op.tran) / op.DEN for op in operations]
    )
    n = len(operations)
    atoms = Scatterers(
        element=list(element) * n, occupancy=np.tile(occupancy, n), b_factor=np.tile(b_factor, n)
    )
    p1 = Crystal(crystal.unit_cell, "P 1")
    f = make_engine(p1, hkl, atoms, tolerance=1e-4).structure_factors(mates)
    f_squared = np.abs(np.asarray(f, dtype=complex)) ** 2
    # Mates agree to the tolerance of the engine; make them agree to the last bit.
    orbit = np.unique(map_to_asu(crystal, hkl), axis=0, return_inverse=True)[1].reshape(-1)
    mean = np.bincount(orbit, f_squared) / np.bincount(orbit)
    return _peaks(crystal, grid, hkl, s_squared, d_min, mean[orbit], size, mosaicity)


def _box(crystal: Crystal, d_min: float) -> tuple[HklGrid, np.ndarray, np.ndarray]:
    grid = HklGrid.covering(crystal, d_min)
    hkl = grid.index().reshape(-1, 3)
    return grid, hkl, crystal.s_squared(hkl)


def _peaks(
    crystal: Crystal,
    grid: HklGrid,
    hkl: np.ndarray,
    s_squared: np.ndarray,
    d_min: float,
    f_squared: np.ndarray,
    size: float,
    mosaicity: float,
) -> BraggPeaks:
    absent = crystal.group.operations().systematic_absences(hkl.astype(np.int32))
    hidden = np.asarray(absent, dtype=bool) | (s_squared > 1 / d_min**2) | (s_squared == 0)
    table = np.where(hidden, 0.0, f_squared).reshape(grid.shape)
    return BraggPeaks(crystal, grid.start, table, size=size, mosaicity=mosaicity)


@kernel
def _add_bragg(
    out: np.ndarray,
    s: np.ndarray,
    matrices: np.ndarray,
    middle: np.ndarray,
    to_s: np.ndarray,
    table: np.ndarray,
    start: np.ndarray,
    size: float,
    spread: float,
    travel: float,
    weight: float,
) -> None:
    n0, n1, n2 = table.shape
    steps = len(matrices)
    norm = (2 * math.pi) ** 1.5
    for n in range(len(out)):
        x, y, z = s[n, 0], s[n, 1], s[n, 2]
        h = middle[0, 0] * x + middle[0, 1] * y + middle[0, 2] * z
        k = middle[1, 0] * x + middle[1, 1] * y + middle[1, 2] * z
        l = middle[2, 0] * x + middle[2, 1] * y + middle[2, 2] * z
        i, j, m = round(h), round(k), round(l)
        length2 = x * x + y * y + z * z
        d0, d1, d2 = h - i, k - j, l - m
        ox = d0 * to_s[0, 0] + d1 * to_s[1, 0] + d2 * to_s[2, 0]
        oy = d0 * to_s[0, 1] + d1 * to_s[1, 1] + d2 * to_s[2, 1]
        oz = d0 * to_s[0, 2] + d1 * to_s[1, 2] + d2 * to_s[2, 2]
        # Nearly every pixel is far from a peak in all steps; 1.1: |s| of the pixel and the node.
        wide = math.sqrt(size * size + spread * spread * length2 * 1.1)
        near = 6.0 * wide + travel * math.sqrt(length2)
        if ox * ox + oy * oy + oz * oz > near * near:
            continue
        total = 0.0
        for step in range(steps):
            matrix = matrices[step]
            h = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z
            k = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z
            l = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z
            i, j, m = round(h), round(k), round(l)
            a, b, c = int(i) - start[0], int(j) - start[1], int(m) - start[2]
            if not (0 <= a < n0 and 0 <= b < n1 and 0 <= c < n2):
                continue
            strength = table[a, b, c]
            if strength == 0.0:
                continue
            d0, d1, d2 = h - i, k - j, l - m
            ox = d0 * to_s[0, 0] + d1 * to_s[1, 0] + d2 * to_s[2, 0]
            oy = d0 * to_s[0, 1] + d1 * to_s[1, 1] + d2 * to_s[2, 1]
            oz = d0 * to_s[0, 2] + d1 * to_s[1, 2] + d2 * to_s[2, 2]
            nx = i * to_s[0, 0] + j * to_s[1, 0] + m * to_s[2, 0]
            ny = i * to_s[0, 1] + j * to_s[1, 1] + m * to_s[2, 1]
            nz = i * to_s[0, 2] + j * to_s[1, 2] + m * to_s[2, 2]
            node2 = nx * nx + ny * ny + nz * nz
            dot = ox * nx + oy * ny + oz * nz
            along2 = dot * dot / max(node2, 1e-24)
            across2 = ox * ox + oy * oy + oz * oz - along2
            wide2 = size * size + spread * spread * node2
            exponent = along2 / (size * size) + across2 / wide2
            if exponent < 36.0:
                total += strength * math.exp(-exponent / 2) / (norm * size * wide2)
        out[n] += weight * total / steps
