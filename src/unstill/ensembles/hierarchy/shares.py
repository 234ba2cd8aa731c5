"""Occupancies in whole millionths that add up: rounding by largest remainder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unstill.ensembles.hierarchy.consistency import ROUNDING
from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Float, Int

UNITS = 1_000_000
"""Occupancies are multiples of one over this."""


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

    States that exclude each other under one parent keep their sum, but never
    above the parent's.
    """
    tree = model.tree
    old = tree.occupancy
    new = np.round(old * UNITS).astype(np.int64)
    new[tree.root] = min(new[tree.root], UNITS)
    for parent in tree.downward.tolist():
        for group in _groups(model, parent):
            total = min(round(float(old[group].sum()) * UNITS), int(new[parent]))
            new[group] = largest_remainder(old[group], total)
    share = new / UNITS
    close = np.abs(model.occupancy - old[model.state]) <= ROUNDING + 1e-9
    states = tuple(
        replace(state, occupancy=float(value))
        for state, value in zip(model.states, share, strict=True)
    )
    occupancy = np.where(close, share[model.state], np.round(model.occupancy * UNITS) / UNITS)
    return model.replace(states=states, occupancy=np.asarray(occupancy, dtype=float))


def _groups(model: Multiconformer, parent: int) -> list[np.ndarray]:
    """Children of a state by what excludes each other, directly or through others."""
    children = model.tree.children[parent]
    group = {child: child for child in children}

    def head(child: int) -> int:
        while group[child] != child:
            child = group[child]
        return child

    apart = set(model.exclusive)
    for rule in model.rules:
        if rule.kind == "NOT":
            apart |= {
                (model.tree.find(rule.state), model.tree.find(other)) for other in rule.others
            }
    for a, b in sorted(apart):
        if a in group and b in group:
            group[head(b)] = head(a)
    found: dict[int, list[int]] = {}
    for child in children:
        found.setdefault(head(child), []).append(child)
    return [np.array(members) for members in found.values()]
