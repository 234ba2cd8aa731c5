r"""Gaussian random displacement fields whose correlation decays with distance.

A periodic box is filled with waves of random amplitude. The variance of the
wave k is the transform of the wanted covariance, Γ(k)/V, and the field is
evaluated at the atoms themselves by a type-2 non-uniform FFT, so nothing is
interpolated. The waves end at a shortest wavelength; the variance of those
left out, some per cent, comes back as displacement of each atom on its own, so
that ⟨u²⟩ = σ² exactly and the error of the correlation sits at distances below
that wavelength.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import finufft
import numpy as np
from scipy.spatial.distance import cdist

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.supercell import lattice_translations, supercell, symmetry_operations
from unstill.disorder.transform import ModelAtoms
from unstill.errors import InputError
from unstill.shapes import Float

_FINEST, _COARSEST = 0.6, 2.0
_DENSE = 3000
"""Up to so many atoms a confined field is drawn from its exact covariance."""

_GAP = 6.0
"""Beyond that, boxes leave 6 γ between a molecule and its image, e⁻⁶ = 0.2 %."""


@dataclass(frozen=True, eq=False)
class PeriodicField:
    """A scalar Gaussian field with covariance σ² e^{−r/γ}, periodic in a box.

    Parameters
    ----------
    box
        P 1 cell in which the field is periodic.
    sigma, gamma
        Root-mean-square value and correlation length (Å).
    frac
        ``(n_points, 3)`` fractional coordinates at which it is evaluated.
    spacing
        Half the shortest wavelength (Å); by default γ/8 between 0.6 and 2 Å.

    Raises
    ------
    InputError
        If the correlation does not die out within the box.
    """

    box: Crystal
    sigma: float
    gamma: float
    frac: Float[np.ndarray, "n_points 3"]
    spacing: float | None = None
    amplitude: Float[np.ndarray, "h k l"] = field(init=False)
    missing_variance: float = field(init=False)

    def __post_init__(self) -> None:
        spacing = self.spacing or float(np.clip(self.gamma / 8, _FINEST, _COARSEST))
        lengths = np.linalg.norm(self.box.orthogonalization_matrix, axis=0)
        half = np.ceil(lengths / (2 * spacing)).astype(int)
        axes = [np.arange(-n, n + 1) for n in half]
        index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        k_squared = 4 * np.pi**2 * self.box.s_squared(index)
        power = 8 * np.pi * self.gamma**3 / (1 + self.gamma**2 * k_squared) ** 2
        power *= self.sigma**2 / self.box.volume
        missing = self.sigma**2 - float(power.sum())
        if missing < 0:
            raise InputError(
                "the correlation length does not fit into the supercell",
                found=f"gamma {self.gamma:g} Å in a box of {self.box.unit_cell[:3]} Å",
                fix="use a larger supercell or a shorter gamma",
            )
        object.__setattr__(self, "amplitude", np.sqrt(power))
        object.__setattr__(self, "missing_variance", missing)

    def draw(
        self, rng: np.random.Generator, n_fields: int
    ) -> Float[np.ndarray, "n_fields n_points"]:
        """Independent fields at the points (Å), without the missing variance."""
        # A complex field holds two independent real ones.
        n_complex = (n_fields + 1) // 2
        shape = (n_complex, *self.amplitude.shape)
        noise = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        angles = 2 * np.pi * (self.frac - np.rint(self.frac))
        x, y, z = np.ascontiguousarray(angles.T)
        waves = finufft.nufft3d2(
            x, y, z, noise * self.amplitude, eps=1e-6, isign=1, nthreads=1
        ).reshape(n_complex, -1)
        fields: np.ndarray = np.concatenate([waves.real, waves.imag])[:n_fields]
        return fields


@dataclass(frozen=True, eq=False)
class FreeField:
    """A scalar Gaussian field with covariance σ² e^{−r/γ} at a few points, exact.

    Parameters
    ----------
    root
        ``(n_points, n_points)`` Cholesky factor of the covariance (Å).
    """

    root: Float[np.ndarray, "n_points n_points"]
    missing_variance: float = 0.0

    @classmethod
    def of(
        cls, coord: Float[np.ndarray, "n_points 3"], *, sigma: float, gamma: float
    ) -> FreeField:
        """Field at points in space (Å)."""
        covariance = np.exp(-cdist(coord, coord) / gamma)
        # Alternate locations may coincide; a trace of variance of their own keeps it definite.
        covariance[np.diag_indices_from(covariance)] += 1e-9
        return cls(sigma * np.linalg.cholesky(covariance))

    def draw(
        self, rng: np.random.Generator, n_fields: int
    ) -> Float[np.ndarray, "n_fields n_points"]:
        """Independent fields at the points (Å)."""
        drawn: np.ndarray = rng.standard_normal((n_fields, len(self.root))) @ self.root.T
        return drawn


@dataclass(frozen=True, eq=False)
class CrystalField:
    """One field through the whole supercell; see :class:`PeriodicField`.

    Parameters
    ----------
    waves
        The field, at all atoms of the supercell.
    own
        ``(n_atoms,)`` variance of each atom's own displacement (Å²): the
        missing variance and the independent part U_j.
    """

    waves: PeriodicField
    own: Float[np.ndarray, " n_atoms"]

    @classmethod
    def of(
        cls, atoms: ModelAtoms, divisions: Triple, *, sigma: float, gamma: float
    ) -> CrystalField:
        """Field on a supercell of ``divisions`` unit cells."""
        box = supercell(atoms.crystal, divisions)
        frac = box.fractional(supercell_coord(atoms, divisions))
        waves = PeriodicField(box, sigma, gamma, frac)
        copies = len(frac) // atoms.n_atoms
        return cls(waves, np.tile(atoms.u_iso, copies) + waves.missing_variance)

    def __call__(self, rng: np.random.Generator) -> Float[np.ndarray, "n_atoms 3"]:
        """One draw (Å)."""
        common = self.waves.draw(rng, 3).T
        moved: np.ndarray = common + independent(rng, self.own)
        return moved


@dataclass(frozen=True, eq=False)
class ConfinedField:
    """A field of its own for each molecule of the supercell.

    Parameters
    ----------
    bodies
        For each body of the asymmetric unit: which atoms, and the field at them.
    n_copies
        Molecules of each kind in the supercell.
    own
        ``(n_asu_atoms,)`` variance of each atom's own displacement (Å²).
    """

    bodies: tuple[tuple[np.ndarray, PeriodicField | FreeField], ...]
    n_copies: int
    own: Float[np.ndarray, " n_asu_atoms"]

    @classmethod
    def of(
        cls, atoms: ModelAtoms, divisions: Triple, *, sigma: float, gamma: float
    ) -> ConfinedField:
        """Exact fields; for large molecules waves in a box that leaves a wide gap."""
        own = atoms.u_iso.copy()
        bodies = []
        for number in np.unique(atoms.bodies):
            chosen = np.flatnonzero(atoms.bodies == number)
            coord = atoms.coord[chosen]
            waves = (
                FreeField.of(coord, sigma=sigma, gamma=gamma)
                if len(chosen) <= _DENSE
                else _boxed(coord, sigma, gamma)
            )
            own[chosen] += waves.missing_variance
            bodies.append((chosen, waves))
        n_copies = int(np.prod(divisions)) * atoms.crystal.n_operations
        return cls(tuple(bodies), n_copies, own)

    def __call__(self, rng: np.random.Generator) -> Float[np.ndarray, "n_atoms 3"]:
        """One draw (Å)."""
        common = np.empty((self.n_copies, len(self.own), 3))
        for chosen, waves in self.bodies:
            drawn = waves.draw(rng, 3 * self.n_copies).reshape(self.n_copies, 3, -1)
            common[:, chosen] = np.swapaxes(drawn, 1, 2)
        own = independent(rng, np.tile(self.own, self.n_copies))
        moved: np.ndarray = common.reshape(-1, 3) + own
        return moved


def _boxed(coord: Float[np.ndarray, "n_points 3"], sigma: float, gamma: float) -> PeriodicField:
    a, b, c = (float(edge) for edge in np.ptp(coord, axis=0) + _GAP * gamma)
    box = Crystal((a, b, c, 90.0, 90.0, 90.0))
    return PeriodicField(box, sigma, gamma, box.fractional(coord - coord.min(axis=0)))


def independent(
    rng: np.random.Generator, variance: Float[np.ndarray, " n_atoms"]
) -> Float[np.ndarray, "n_atoms 3"]:
    """Displacement of each atom on its own (Å), with this variance along each axis (Å²)."""
    drawn: np.ndarray = rng.standard_normal((len(variance), 3)) * np.sqrt(variance)[:, None]
    return drawn


def supercell_coord(atoms: ModelAtoms, divisions: Triple) -> Float[np.ndarray, "n_atoms 3"]:
    """Coordinates (Å) of all atoms of the supercell, in the order of ``build_supercell``."""
    rotations, translations = symmetry_operations(atoms.crystal)
    frac = atoms.crystal.fractional(atoms.coord)
    mates = np.einsum("oij,aj->oai", rotations, frac) + translations[:, None]
    cells = lattice_translations(divisions)[:, None, None, :] + mates
    return atoms.crystal.cartesian(cells.reshape(-1, 3))


def supercell_atoms(atoms: ModelAtoms, divisions: Triple) -> Any:
    """Biotite annotations of all atoms of the supercell."""
    copies = int(np.prod(divisions)) * atoms.crystal.n_operations
    return atoms.annotations[np.tile(np.arange(atoms.n_atoms), copies)]
