"""Residues of a structure, each in its alternate conformations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Ensemble
from unstill.shapes import Int


@dataclass(frozen=True, eq=False)
class ResidueConformer:
    """One residue in one of its alternate conformations.

    Parameters
    ----------
    name
        Of the residue.
    label
        Alternate location; ``""`` where the residue has none.
    first
        Whether it is the first conformer of its residue.
    atom, altloc
        Atoms, in the order of the ensemble, and their own alternate locations.
    """

    name: str
    label: str
    first: bool
    atom: Int[np.ndarray, " atoms"]
    altloc: np.ndarray


def residue_conformers(ensemble: Ensemble) -> list[ResidueConformer]:
    """Part a structure into residues and their alternate conformations."""
    number = residue_numbers(ensemble)
    altloc = altlocs_of(ensemble)
    order = np.argsort(number, kind="stable")
    bounds = np.flatnonzero(np.diff(number[order], prepend=-1))
    found = []
    for atoms in np.split(order, bounds[1:]):
        labels = sorted(set(altloc[atoms].tolist()) - {""}) or [""]
        for place, label in enumerate(labels):
            chosen = atoms[np.isin(altloc[atoms], ["", label])]
            found.append(
                ResidueConformer(
                    str(ensemble.atoms.res_name[chosen[0]]),
                    label,
                    place == 0,
                    chosen,
                    altloc[chosen],
                )
            )
    return found


def altlocs_of(ensemble: Ensemble) -> np.ndarray:
    """``(n_atoms,)`` alternate locations, ``""`` for none."""
    if "altloc_id" not in ensemble.atoms.get_annotation_categories():
        return np.full(ensemble.n_atoms, "", dtype="U4")
    labels = np.char.strip(np.asarray(ensemble.atoms.altloc_id, dtype=str))
    return np.where(np.isin(labels, [".", "?"]), "", labels)


def residue_numbers(ensemble: Ensemble) -> Int[np.ndarray, " n_atoms"]:
    """Count residues by chain, number and insertion code, from 0, in order of appearance."""
    atoms = ensemble.atoms
    keys = np.stack([atoms.chain_id, atoms.res_id.astype(str), atoms.ins_code], axis=1).astype(str)
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[number.reshape(-1)])
