"""A few whole copies in which every state is seen."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.multiconformer.macrostates import LocalMacrostates, enumerate_macrostates
from unstill.ensembles.multiconformer.model import Multiconformer
from unstill.shapes import Bool


def copies_that_show(
    model: Multiconformer, most: int = 20, limit: int = 1000
) -> Bool[np.ndarray, "n_copies n_states"]:
    """Choose allowed copies that show every state, as few as a greedy choice finds.

    Recorded members are chosen from where there are any; otherwise copies are put together from
    allowed combinations of each component, the frequent states first. They
    are for the eye: their number says nothing about populations.

    Parameters
    ----------
    model
        The states.
    most
        Copies at most; states that none of them shows are left out.
    limit
        Combinations of one component that are looked at.

    Returns
    -------
    numpy.ndarray
        bool, ``(n_copies, n_states)``; one copy at least, the root in each.
    """
    if model.members is not None:
        return _chosen(model.members.in_state, model.members.populations, most)
    found = enumerate_macrostates(model, limit, complete=True)
    parts = [
        _chosen(_candidates(model, part), model.populations[list(part.states)], most)
        for part in found.components
        if part.states
    ]
    n_copies = max([1, *(len(part) for part in parts)])
    held = np.zeros((n_copies, len(model.states)), dtype=bool)
    held[:, model.tree.root] = True
    components = [part for part in found.components if part.states]
    for part, chosen in zip(components, parts, strict=True):
        if not len(chosen):
            continue
        # Components that need fewer copies repeat their most frequent combination.
        turns = [number if number < len(chosen) else 0 for number in range(n_copies)]
        held[:, list(part.states)] = chosen[turns]
    return held


def _candidates(model: Multiconformer, part: LocalMacrostates) -> np.ndarray:
    """Return the combinations that were found, and each state that none of them has, alone."""
    seen = part.present.any(axis=0) | part.all_found
    missing = np.flatnonzero(~seen).tolist()
    place = {state: number for number, state in enumerate(part.states)}
    alone = np.zeros((len(missing), len(part.states)), dtype=bool)
    for row, number in enumerate(missing):
        for state in model.tree.line(part.states[number]):
            if state in place:
                alone[row, place[state]] = True
    return np.concatenate([part.present, alone])


def _chosen(candidates: np.ndarray, population: np.ndarray, most: int) -> np.ndarray:
    """Take the combination that adds most, then that with the most frequent states."""
    if not len(candidates):
        return np.zeros((0, candidates.shape[1]), dtype=bool)
    seen = np.zeros(candidates.shape[1], dtype=bool)
    weight = candidates @ population
    taken: list[int] = []
    while len(taken) < most:
        new = (candidates & ~seen).sum(axis=1)
        # The first copy is the most typical one; later ones show what is not seen yet.
        score = weight if not taken else new + weight / (1 + weight.max())
        best = int(np.argmax(score))
        if taken and not new[best]:
            break
        taken.append(best)
        seen |= candidates[best]
    return np.asarray(candidates[taken], dtype=bool)
