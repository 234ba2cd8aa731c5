"""Short chains with altlocs, written down atom by atom."""

from __future__ import annotations

from collections.abc import Sequence

import biotite.structure
import numpy as np

from unstill.ensembles import Ensemble, Multiconformer
from unstill.ensembles.multiconformer import states_from_labels

BACKBONE = {"N": (0, 0, 0), "CA": (1.458, 0, 0), "C": (2.009, 1.42, 0), "O": (1.251, 2.39, 0)}
SIDE = {"CB": (1.988, -0.773, -1.199), "OG": (3.4, -0.85, -1.2)}
STEP = np.array([3.33, 1.42, 0.0])
"""From one residue to the next: C and N are 1.32 Å apart."""

Atom = tuple[int, str, str, str, tuple[float, ...], float]
"""Number and name of the residue, name of the atom, altloc, place, occupancy."""


def labelled(atoms: Sequence[Atom], **more: object) -> Multiconformer:
    """States read off the labels of some atoms of chain A."""
    found = biotite.structure.AtomArray(len(atoms))
    found.chain_id[:] = "A"
    found.res_id = np.array([one[0] for one in atoms])
    found.res_name = np.array([one[1] for one in atoms])
    found.atom_name = np.array([one[2] for one in atoms])
    found.element = np.array([one[2][0] for one in atoms])
    found.hetero = np.isin(found.res_name, ["HOH", "LIG"])
    found.set_annotation("altloc_id", np.array([one[3] for one in atoms]))
    coord = np.array([one[4] for one in atoms], dtype=float)
    occupancy = np.array([one[5] for one in atoms])
    return states_from_labels(Ensemble(found, coord[None], occupancy=occupancy, **more))


def residue(
    number: int,
    labels: dict[str, float],
    *,
    names: Sequence[str] = tuple(BACKBONE),
    shift: float = 0.4,
    res_name: str = "SER",
) -> list[Atom]:
    """Atoms of one residue; each label is moved by ``shift`` more along z."""
    found: list[Atom] = []
    for name in (*BACKBONE, *SIDE):
        at = np.array({**BACKBONE, **SIDE}[name]) + number * STEP
        for place, (label, share) in enumerate(labels.items() if name in names else [("", 1.0)]):
            moved = at + np.array([0.0, 0.0, place * shift])
            found.append((number, res_name, name, label, tuple(moved), share))
    return found


def water(number: int, label: str, place: Sequence[float], share: float) -> Atom:
    """An oxygen far along the chain's numbers."""
    return (number, "HOH", "O", label, tuple(place), share)


def states_of(model: Multiconformer) -> dict[str, set[str]]:
    """For each state but the root, ``number/name/label`` of its rows."""
    return {
        state.id: {
            f"{model.sites.res_id[s]}/{model.sites.atom_name[s]}/{model.altloc_id[row]}"
            for row, s in enumerate(model.site)
            if model.state[row] == number
        }
        for number, state in enumerate(model.states)
        if state.parent is not None
    }
