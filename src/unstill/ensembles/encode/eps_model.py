"""A placement of atoms becomes a model: states with ids, occupancies, B and altlocs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.ensembles.encode.groups import ResidueGroup
from unstill.ensembles.encode.label_sync import synchronise_labels
from unstill.ensembles.encode.placing import Placement, ResidueStates, per_row, row_weights
from unstill.ensembles.encode.spread import Displacements
from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer import Members, Multiconformer, State
from unstill.ensembles.multiconformer.tree import ROOT
from unstill.shapes import Float


def build_model(
    ensemble: Ensemble,
    groups: Sequence[ResidueGroup],
    runs: Sequence[range],
    placement: Placement,
    states: Sequence[ResidueStates],
    rows: Float[np.ndarray, "n_rows 3"],
    displacements: Displacements,
) -> tuple[Multiconformer, Members]:
    """Return the model, and its members, which are recorded in it with weights and states."""
    n_members, n_atoms = ensemble.n_members, ensemble.n_atoms
    occupancy = np.broadcast_to(ensemble.occupancy, (n_members, n_atoms))
    # Where every member has an atom whole, rows have exactly what their states have.
    share = np.ones(placement.n_rows)
    if (occupancy[placement.row >= 0] != 1).any():
        share = per_row(placement, occupancy, positive(ensemble.weights))
    sites = ensemble.atoms.copy()
    if "altloc_id" in sites.get_annotation_categories():
        sites.del_annotation("altloc_id")
    members = Members(ensemble.weights, placement.held.T.copy(), frames=ensemble.frames)
    model = Multiconformer(
        sites,
        placement.atom,
        placement.state,
        rows,
        row_weights(placement, ensemble.weights) * share,
        displacements.b_factor,
        _altlocs(groups, runs, placement, states, ensemble.weights),
        _states(placement, groups, ensemble.weights),
        u_aniso=displacements.u_aniso,
        members=members,
        crystal=ensemble.crystal,
        provenance=ensemble.provenance,
    )
    return model, members


def positive(weights: Float[np.ndarray, " n_members"]) -> Float[np.ndarray, " n_members"]:
    """Return weights for means: a member without weight has a place all the same."""
    return np.asarray(np.maximum(weights, 1e-9 / len(weights)))


def letters(number: int) -> str:
    """Return A, B, … Z, AA, … for numbers from 0."""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _states(
    placement: Placement, groups: Sequence[ResidueGroup], weights: np.ndarray
) -> tuple[State, ...]:
    occupancy = placement.held @ weights
    ids = [ROOT, *(letters(number) for number in range(len(occupancy) - 1))]
    found = [State(ROOT)]
    for number in range(1, len(ids)):
        first, last = (groups[i].name for i in placement.residues[number].tolist())
        above = int(placement.parent[number])
        what = "side chain of" if above > 0 else "segment"
        span = first if first == last else f"{first} to {last}"
        found.append(
            State(
                ids[number],
                ids[above],
                kind="compositional" if placement.partial[number] else "conformational",
                details=f"{what} {span}",
                occupancy=float(occupancy[number]),
                evidence=f"{int(placement.held[number].sum())} of {len(weights)} members",
            )
        )
    return tuple(found)


def _altlocs(
    groups: Sequence[ResidueGroup],
    runs: Sequence[range],
    placement: Placement,
    states: Sequence[ResidueStates],
    weights: np.ndarray,
) -> np.ndarray:
    """Label rows: side chains (or whole residues) each once, a backbone as its heaviest one."""
    leaves = [mine.side_chain for mine in states]
    labels = synchronise_labels(leaves, runs, weights)
    found = np.full(placement.n_rows, "", dtype=object)
    for group, leaf, label in zip(groups, leaves, labels, strict=True):
        share = np.bincount(leaf, weights, minlength=len(label))
        for atoms in (group.side_chain, group.backbone):
            # The heaviest leaf of a row comes last and stays.
            for number in np.argsort(share, kind="stable").tolist():
                rows = placement.row[leaf == number][:1][:, atoms].ravel()
                found[rows[rows >= 0]] = letters(int(label[number]))
    found[placement.state == 0] = ""
    return np.asarray(found.astype(str))
