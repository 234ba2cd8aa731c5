"""States read off the altlocs and the models of a file; nothing is left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from unstill.ensembles.multiconformer import Members, State
from unstill.ensembles.multiconformer.tree import ROOT
from unstill.errors import UnstillWarning
from unstill.io.conformers.atom_columns import WordColumn
from unstill.io.conformers.atom_rows import AtomRows, first_rows, numbered_words


def label_states(
    rows: AtomRows,
    weights: np.ndarray,
    frames: np.ndarray | None,
    name: str,
    *,
    may_differ: bool = False,
) -> tuple[tuple[State, ...], np.ndarray, Members | None]:
    """Return states, the state of each row, and members, as ``states_from_labels`` does.

    Models need not hold the same atoms: those that do not are of kind
    ``compositional``, with a warning unless they ``may_differ``.

    Parameters
    ----------
    rows
        Of the file.
    weights
        ``(n_models,)`` summing to one.
    frames
        ``(n_models,)`` or ``None``.
    name
        Of the file, for messages.
    may_differ
        Whether somebody said that models are members, which may lack what is partial.
    """
    n_models = len(rows.models)
    labelled = rows.altloc.words != ""
    held = labelled[rows.altloc.codes]
    places = np.flatnonzero(held)
    local = _local(rows, places)
    first = places[first_rows(local)]
    share = _medians(local, rows.occupancy[places], len(first)) * weights[rows.model[first]]
    kinds = _kinds(rows, "" if may_differ else name)
    states = [State(ROOT)]
    index_of_local = np.empty(len(first), dtype=np.int64)
    index_of_model = np.zeros(n_models, dtype=np.int64)
    ids = _unique(_ids(rows, first))
    for model in range(n_models):
        base = ROOT
        if n_models > 1:
            base = f"M{model + 1}"
            index_of_model[model] = len(states)
            states.append(
                State(
                    base,
                    ROOT,
                    kind="compositional" if kinds[model] else "conformational",
                    details=f"model {model + 1}",
                    occupancy=float(weights[model]),
                )
            )
        own = np.flatnonzero(rows.model[first] == model)
        index_of_local[own] = len(states) + np.arange(len(own))
        states.extend(
            State(ids[place], base, occupancy=float(share[place])) for place in own.tolist()
        )
    state = index_of_model[rows.model]
    state[places] = index_of_local[local]
    members = None
    if n_models > 1 and not held.any():
        in_state = np.concatenate(
            [np.ones((n_models, 1), dtype=bool), np.eye(n_models, dtype=bool)], axis=1
        )
        members = Members(weights, in_state, frames=frames)
    return tuple(states), state, members


def group_medians(group: np.ndarray, values: np.ndarray, n_groups: int) -> np.ndarray:
    """Return ``(n_groups,)`` medians of values; NaN for a group without any."""
    return _medians(group, values, n_groups)


def _local(rows: AtomRows, places: np.ndarray) -> np.ndarray:
    """Return the number of residue and label of each labelled row, within its model."""
    nothing = np.empty(0)
    return numbered_words(
        WordColumn(rows.model[places], nothing),
        WordColumn(rows.residue[places], nothing),
        WordColumn(rows.altloc.codes[places], nothing),
    )


def _medians(group: np.ndarray, values: np.ndarray, n_groups: int) -> np.ndarray:
    order = np.lexsort((values, group))
    count = np.bincount(group, minlength=n_groups)
    start = np.cumsum(count) - count
    if not len(order):
        return np.full(n_groups, np.nan)
    ordered = values[order]
    last = len(ordered) - 1
    low = ordered[np.minimum(start + np.maximum(count - 1, 0) // 2, last)]
    high = ordered[np.minimum(start + count // 2, last)]
    return np.where(count > 0, low + (high - low) / 2, np.nan)


def _ids(rows: AtomRows, first: np.ndarray) -> list[str]:
    sites = rows.sites
    prefix = len(rows.models) > 1
    found = []
    for row, label in zip(first.tolist(), rows.altloc.text(first).tolist(), strict=True):
        site = rows.site[row]
        number = f"{sites.res_id[site]}{str(sites.ins_code[site]).strip()}"
        text = f"{sites.chain_id[site]}/{number}/{label}".replace(",", ";")
        text = "_".join(text.split())
        found.append(f"M{rows.model[row] + 1}/{text}" if prefix else text)
    return found


def _unique(ids: Sequence[str]) -> list[str]:
    """Tell apart ids that became the same when commas and blanks were taken out."""
    taken: set[str] = set()
    found = []
    for text in ids:
        name, number = text, 2
        while name in taken:
            name, number = f"{text}~{number}", number + 1
        taken.add(name)
        found.append(name)
    return found


def _kinds(rows: AtomRows, name: str) -> np.ndarray:
    """Whether each model holds other atoms than the first; warns where there is a name."""
    n_models = len(rows.models)
    differs = np.zeros(n_models, dtype=bool)
    if n_models == 1:
        return differs
    order = np.argsort(rows.model, kind="stable")
    stops = np.cumsum(np.bincount(rows.model, minlength=n_models))[:-1]
    held = [np.unique(rows.site[part]) for part in np.split(order, stops)]
    for model, own in enumerate(held):
        differs[model] = not np.array_equal(own, held[0])
    if differs.any() and name:
        which = int(np.flatnonzero(differs)[0])
        lacks = len(np.setdiff1d(held[0], held[which]))
        more = len(np.setdiff1d(held[which], held[0]))
        warnings.warn(
            f"{int(differs.sum())} of {n_models} models of {name} hold other atoms than model 1; "
            f"the first, model {which + 1}, lacks {lacks} and has {more} more. Is the file whole?",
            UnstillWarning,
            stacklevel=2,
        )
    return differs
