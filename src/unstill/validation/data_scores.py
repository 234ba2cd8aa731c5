r"""A model against its data: amplitudes, or a density map, as a whole and residue by residue.

Where only amplitudes are measured, residues are compared with the map of
:math:`(2|F_{obs}| - |F_{model}|)\,e^{i\varphi_{model}}`, unweighted. Its phases are those of the
model, so that it flatters the model; low values in it are to be taken seriously, high ones less.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.same_lattice import same_lattice
from unstill.diffuse.density import ensemble_structure_factors
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.maps.amplitudes import Amplitudes
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Bool, Complex, Float, HklIndex, Int
from unstill.validation.altloc_copies import AltlocCopy
from unstill.validation.amplitude_fit import AmplitudeFit, fit_amplitudes
from unstill.validation.model_amplitudes import model_amplitudes
from unstill.validation.real_space import (
    correlate_density,
    correlate_segments,
    voxels_near,
)


@dataclass(frozen=True)
class StateAgreement:
    """How the atoms of one altloc label agree with what the others leave of a map.

    Parameters
    ----------
    label
        Altloc.
    n_atoms
        Atoms of that label.
    occupancy
        Their mean occupancy.
    rscc
        Correlation with the map less the density of all other atoms, on the map's scale.
    """

    label: str
    n_atoms: int
    occupancy: float
    rscc: float


@dataclass(frozen=True, eq=False)
class MapScores:
    """A model in a map.

    Parameters
    ----------
    d_min
        Resolution (Å) to which both densities were taken.
    rscc
        Correlation over the voxels near the chosen atoms.
    residue_rscc
        ``(n_residues,)``; NaN where nothing is known.
    states
        One a label; empty where the model has none.
    scale
        Map per density of the model (least squares near the atoms).
    n_unknown
        Atoms where the map has no value.
    """

    d_min: float
    rscc: float
    residue_rscc: Float[np.ndarray, " n_residues"]
    states: tuple[StateAgreement, ...]
    scale: float
    n_unknown: int


def score_in_map(
    ensemble: Ensemble,
    target: DensityMap,
    d_min: float,
    residue: Int[np.ndarray, " n_atoms"],
    *,
    n_residues: int | None = None,
    copies: list[AltlocCopy] | None = None,
    selected: Bool[np.ndarray, " n_atoms"] | None = None,
    electron: bool = False,
) -> MapScores:
    """Correlate the density of an ensemble with a map, residue by residue and state by state.

    Parameters
    ----------
    ensemble
        In the frame of the map; members count by weight.
    target
        Density over the cell, any scale.
    d_min
        Resolution of the map (Å).
    residue
        ``(n_atoms,)`` row of the residue of each atom; −1 for none.
    n_residues
        Number of rows; by default as many as there are atoms of.
    copies
        Labels that are judged one by one.
    selected
        ``(n_atoms,)`` atoms around which the whole is compared. All by default.
    electron
        Scattering of electrons.

    Raises
    ------
    InputError
        If the map is of another crystal, too coarse for the resolution, or not where the
        model is.
    """
    crystal = shared_crystal(ensemble, target.crystal)
    ensemble = ensemble.replace(crystal=crystal)
    synthesis = Synthesis(crystal, d_min, target.shape)
    known = target.known
    mean = float(target.values[known].mean(dtype=float))
    f_map = synthesis.structure_factors(np.where(known, target.values, mean).astype(float))
    observed = synthesis.density(f_map)
    observed[~known] = np.nan
    f_model = ensemble_structure_factors(ensemble, synthesis, electron=electron)
    model = synthesis.density(f_model)
    n_unknown = _unknown_atoms(ensemble, crystal, known)
    chosen = np.ones(ensemble.n_atoms, dtype=bool) if selected is None else selected
    whole = correlate_density(observed, model, crystal, ensemble.coord[:, chosen])
    if n_unknown == ensemble.n_atoms or not whole.n_voxels:
        raise InputError(
            "the map knows nothing where the model is",
            found=f"{n_unknown} of {ensemble.n_atoms} atoms at voxels without a value",
            fix="check that map and model stand in the same frame",
        )
    near = voxels_near(crystal, synthesis.shape, ensemble.coord)
    scale, constant = _scaled(observed[near], model[near])
    by_residue = correlate_segments(observed, model, crystal, ensemble.coord, residue)
    by_row = np.full(len(by_residue) if n_residues is None else n_residues, np.nan)
    by_row[: len(by_residue)] = [one.correlation for one in by_residue]
    states = []
    shape = (ensemble.n_members, ensemble.n_atoms)
    occupancy = ensemble.weights @ np.broadcast_to(ensemble.occupancy, shape)
    for copy in copies or []:
        own = ensemble.select(copy.own)
        alone = synthesis.density(ensemble_structure_factors(own, synthesis, electron=electron))
        found = correlate_density(
            (observed - constant) / scale if scale > 0 else observed,
            alone,
            crystal,
            own.coord,
            rest=model - alone,
            radius=1.5,
        )
        states.append(
            StateAgreement(
                copy.label,
                int(copy.own.sum()),
                float(occupancy[copy.own].mean()),
                found.correlation,
            )
        )
    return MapScores(
        d_min,
        whole.correlation,
        by_row,
        tuple(states),
        scale,
        n_unknown,
    )


@dataclass(frozen=True, eq=False)
class AmplitudeScores:
    """A model against measured amplitudes.

    Parameters
    ----------
    fit
        Scales, R values, shells.
    solvent_fraction
        Share of the cell that is bulk solvent.
    map
        2Fo − Fc with the phases of the model.
    """

    fit: AmplitudeFit
    solvent_fraction: float
    map: DensityMap


def score_amplitudes(ensemble: Ensemble, observed: Amplitudes) -> AmplitudeScores:
    """Fit scales and solvent to measured amplitudes, and make a map of them.

    Parameters
    ----------
    ensemble
        Members count by weight; each has a solvent mask of its own.
    observed
        Measured, with free flags.

    Raises
    ------
    InputError
        If the measurement is of another crystal, or too small.
    """
    crystal = shared_crystal(ensemble, observed.crystal)
    ensemble = ensemble.replace(crystal=crystal)
    calculated = model_amplitudes(ensemble, observed.hkl, crystal=crystal)
    fit = fit_amplitudes(observed, calculated.f_calc, calculated.f_mask)
    amplitude = np.abs(fit.f_model)
    phase = np.where(amplitude > 0, fit.f_model / np.maximum(amplitude, 1e-30), 0)
    # Free reflections must not tell by way of the map: they stand as the model has them.
    best = np.where(observed.free, amplitude, 2 * observed.f_obs - amplitude) * phase
    d_min = float(observed.crystal.d(observed.hkl).min())
    synthesis = Synthesis(crystal, d_min)
    values = synthesis.density(expand_terms(crystal, observed.hkl, best, synthesis))
    return AmplitudeScores(fit, calculated.solvent_fraction, DensityMap(crystal, values))


def expand_terms(
    crystal: Crystal,
    hkl: HklIndex,
    f: Complex[np.ndarray, " points"],
    synthesis: Synthesis,
) -> Complex[np.ndarray, " terms"]:
    r"""F at all terms of a synthesis from F of one of each orbit; zero where none is given.

    .. math:: F(hR) = e^{-2\pi i\,h\cdot t} F(h), \qquad F(-h) = \bar F(h)

    Parameters
    ----------
    crystal
        Gives the operations.
    hkl, f
        ``(n, 3)`` and ``(n,)``.
    synthesis
        The terms.
    """
    index = synthesis.index
    most = np.abs(index).max(axis=0, initial=0)
    table = np.full(2 * most + 1, -1)
    table[tuple((index + most).T)] = np.arange(len(index))
    found = np.zeros(len(index), dtype=complex)
    for operation in crystal.group.operations():
        rotation = np.array(operation.rot) // gemmi.Op.DEN
        shift = np.array(operation.tran) / gemmi.Op.DEN
        mates = np.asarray(hkl) @ rotation
        shifted = f * np.exp(-2j * np.pi * (np.asarray(hkl) @ shift))
        for sign, value in ((1, shifted), (-1, shifted.conj())):
            inside = (np.abs(mates) <= most).all(axis=1)
            place = table[tuple((sign * mates[inside] + most).T)]
            found[place[place >= 0]] = value[inside][place >= 0]
    return found


def shared_crystal(ensemble: Ensemble, crystal: Crystal) -> Crystal:
    """Crystal of model and data: the cell of the data, the symmetry that both have.

    A model without a crystal takes that of the data. Data in P 1 of the whole cell take the
    symmetry of the model.

    Raises
    ------
    InputError
        If cells or space groups differ.
    """
    own = ensemble.crystal
    if own is None or max(own.unit_cell[:3]) < 2.0:
        # A cell of 1 Å is how PDB files say that there is none.
        return crystal
    if not same_lattice(own, crystal):
        raise InputError(
            "model and data have different unit cells",
            found=f"{_cell(own)} and {_cell(crystal)}",
            fix="give the data that this model was built in",
        )
    if own.space_group == crystal.space_group:
        return crystal
    if crystal.space_group == "P 1":
        return Crystal(crystal.unit_cell, own.space_group)
    raise InputError(
        "model and data have different space groups",
        found=f"{own.space_group} and {crystal.space_group}",
        fix="reindex the data, or place the model in their space group",
    )


def _cell(crystal: Crystal) -> str:
    return ", ".join(f"{value:g}" for value in crystal.unit_cell)


def _scaled(observed: np.ndarray, model: np.ndarray) -> tuple[float, float]:
    known = np.isfinite(observed)
    x, y = model[known], observed[known]
    centred = x - x.mean()
    power = float(centred @ centred)
    scale = float(centred @ y) / power if power > 0 else 0.0
    return scale, float(y.mean() - scale * x.mean())


def _unknown_atoms(ensemble: Ensemble, crystal: Crystal, known: np.ndarray) -> int:
    size = np.array(known.shape)
    frac = crystal.fractional(ensemble.coord[0].astype(float))
    place = np.rint(frac * size).astype(int) % size
    return int((~known[tuple(place.T)]).sum())
