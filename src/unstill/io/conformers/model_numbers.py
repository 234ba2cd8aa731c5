"""Which model of a file a row belongs to, where states were read off its models."""

from __future__ import annotations

import numpy as np

from unstill.ensembles import Multiconformer


def model_numbers(model: Multiconformer) -> np.ndarray:
    """Return ``(n_rows,)`` numbers of models from 1; all 1 unless there are several.

    Several there are where nobody stated a tree and the states below the root
    are ``M1, M2, …``, as they are read off the models of a file.
    """
    place = _places(model)
    return np.ones(model.n_rows, dtype=int) if place is None else place[model.state]


def model_shares(model: Multiconformer) -> np.ndarray:
    """Return ``(n_rows,)`` weight of the model of each row; one unless there are several."""
    place = _places(model)
    if place is None:
        return np.ones(model.n_rows)
    weights = model.tree.occupancy[list(model.tree.children[model.tree.root])]
    return np.asarray(weights[place[model.state] - 1])


def _places(model: Multiconformer) -> np.ndarray | None:
    """Return ``(n_states,)`` number of the model that each state belongs to."""
    tree = model.tree
    below = tree.children[tree.root]
    names = [model.states[state].id for state in below]
    if model.stated or len(below) < 2 or names != [f"M{n + 1}" for n in range(len(names))]:
        return None
    place = np.zeros(len(tree), dtype=int)
    place[list(below)] = np.arange(1, len(below) + 1)
    for state in tree.downward.tolist():
        if place[state] == 0 and tree.parent[state] >= 0:
            place[state] = place[tree.parent[state]]
    return None if (place[model.state] == 0).any() else place
