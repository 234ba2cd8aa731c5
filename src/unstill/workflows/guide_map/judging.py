"""What an ensemble is worth: fit by residue, held-out terms, geometry, clashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Ensemble
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import GuidedModel
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Float, Int
from unstill.validation.clashscore import find_clashes
from unstill.validation.geometry import angle_deviations, bond_deviations, chirality_flips
from unstill.validation.real_space import correlate_segments
from unstill.validation.residue_conformers import residue_numbers
from unstill.validation.riding_hydrogens import add_riding_hydrogens


@dataclass(frozen=True, eq=False)
class Judged:
    """Figures of one ensemble.

    Parameters
    ----------
    work, held
        Correlation with the map around the model, of terms seen and of terms held out.
    rscc
        ``(n_residues,)`` real-space correlation of every residue of the model.
    rmsf
        ``(n_residues,)`` Å, spread of its atoms about their mean.
    bond_rmsd, angle_rmsd
        Å and degrees, over all members.
    flips
        Centres of the wrong hand, over all members.
    clashscore
        Mean over members, by weight, with riding hydrogens.
    """

    work: float
    held: float
    rscc: Float[np.ndarray, " n_residues"]
    rmsf: Float[np.ndarray, " n_residues"]
    bond_rmsd: float
    angle_rmsd: float
    flips: int
    clashscore: float

    @property
    def gap(self) -> float:
        """Work minus held: what was fitted and is not there."""
        return self.work - self.held


def judge(model: GuidedModel, data: DensityObservable, state: EnsembleState) -> Judged:
    """Judge an ensemble of a guided model against its map, all members with their weights."""
    work, held = data.agreement(state)
    observed, calculated = densities(data, state)
    residue = residues_of(model)
    agreement = correlate_segments(
        observed.values, calculated.values, observed.crystal, state.coord, residue
    )
    mean = np.tensordot(state.weights, state.coord, 1)
    square = (state.weights[:, None, None] * (state.coord - mean) ** 2).sum(axis=(0, 2))
    rmsf = np.sqrt(np.bincount(residue, square) / np.bincount(residue))
    r = model.restraints
    bonds = bond_deviations(state.coord, r.bonds, r.lengths)
    angles = angle_deviations(state.coord, r.angles, r.angle_targets)
    flips = chirality_flips(state.coord, r.chirals, r.volumes)
    return Judged(
        work,
        held,
        np.array([one.correlation for one in agreement]),
        rmsf,
        float(np.sqrt(np.mean(bonds**2))) if bonds.size else 0.0,
        float(np.sqrt(np.mean(angles**2))) if angles.size else 0.0,
        int(flips.sum()),
        clashscore(model.with_members(state.coord, state.weights, state.b_factor)),
    )


def clashscore(ensemble: Ensemble) -> float:
    """Clashes per thousand atoms, mean over members by weight, with riding hydrogens."""
    return float(clashes_of(ensemble) @ ensemble.weights)


def clashes_of(ensemble: Ensemble) -> Float[np.ndarray, " n_members"]:
    """Clashes per thousand atoms of every member, with riding hydrogens."""
    found: np.ndarray = find_clashes(add_riding_hydrogens(ensemble)).score
    return found


def densities(data: DensityObservable, state: EnsembleState) -> tuple[DensityMap, DensityMap]:
    """Map and model density at the resolution of the map, on one grid."""
    f = data.structure_factors(state)
    synthesis = Synthesis(data.crystal, data.d_min)
    observed = synthesis.density(data.target_terms)
    return DensityMap(data.crystal, observed), DensityMap(data.crystal, synthesis.density(f))


def residues_of(model: GuidedModel) -> Int[np.ndarray, " n_atoms"]:
    """``(n_atoms,)`` number of the residue of each atom, from 0."""
    return residue_numbers(model.atoms)
