"""Occupancies in whole millionths that add up: rounding by largest remainder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unstill.ensembles.hierarchy.consistency import ROUNDING
from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.constraints import held_together
from unstill.shapes import Float, Int

UNITS = 1_000_000
"""Occupancies are multiples of one over this."""

_WHOLE = 1e-4
"""Millionths that a product of decimal numbers may be off a whole number, in float64."""


def largest_remainder(shares: Float[np.ndarray, " n"], total: int) -> Int[np.ndarray, " n"]:
    """Round shares to whole numbers that sum to a total.

    Parameters
    ----------
    shares
        Non-negative, in any unit.
    total
        What the rounded ones sum to; each is its part of it, rounded up or down.

    Examples
    --------
    >>> largest_remainder(np.array([1.0, 1.0, 1.0]), 100).tolist()
    [34, 33, 33]
    """
    summed = float(shares.sum())
    if summed <= 0:
        return np.zeros(len(shares), dtype=np.int64)
    exact = shares * (total / summed)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    missing = total - int(whole.sum())
    order = np.argsort(whole - exact, kind="stable")
    whole[order[:missing]] += 1
    return whole


def apportioned_tree(model: Multiconformer) -> Multiconformer:
    """Round the occupancies of states, and of rows as far as they follow them, to millionths.

    States that hold one position keep their sum: the last of them make up for
    the rounding of the others. What fits into an ancestor still fits. A state may hold
    positions with several sets of others; where these leave no choice, a sum may
    come out lower by a few millionths.
    """
    tree, old = model.tree, model.tree.occupancy
    new = np.round(old * UNITS).astype(np.int64)
    settled = np.abs(old * UNITS - new) < _WHOLE
    settled[tree.root] = True
    groups = _groups(model)
    for ancestor, group in groups:
        still = group[~settled[group]]
        room = _total(old, new, ancestor, group) - int(new[group[settled[group]]].sum())
        if len(still) and room >= 0:
            new[still] = largest_remainder(old[still], room)
        settled[group] = True
    for ancestor, group in groups:
        excess = int(new[group].sum()) - _total(old, new, ancestor, group)
        if excess > 0:
            new[group[np.argmax(new[group])]] -= excess
    share = new / UNITS
    close = np.abs(model.occupancy - old[model.state]) <= ROUNDING + 1e-9
    states = tuple(
        replace(state, occupancy=float(value))
        for state, value in zip(model.states, share, strict=True)
    )
    occupancy = np.where(close, share[model.state], np.round(model.occupancy * UNITS) / UNITS)
    return model.replace(states=states, occupancy=np.asarray(occupancy, dtype=float))


def _groups(model: Multiconformer) -> list[tuple[int, np.ndarray]]:
    """States that hold one position, each set with its lowest common ancestor, from the root down.

    A state and its parent are a set as well: it does not exceed it.
    """
    tree = model.tree
    found: list[tuple[int, tuple[int, ...]]] = [
        (parent, (child,)) for child, parent in enumerate(tree.parent.tolist()) if parent >= 0
    ]
    for group in held_together(model):
        shared = np.flatnonzero(tree.closure[list(group)].all(axis=0))
        lowest = int(shared[np.argmax(tree.depth[shared])])
        if len(group) > 1 and lowest not in group:
            found.append((lowest, tuple(sorted(group))))
    found.sort(key=lambda one: (int(tree.depth[one[0]]), -len(one[1]), one[1]))
    return [(ancestor, np.array(group)) for ancestor, group in dict.fromkeys(found)]


def _total(old: np.ndarray, new: np.ndarray, ancestor: int, group: np.ndarray) -> int:
    """Millionths that a set has: as before, but no more than the ancestor if it did not before."""
    total = float(old[group].sum())
    fits = total <= float(old[ancestor]) + len(group) / UNITS
    return min(round(total * UNITS), int(new[ancestor])) if fits else round(total * UNITS)
