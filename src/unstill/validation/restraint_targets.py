"""Targets of the covalent geometry of a model, alternate locations included.

Restraints are found for one whole copy of each altloc (``altloc_copies``) and joined: what
two copies share counts once. Hydrogens are left out; they ride.
"""

from __future__ import annotations

import numpy as np

from unstill.chemistry.restraints import GeometryRestraints, build_restraints
from unstill.ensembles import Ensemble
from unstill.validation.altloc_copies import altloc_copies
from unstill.validation.geometry_scores import RestraintTargets
from unstill.validation.residue_conformers import residue_numbers


def restraint_targets(ensemble: Ensemble) -> tuple[RestraintTargets, tuple[str, ...]]:
    """Find targets from the chemistry of the components; links are those of the first member.

    Parameters
    ----------
    ensemble
        Residues in the order of the chain, their atoms in any; an atom that a residue has
        twice counts once.

    Returns
    -------
    targets
        Of the atoms of the ensemble.
    unknown
        Names of residues without targets.
    """
    copies = [copy.whole for copy in altloc_copies(ensemble)]
    found = [
        _of_copy(ensemble, whole) for whole in copies or [np.ones(ensemble.n_atoms, dtype=bool)]
    ]
    bonds, lengths, bond_sigmas = _joined(
        [(atoms[r.bonds], r.lengths, r.length_sigmas) for r, atoms in found], 2
    )
    angles, targets, angle_sigmas = _joined(
        [(atoms[r.angles], r.angle_targets, r.angle_sigmas) for r, atoms in found], 3
    )
    planes, *_ = _joined(
        [
            (atoms[r.planes], np.zeros(len(r.planes)), np.zeros(len(r.planes)))
            for r, atoms in found
        ],
        4,
    )
    chirals, volumes, _ = _joined(
        [(atoms[r.chirals], r.volumes, np.zeros(len(r.volumes))) for r, atoms in found], 4
    )
    unknown = sorted({name for restraints, _ in found for name in restraints.unknown_residues})
    return (
        RestraintTargets(
            bonds,
            lengths,
            bond_sigmas,
            angles,
            targets,
            angle_sigmas,
            list(planes),
            chirals,
            volumes,
        ),
        tuple(unknown),
    )


def _of_copy(ensemble: Ensemble, whole: np.ndarray) -> tuple[GeometryRestraints, np.ndarray]:
    """Restraints of one copy, and the atoms of the ensemble that its own stand for."""
    atoms = ensemble.atoms
    chosen = np.flatnonzero(whole & ~np.isin(ensemble.element, ["H", "D"]))
    residue = residue_numbers(ensemble)[chosen]
    kinds = np.unique(np.asarray(atoms.res_name, dtype=str)[chosen], return_inverse=True)[1]
    names = np.unique(np.asarray(atoms.atom_name, dtype=str)[chosen], return_inverse=True)[1]
    keys = np.stack([residue, kinds.reshape(-1), names.reshape(-1)], axis=1)
    once = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    # Atoms of a residue stand together, whatever the order of the file.
    order = once[np.lexsort((once, kinds.reshape(-1)[once], residue[once]))]
    places = chosen[order]
    part = atoms[places]
    return (
        build_restraints(
            ensemble.coord[0, places].astype(float),
            part.atom_name,
            part.res_name,
            part.res_id,
            part.ins_code,
            part.chain_id,
            ensemble.element[places],
        ),
        places,
    )


def _joined(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row of atoms once, with its values."""
    atoms = np.concatenate([part[0].reshape(-1, size) for part in parts])
    first = np.sort(np.unique(atoms, axis=0, return_index=True)[1])
    values, sigmas = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
    return atoms[first], values[first], sigmas[first]
