"""Structure factors of an ensemble and of the solvent around it, at measured reflections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.ensembles.supercell import expand_to_cell
from unstill.errors import InputError
from unstill.scattering import Scatterers, make_engine
from unstill.scattering.solvent import (
    solvent_grid,
    solvent_mask,
    solvent_structure_factors,
)
from unstill.shapes import Complex, HklIndex

_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class ModelAmplitudes:
    """What a model contributes to the reflections, not scaled yet.

    Parameters
    ----------
    f_calc
        ``(n,)`` ⟨F⟩ of the atoms of one unit cell (electrons), mean over members by weight.
    f_mask
        ``(n,)`` ⟨F⟩ of bulk solvent of one electron per Å³.
    solvent_fraction
        Share of the cell that is bulk solvent.
    """

    f_calc: Complex[np.ndarray, " points"]
    f_mask: Complex[np.ndarray, " points"]
    solvent_fraction: float


def model_amplitudes(
    ensemble: Ensemble,
    hkl: HklIndex,
    *,
    crystal: Crystal | None = None,
    probe_radius: float = 1.11,
    shrink_radius: float = 0.9,
) -> ModelAmplitudes:
    """Calculate F of the atoms and of the solvent around each member.

    Every member has a mask of its own, and masks are averaged as densities are.

    Parameters
    ----------
    ensemble
        Members; alternate locations are atoms with occupancies. Hydrogens scatter where the
        model has them and do not keep solvent out.
    hkl
        ``(n, 3)`` Miller indices, (0, 0, 0) not among them.
    crystal
        Cell and space group of the measurement; those of the ensemble by default.
    probe_radius, shrink_radius
        Of the solvent mask (Å).

    Raises
    ------
    InputError
        If there is no crystal, the space groups differ, or no reflection is given.
    """
    crystal = _crystal_of(ensemble, crystal, hkl)
    ensemble = ensemble.replace(crystal=crystal)
    shape = solvent_grid(crystal, float(crystal.d(hkl).min()))
    cell = expand_to_cell(ensemble)
    assert cell.crystal is not None  # expand_to_cell refuses a structure without
    f_calc = np.zeros(len(hkl), dtype=complex)
    mask = np.zeros(shape)
    for number, weight in enumerate(ensemble.weights):
        if weight == 0:
            continue
        member = cell.member(number)
        scatterers = Scatterers(member.element, member.occupancy, member.b_factor, member.u_aniso)
        engine = make_engine(cell.crystal, hkl, scatterers, tolerance=_TOLERANCE)
        frac = crystal.fractional(member.coord[0].astype(float))
        f_calc += weight * np.asarray(engine.structure_factors(frac))
        mask += weight * solvent_mask(
            crystal,
            ensemble.coord[number],
            ensemble.element,
            shape,
            probe_radius=probe_radius,
            shrink_radius=shrink_radius,
        )
    f_mask = solvent_structure_factors(crystal, mask, hkl)
    return ModelAmplitudes(f_calc, f_mask, float(mask.mean()))


def _crystal_of(ensemble: Ensemble, crystal: Crystal | None, hkl: np.ndarray) -> Crystal:
    own = ensemble.crystal
    if crystal is None:
        crystal = own
    if crystal is None:
        raise InputError(
            "the model has no crystal, so its atoms have no amplitudes",
            found="neither unit cell nor space group",
            fix="give crystal=, that of the measurement",
        )
    if own is not None and own.space_group != crystal.space_group:
        raise InputError(
            "the model and the measurement differ in space group",
            found=f"{own.space_group} and {crystal.space_group}",
            fix="reindex the measurement, or place the model in its space group",
        )
    if len(hkl) == 0 or not hkl.any(axis=1).all():
        raise InputError(
            "amplitudes are compared at reflections",
            found=f"{len(hkl)} indices, {int((~hkl.any(axis=1)).sum())} of them (0, 0, 0)",
            fix="give Miller indices of measured reflections",
        )
    return crystal
