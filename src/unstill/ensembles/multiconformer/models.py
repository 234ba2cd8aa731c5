"""Whole copies as models of a file."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.multiconformer.members import Members, rows_of_members, shares_of_rows
from unstill.ensembles.multiconformer.model import Multiconformer
from unstill.ensembles.multiconformer.tree import ROOT, State


def models_of_members(model: Multiconformer, members: Members) -> Multiconformer:
    """Return members as models ``M1, M2, …``, each with the atoms that it has and no altloc.

    What the model was read with (``carried``, ``source_row``) is kept, so that a file written
    of the result says of each atom what the first file said.

    Parameters
    ----------
    model
        The rows.
    members
        Over the states of ``model``; recorded in the result, with weights, names and frames.

    Raises
    ------
    InputError
        If a member has an atom in two places.
    """
    row = rows_of_members(model, members.in_state)
    member, site = np.nonzero(row >= 0)
    taken = row[member, site]
    n = members.n_members
    identity = np.concatenate([np.ones((n, 1), dtype=bool), np.eye(n, dtype=bool)], axis=1)
    whole = np.asarray((row >= 0).all(axis=1))
    states = [
        State(
            f"M{number + 1}",
            ROOT,
            kind="conformational" if whole[number] else "compositional",
            details=f"model {number + 1}",
            occupancy=weight,
        )
        for number, weight in enumerate(members.weights.tolist())
    ]
    return Multiconformer(
        model.sites,
        site,
        member + 1,
        model.coord[taken],
        shares_of_rows(model.replace(members=members))[taken] * members.weights[member],
        model.b_factor[taken],
        np.full(len(taken), "", dtype="U1"),
        (State(ROOT), *states),
        u_aniso=None if model.u_aniso is None else model.u_aniso[taken],
        members=Members(members.weights, identity, members.names, members.frames),
        crystal=model.crystal,
        stated=False,
        carried=model.carried,
        source_row=model.source_row[taken],
        provenance=model.provenance,
    )
