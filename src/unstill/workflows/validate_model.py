"""All scores of one model and its data, and their summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.ensembles import Ensemble
from unstill.maps.amplitudes import Amplitudes
from unstill.maps.density_map import DensityMap
from unstill.shapes import Bool
from unstill.validation.altloc_copies import AltlocCopy, altloc_copies
from unstill.validation.data_scores import (
    AmplitudeScores,
    MapScores,
    score_amplitudes,
    score_in_map,
)
from unstill.validation.geometry_scores import (
    GeometryScores,
    RestraintTargets,
    score_geometry,
)
from unstill.validation.model_scores import ModelScores, score_model
from unstill.validation.residue_scores import ResidueProblems, worst_residues
from unstill.validation.residue_table import atom_label, rows_of
from unstill.validation.spread import Spread, ensemble_spread


@dataclass(frozen=True, eq=False)
class StateScores:
    """One altloc label as a whole copy.

    Parameters
    ----------
    copy
        Its atoms.
    occupancy
        Mean over the atoms of the label.
    scores
        Of the copy.
    """

    copy: AltlocCopy
    occupancy: float
    scores: ModelScores


@dataclass(frozen=True, eq=False)
class ModelValidation:
    """What was found about a model.

    Parameters
    ----------
    ensemble
        The model as given.
    scores
        Of its coordinates.
    states
        One an altloc label.
    geometry
        Bonds, angles, hands and planes; ``None`` without restraints.
    spread
        Over members; ``None`` for a single one.
    amplitudes, map
        Agreement with data; ``None`` where none was given.
    worst
        Residues with a problem.
    """

    ensemble: Ensemble
    scores: ModelScores
    states: tuple[StateScores, ...]
    geometry: GeometryScores | None
    spread: Spread | None
    amplitudes: AmplitudeScores | None
    map: MapScores | None
    worst: tuple[ResidueProblems, ...]

    def summary(self) -> dict[str, Any]:
        """Return everything as plain values, for ``--json``."""
        from unstill.workflows.validation_summary import summary_of

        return summary_of(self)


def validate_model(
    ensemble: Ensemble,
    *,
    selected: Bool[np.ndarray, " n_atoms"] | None = None,
    restraints: RestraintTargets | None = None,
    amplitudes: Amplitudes | None = None,
    density: DensityMap | None = None,
    d_min: float | None = None,
    electron: bool = False,
    keep_hydrogens: bool = False,
) -> ModelValidation:
    """Judge a model, and hold it against its data.

    Parameters
    ----------
    ensemble
        Members, alternate locations included; members count by weight.
    selected
        ``(n_atoms,)``: only residues with one of these atoms are judged. All by default.
    restraints
        Targets of the covalent geometry of these atoms; not judged without.
    amplitudes
        Measured; R is of the whole model.
    density
        Density map; without one, residues are held against a map of the amplitudes.
    d_min
        Resolution of the map (Å); that of the amplitudes by default.
    electron
        The map is one of electrons.
    keep_hydrogens
        Judge the hydrogens of the model in place of riding ones.

    Raises
    ------
    InputError
        If the data are of another crystal or frame, or nothing is selected.
    """
    scores = score_model(ensemble, selected, keep_hydrogens=keep_hydrogens)
    copies = altloc_copies(ensemble)
    row = rows_of(ensemble, scores.residues)
    chosen = scores.chosen[row]
    names = [atom_label(ensemble, atom).rpartition("/")[2] for atom in range(ensemble.n_atoms)]
    against = None if amplitudes is None else score_amplitudes(ensemble, amplitudes)
    found = None
    if density is None and against is not None and amplitudes is not None:
        density = against.map
        d_min = float(amplitudes.crystal.d(amplitudes.hkl).min())
    if density is not None and d_min is not None:
        counted = np.where(chosen, row, -1)
        found = score_in_map(
            ensemble,
            density,
            d_min,
            counted,
            n_residues=scores.residues.n,
            copies=copies,
            selected=chosen,
            electron=electron,
        )
    geometry = None
    if restraints is not None:
        geometry = score_geometry(ensemble.coord, restraints.of_atoms(chosen))
    return ModelValidation(
        ensemble,
        scores,
        tuple(_state(ensemble, copy, selected, keep_hydrogens) for copy in copies),
        geometry,
        ensemble_spread(ensemble, chosen) if ensemble.n_members > 1 else None,
        against,
        found,
        tuple(
            worst_residues(
                scores,
                None if found is None else found.residue_rscc,
                None if geometry is None else geometry.problems(ensemble.weights, row, names),
            )
        ),
    )


def _state(
    ensemble: Ensemble, copy: AltlocCopy, selected: np.ndarray | None, keep_hydrogens: bool
) -> StateScores:
    whole = ensemble.select(copy.whole)
    # The label is chosen: in a copy there is nothing that it could exclude.
    whole.atoms.altloc_id[:] = ""
    mine = None if selected is None else np.asarray(selected)[copy.whole]
    shape = (ensemble.n_members, ensemble.n_atoms)
    occupancy = ensemble.weights @ np.broadcast_to(ensemble.occupancy, shape)
    full = whole.replace(occupancy=np.ones(whole.n_atoms))
    return StateScores(
        copy,
        float(occupancy[copy.own].mean()),
        score_model(full, mine, keep_hydrogens=keep_hydrogens),
    )
