"""Whole copies of a model by its altloc labels, so that each state can be judged on its own.

The copy of label B has every residue in its conformer B; residues without one are in their
conformer of highest occupancy. A label need not mean the same in residues that are far apart:
copies are a way to look at every conformer once, not a claim that they occur together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Ensemble
from unstill.shapes import Bool
from unstill.validation.residue_conformers import altlocs_of, residue_numbers


@dataclass(frozen=True, eq=False)
class AltlocCopy:
    """One label of a model.

    Parameters
    ----------
    label
        Altloc.
    own
        ``(n_atoms,)`` atoms of that label.
    whole
        ``(n_atoms,)`` atoms of the whole copy.
    """

    label: str
    own: Bool[np.ndarray, " n_atoms"]
    whole: Bool[np.ndarray, " n_atoms"]


def altloc_copies(ensemble: Ensemble) -> list[AltlocCopy]:
    """Part a model into one copy a label; none where there are no alternate locations.

    Parameters
    ----------
    ensemble
        Alternate locations are atoms with labels. Occupancies are those of the weighted mean.
    """
    altloc = altlocs_of(ensemble)
    labels = sorted(set(altloc.tolist()) - {""})
    if not labels:
        return []
    residue = residue_numbers(ensemble)
    occupancy = np.broadcast_to(ensemble.occupancy, (ensemble.n_members, ensemble.n_atoms))
    occupancy = ensemble.weights @ occupancy
    place = {label: number for number, label in enumerate(labels)}
    column = np.array([place.get(label, -1) for label in altloc.tolist()])
    alternate = column >= 0
    total = np.full((int(residue.max()) + 1, len(labels)), -1.0)
    np.maximum.at(total, (residue[alternate], column[alternate]), occupancy[alternate])
    has = total >= 0
    highest = total.argmax(axis=1)
    copies = []
    for number, label in enumerate(labels):
        chosen = np.where(has[:, number], number, highest)
        whole = ~alternate | (column == chosen[residue])
        copies.append(AltlocCopy(label, column == number, whole))
    return copies
