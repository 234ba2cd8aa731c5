"""The average structure of a model crystal, and its transform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import biotite.structure
import numpy as np
from scipy.interpolate import CubicSpline

from unstill.crystal import Crystal
from unstill.crystal.displacement import cartesian_rotation, u_iso_from_u_aniso
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.supercell import supercell, symmetry_operations
from unstill.ensembles import Ensemble
from unstill.ensembles.selection import atom_mask
from unstill.errors import InputError
from unstill.scattering.engine import make_engine
from unstill.scattering.form_factors import form_factors
from unstill.scattering.scatterers import Scatterers
from unstill.shapes import Complex, Coord, Float, Integer, Matrix3, PerAtom
from unstill.units import EIGHT_PI_SQUARED, u_from_b

Adp = Literal["excess", "none", "full"]
"""What of the refined displacements the average structure keeps; see :class:`ModelAtoms`."""

Bodies = Literal["asu", "chain"]
"""What moves as one: the asymmetric unit, or each chain of it."""

REFERENCE_QUANTILE = 0.25
"""ADPs below this quantile count as fully explained by the model of motion."""

TOLERANCE = 5e-5
"""Relative error of structure factors, small beside what any model of motion gets right."""


@dataclass(frozen=True, eq=False)
class ModelAtoms:
    r"""Average structure of the asymmetric unit, with what the model of motion leaves over.

    All members and alternate locations become atoms of one average structure
    (occupancy times weight). Each keeps a mean-square displacement
    :math:`U_j` that is *independent* of every other atom. The model of motion
    adds its own displacement to that, so the total of atom j is
    :math:`\sigma^2 + U_j`.

    - ``adp="excess"`` (default): :math:`U_j = \max(U_j^\mathrm{refined} - U_\mathrm{ref}, 0)`
      with :math:`U_\mathrm{ref}` the lower quartile. What the better-ordered
      atoms have in common is left to the model of motion; what an atom moves
      beyond that is its own. Where all B are equal this is ``"none"``.
    - ``adp="none"``: :math:`U_j = 0`, atoms at rest but for the model.
    - ``adp="full"``: the refined value.

    Anisotropic displacements enter as their isotropic equivalent.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    annotations
        biotite annotations of the atoms.
    coord
        ``(n_atoms, 3)`` Cartesian, Å.
    occupancy
        ``(n_atoms,)``.
    u_iso
        ``(n_atoms,)`` independent mean-square displacements U_j (Å²).
    bodies
        ``(n_atoms,)`` number of the rigid (or confined) body of each atom.
    """

    crystal: Crystal
    annotations: biotite.structure.AtomArray
    coord: Coord
    occupancy: PerAtom
    u_iso: PerAtom
    bodies: Integer[np.ndarray, " n_atoms"]

    @classmethod
    def of(
        cls,
        structure: Ensemble,
        *,
        adp: Adp = "excess",
        waters: bool = True,
        bodies: Bodies = "asu",
    ) -> ModelAtoms:
        """Take the average structure of an ensemble.

        Parameters
        ----------
        structure
            With a crystal; the asymmetric unit.
        adp
            See the class.
        waters
            Keep ordered waters. They are part of the average structure that
            moves, and the agreement with measured maps is better with them.
        bodies
            What moves as one in the rigid and confined models.

        Raises
        ------
        InputError
            If there is no crystal, an option is unknown, or no atom is left.
        """
        if structure.crystal is None:
            raise InputError(
                "the model has no crystal",
                found="neither unit cell nor space group",
                fix="give a file with CRYST1, or --unit-cell and --space-group",
            )
        _check_choice("adp", adp, get_args(Adp))
        _check_choice("bodies", bodies, get_args(Bodies))
        chosen = np.ones(structure.n_atoms, bool) if waters else _not_water(structure)
        kept = structure.select(chosen)
        weighted = kept.weights[:, None] * np.broadcast_to(
            kept.occupancy, (kept.n_members, kept.n_atoms)
        )
        refined = np.broadcast_to(_u_iso(kept), weighted.shape)
        annotations = kept.atoms[np.tile(np.arange(kept.n_atoms), kept.n_members)]
        flat = cls(
            structure.crystal,
            annotations,
            kept.coord.reshape(-1, 3).astype(float),
            weighted.ravel(),
            _independent_u(refined.ravel(), weighted.ravel(), adp),
            _body_numbers(annotations, bodies),
        )
        return flat._present()

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the asymmetric unit."""
        return len(self.occupancy)

    @cached_property
    def rotations(self) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3 3"], int]:
        """Distinct rotations of the space group, fractional and Cartesian, and copies of each."""
        fractional, _ = symmetry_operations(self.crystal)
        distinct = np.array(list({r.tobytes(): r for r in np.rint(fractional)}.values()))
        cartesian = np.array([cartesian_rotation(self.crystal, r) for r in distinct])
        return distinct, cartesian, len(fractional) // len(distinct)

    def operation_rotations(self) -> Float[np.ndarray, "operations 3 3"]:
        """Cartesian rotation of every operation, in the order of ``build_supercell``."""
        fractional, _ = symmetry_operations(self.crystal)
        return np.array([cartesian_rotation(self.crystal, r) for r in fractional])

    def each_body(self) -> Iterator[ModelAtoms]:
        """Yield the bodies of the asymmetric unit one by one."""
        for number in np.unique(self.bodies):
            yield self._only(self.bodies == number)

    def centre(self) -> Float[np.ndarray, "3"]:
        """Mean position (Å), weighted by electrons."""
        weights = self.electrons()
        centre: np.ndarray = weights @ self.coord / weights.sum()
        return centre

    def electrons(self) -> PerAtom:
        """Electrons of each atom, times occupancy."""
        names, kind = np.unique(self.element, return_inverse=True)
        at_rest = np.real(form_factors(names, np.zeros(1)))[:, 0]
        electrons: np.ndarray = at_rest[kind] * self.occupancy
        return electrons

    @property
    def element(self) -> np.ndarray:
        """``(n_atoms,)`` element symbols, upper case."""
        return np.char.upper(np.asarray(self.annotations.element, dtype=str))

    def self_scattering(self, s_squared: Float[np.ndarray, "*points"]) -> np.ndarray:
        r"""Σ o² f² e^{−q²U} over the unit cell (e²): each atom with itself, partly at rest."""
        return self._radial(s_squared, lambda q2u: np.exp(-q2u))

    def independent_scattering(self, s_squared: Float[np.ndarray, "*points"]) -> np.ndarray:
        r"""Σ o² f² (1 − e^{−q²U}) over the unit cell (e²): diffuse scattering of the U_j alone."""
        if not self.u_iso.any():
            return np.zeros(np.shape(s_squared))
        return self._radial(s_squared, lambda q2u: -np.expm1(-q2u))

    def cell_transform(
        self, index: Integer[np.ndarray, "points 3"]
    ) -> Complex[np.ndarray, " points"]:
        """F of the average unit cell (electrons) at whole Miller indices."""
        rotations, translations = symmetry_operations(self.crystal)
        frac = self.crystal.fractional(self.coord)
        mates = [frac @ r.T + t for r, t in zip(rotations, translations, strict=True)]
        scatterers = Scatterers(
            element=np.tile(self.element, len(mates)),
            occupancy=np.tile(self.occupancy, len(mates)),
            b_factor=np.tile(self.u_iso * EIGHT_PI_SQUARED, len(mates)),
        )
        engine = make_engine(
            supercell(self.crystal, (1, 1, 1)), index, scatterers, tolerance=TOLERANCE
        )
        f_calc: np.ndarray = np.asarray(engine.structure_factors(np.concatenate(mates)))
        return f_calc

    def molecular_transforms(
        self,
        index: Integer[np.ndarray, "points 3"],
        divisions: Triple,
        *,
        moments: bool = False,
    ) -> Iterator[tuple[Matrix3, Complex[np.ndarray, "transforms points"]]]:
        r"""Transform of one molecule at fractional hkl, once for each distinct rotation.

        Parameters
        ----------
        index, divisions
            Points; hkl = index / divisions.
        moments
            Also the first moments :math:`\sum_j f_j \mathbf r_j e^{i q r_j}`, in
            the molecule's own frame, r from :meth:`centre`.

        Yields
        ------
        rotation
            Cartesian rotation M of this mate; the molecule sees q_m = Mᵀq.
        transforms
            ``(1, n)``: F_m in electrons, or ``(4, n)`` with the moments
            (electrons Å).
        """
        about_centre = self.coord - self.centre()
        strengths = [np.ones(self.n_atoms), *about_centre.T] if moments else [np.ones(1)]
        cell = supercell(self.crystal, divisions)
        engines = [
            make_engine(
                cell,
                index,
                Scatterers(
                    element=self.element,
                    occupancy=self.occupancy * strength,
                    b_factor=self.u_iso * EIGHT_PI_SQUARED,
                ),
                tolerance=TOLERANCE,
            )
            for strength in strengths
        ]
        for cartesian in self.rotations[1]:
            frac = cell.fractional(about_centre @ cartesian.T)
            yield cartesian, np.array([engine.structure_factors(frac) for engine in engines])

    def _radial(
        self, s_squared: np.ndarray, damping: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        # A smooth function of s² alone: exact at nodes, splined between them.
        nodes = np.linspace(0.0, float(np.max(s_squared)) * (1 + 1e-12) + 1e-12, 257)
        names, kind = np.unique(self.element, return_inverse=True)
        squares = np.real(form_factors(names, nodes)) ** 2
        damped = damping(4 * np.pi**2 * nodes[:, None] * self.u_iso) * self.occupancy**2
        total = np.zeros(len(nodes))
        for number in range(len(names)):
            total += squares[number] * damped[:, kind == number].sum(axis=1)
        curve: np.ndarray = CubicSpline(nodes, total * self.crystal.n_operations)(s_squared)
        return curve

    def _present(self) -> ModelAtoms:
        kept = self.occupancy != 0
        if not kept.any():
            raise InputError(
                "no atom of the model is left", found="0 atoms", fix="check the selection"
            )
        return self._only(kept)

    def _only(self, chosen: np.ndarray) -> ModelAtoms:
        return replace(
            self,
            annotations=self.annotations[chosen],
            coord=self.coord[chosen],
            occupancy=self.occupancy[chosen],
            u_iso=self.u_iso[chosen],
            bodies=self.bodies[chosen],
        )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(
            f"unknown choice of {name}", found=repr(value), fix=f"one of {', '.join(allowed)}"
        )


def _not_water(structure: Ensemble) -> np.ndarray:
    try:
        return ~atom_mask(structure.atoms, "water")
    except InputError:
        # There is no water.
        return np.ones(structure.n_atoms, bool)


def _u_iso(structure: Ensemble) -> np.ndarray:
    u_iso: np.ndarray = u_from_b(np.asarray(structure.b_factor, dtype=float))
    if structure.u_aniso is None:
        return u_iso
    anisotropic = u_iso_from_u_aniso(structure.u_aniso)
    merged: np.ndarray = np.where(np.isfinite(anisotropic), anisotropic, u_iso)
    return merged


def _independent_u(refined: np.ndarray, occupancy: np.ndarray, adp: Adp) -> np.ndarray:
    if adp == "none":
        return np.zeros(len(refined))
    if adp == "full":
        return refined.copy()
    present = refined[occupancy > 0]
    reference = float(np.quantile(present, REFERENCE_QUANTILE)) if present.size else 0.0
    return np.maximum(refined - reference, 0.0)


def _body_numbers(annotations: biotite.structure.AtomArray, bodies: Bodies) -> np.ndarray:
    if bodies == "asu":
        return np.zeros(annotations.array_length(), dtype=np.int64)
    _, numbers = np.unique(annotations.chain_id, return_inverse=True)
    return numbers.astype(np.int64)
