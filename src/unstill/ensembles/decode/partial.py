"""Rows that are absent in a share of the copies get a state of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer, State

ROUNDING = 0.005
"""Occupancies are written to two decimals: what differs by no more is the same."""


def with_partial_states(model: Multiconformer) -> Multiconformer:
    """Return the model in which every row is there whenever its state is.

    A row of lower occupancy than its state (a water of the root at 0.6, the end of
    a side chain that fades) is absent in part of the copies that are in the
    state. Such rows move into new compositional states below it: one a residue and
    occupancy, each lower one inside the next higher. A state whose rows have more than it
    states itself is raised to them, unless its population follows from members.

    Parameters
    ----------
    model
        Any; its own states stay first in the list of states.

    Returns
    -------
    Multiconformer
        With the same rows in the same order, and with its members where no state was added.
    """
    occupancy = _occupancies(model)
    state = model.state.copy()
    new: list[State] = []
    ids = set(model.tree.index)
    for rows in _partial_rows(model, occupancy):
        above = model.states[model.state[rows[0]]].id
        for level in _levels(model.occupancy[rows]):
            here = rows[level]
            level_state = State(
                _free_id(model, int(here[0]), ids),
                above,
                kind="compositional",
                occupancy=float(model.occupancy[here].mean()),
                evidence="occupancy below that of its state",
            )
            state[here] = len(model.states) + len(new)
            new.append(level_state)
            above = level_state.id
    old = tuple(
        replace(known, occupancy=value)
        for known, value in zip(model.states, occupancy.tolist(), strict=True)
    )
    members = None if new else model.members
    return model.replace(states=(*old, *new), state=state, members=members)


def _occupancies(model: Multiconformer) -> np.ndarray:
    """Share of copies in each state; not below what its rows say."""
    found = np.asarray(model.populations, dtype=float).copy()
    if model.members is None:
        most = np.zeros(len(found))
        np.maximum.at(most, model.state, model.occupancy)
        found = np.where(most > found + ROUNDING, most, found)
    found[model.tree.root] = 1.0
    return found


def _partial_rows(model: Multiconformer, occupancy: np.ndarray) -> Iterator[np.ndarray]:
    """Rows below their state, those of one state and residue together."""
    rows = np.flatnonzero(model.occupancy < occupancy[model.state] - ROUNDING)
    key = np.stack([model.state[rows], model.residue[model.site[rows]]], axis=1)
    inverse = np.unique(key, axis=0, return_inverse=True)[1].reshape(-1)
    for number in range(int(inverse.max(initial=-1)) + 1):
        yield rows[inverse == number]


def _levels(occupancy: np.ndarray) -> Iterator[np.ndarray]:
    """Yield indices of equal occupancy (within rounding), the highest first."""
    order = np.argsort(-occupancy, kind="stable")
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or occupancy[order[start]] - occupancy[order[stop]] > ROUNDING:
            yield np.sort(order[start:stop])
            start = stop


def _free_id(model: Multiconformer, row: int, ids: set[str]) -> str:
    """Id that says which residue is partial, and in which state."""
    sites, site = model.sites, int(model.site[row])
    of_state = (
        "" if model.state[row] == model.tree.root else f"{model.states[model.state[row]].id}/"
    )
    number = f"{sites.res_id[site]}{str(sites.ins_code[site]).strip()}"
    base = "".join(f"{of_state}{sites.chain_id[site]}/{number}/partial".replace(",", ";").split())
    found, count = base, 1
    while found in ids:
        count += 1
        found = f"{base}{count}"
    ids.add(found)
    return found
