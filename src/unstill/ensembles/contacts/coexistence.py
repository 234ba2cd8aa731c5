"""Which states can be in one copy, pair by pair."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Bool, Int


def can_coexist(
    model: Multiconformer,
    state_a: Int[np.ndarray, " n"],
    state_b: Int[np.ndarray, " n"],
    *,
    observed: bool = False,
) -> Bool[np.ndarray, " n"]:
    """Whether a copy may be in both states of each pair.

    Two states exclude each other if they, or any of their ancestors, hold the
    same position or a NOT rule speaks of them. What follows from several rules
    together is not looked at here (``multiconformer.macrostates`` does).

    Parameters
    ----------
    state_a, state_b
        ``(n,)`` indices of states.
    observed
        Where members are recorded: only pairs that some member is in.

    Returns
    -------
    numpy.ndarray
        bool, ``(n,)``; symmetric in a and b.
    """
    n_states = len(model.states)
    # Few pairs of states stand behind many pairs of rows.
    pair = np.minimum(state_a, state_b) * n_states + np.maximum(state_a, state_b)
    known, inverse = np.unique(pair, return_inverse=True)
    a, b = np.divmod(known, n_states)
    allowed = _not_excluded(model, a, b)
    if observed and model.members is not None:
        allowed &= _met(model.members.in_state[model.members.weights > 0], a, b)
    return np.asarray(allowed[inverse.reshape(-1)], dtype=bool)


def excluded_pairs(model: Multiconformer) -> Int[np.ndarray, "n_pairs 2"]:
    """Pairs (a < b) of states that exclude each other: by position, or by a NOT rule."""
    tree = model.tree
    pairs = set(model.exclusive)
    for rule in model.rules:
        if rule.kind == "NOT":
            a = tree.find(rule.state)
            pairs.update((min(a, b), max(a, b)) for b in map(tree.find, rule.others))
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _not_excluded(model: Multiconformer, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    n_states = len(model.states)
    excluded = excluded_pairs(model)
    keys = excluded[:, 0] * n_states + excluded[:, 1]
    lines = _lines(model)
    allowed = np.ones(len(a), dtype=bool)
    for of_a in lines[a].T:
        for of_b in lines[b].T:
            key = np.minimum(of_a, of_b) * n_states + np.maximum(of_a, of_b)
            allowed &= ~np.isin(key, keys)
    return allowed


def _lines(model: Multiconformer) -> np.ndarray:
    """Each state and its ancestors, the root repeated where a line is short."""
    tree = model.tree
    columns = [np.arange(len(tree))]
    for _ in range(int(tree.depth.max(initial=0))):
        up = tree.parent[columns[-1]]
        columns.append(np.where(up >= 0, up, columns[-1]))
    return np.stack(columns, axis=1)


def _met(in_state: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    met = np.zeros(len(a), dtype=bool)
    held = np.ascontiguousarray(in_state.T)
    for start in range(0, len(a), 65536):
        part = slice(start, start + 65536)
        met[part] = (held[a[part]] & held[b[part]]).any(axis=1)
    return met
