"""V6: the atoms of a state are there together, so they have one occupancy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.constraints import ROUNDING
from unstill.validation.finding import Finding
from unstill.validation.row_names import row_names, several

SPREAD = 0.005
"""Occupancies of one state that differ by no more are one, written with two decimals."""


def check_one_occupancy(model: Multiconformer, *, inferred: bool = False) -> Iterator[Finding]:
    """Find states whose atoms differ in occupancy, or exceed that of their state.

    Atoms that are less frequent than their state are possible (some copies
    lack them); atoms that are more frequent are not. Where the tree was
    inferred, nobody said what the occupancy of a state is, and atoms differ only from each other.
    """
    population = model.populations
    order = np.argsort(model.state, kind="stable")
    starts = np.searchsorted(model.state[order], np.arange(len(model.states) + 1))
    for state in range(len(model.states)):
        rows = order[starts[state] : starts[state + 1]]
        if state == model.tree.root or not len(rows):
            continue
        occupancy = model.occupancy[rows]
        over = occupancy - population[state] > ROUNDING + 1e-6
        spread = float(np.ptp(occupancy))
        if over.any() and not inferred:
            yield Finding(
                "V6",
                "error",
                f"{several(int(over.sum()), 'atom')} of {model.states[state].id} with an "
                f"occupancy of up to {occupancy.max():.3f}, in a state of {population[state]:.3f}",
                states=(model.states[state].id,),
                atoms=row_names(model, rows[over].tolist()),
                value=float(occupancy.max() - population[state]),
                remedy="raise the occupancy of the state, or lower that of the atoms",
                kind="atom-above-state",
                count=int(over.sum()),
            )
        elif spread > SPREAD + 1e-6:
            yield _spread(model, state, rows, spread)


def _spread(model: Multiconformer, state: int, rows: np.ndarray, spread: float) -> Finding:
    occupancy = model.occupancy[rows]
    middle = float(np.median(occupancy))
    off = rows[np.abs(occupancy - middle) > SPREAD / 2]
    return Finding(
        "V6",
        "warning",
        f"{model.states[state].id} has one occupancy, its atoms have {occupancy.min():.3f} to "
        f"{occupancy.max():.3f}",
        states=(model.states[state].id,),
        atoms=row_names(model, off.tolist()),
        value=spread,
        remedy="give all its atoms one occupancy, or split the state (hierarchy split)",
        kind="spread",
        count=len(off),
    )
