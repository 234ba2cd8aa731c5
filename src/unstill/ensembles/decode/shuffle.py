"""Exchanges of labels between copies: counts stay, costs never rise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.ensembles.decode.factors import Factor, TiedGroups
from unstill.ensembles.decode.groups import Groups
from unstill.shapes import Int

_SAME = 1e-9


def exchange_labels(
    groups: Groups,
    component: TiedGroups,
    values: Int[np.ndarray, "n_groups n_members"],
    rng: np.random.Generator,
    *,
    sweeps: int,
) -> None:
    """Exchange values of groups between copies, in place, wherever the cost does not rise.

    A group moves with all groups below its states, and only between copies that
    have its parent, so that the tree and all counts are kept. At the optimum
    this walks over the assignments of equal cost, until what costs nothing is
    as random as it can be; elsewhere it descends.

    Parameters
    ----------
    groups, component
        What to exchange; other groups are not touched.
    values
        Value of each group in each copy.
    rng
        Pairs the copies.
    sweeps
        How often each group is tried.
    """
    moves = [_move(groups, component, group) for group in component.scope]
    for _ in range(sweeps):
        for number in rng.permutation(len(moves)).tolist():
            subtree, factors = moves[number]
            able = _holders(groups, component.scope[number], values)
            order = rng.permutation(able)[: len(able) // 2 * 2]
            one, two = order[::2], order[1::2]
            if len(one) == 0 or not factors:
                continue
            both = np.concatenate([one, two])
            turned = np.concatenate([two, one])
            now = _costs(factors, values, both, both, subtree)
            then = _costs(factors, values, both, turned, subtree)
            half = len(one)
            before, after = now[:half] + now[half:], then[:half] + then[half:]
            good = after <= before + _SAME
            swap = np.concatenate([good, good])
            rows = np.array(sorted(subtree))[:, None]
            values[rows, both[swap]] = values[rows, turned[swap]]


def total_cost(factors: Sequence[Factor], values: Int[np.ndarray, "n_groups n_members"]) -> float:
    """Sum of all factors over all copies."""
    return float(sum(f.cost[tuple(values[list(f.scope)])].sum() for f in factors))


def _move(
    groups: Groups, component: TiedGroups, group: int
) -> tuple[frozenset[int], list[Factor]]:
    """Find the groups that move together, and the factors that feel it."""
    subtree = frozenset(groups.subtree(group))
    felt = [f for f in component.factors if 0 < sum(g in subtree for g in f.scope) < len(f.scope)]
    # The tree's own link to the parent is kept by choosing copies that have the parent.
    above = int(groups.above[group])
    return subtree, [f for f in felt if set(f.scope) != {group, above}] if above >= 0 else felt


def _holders(groups: Groups, group: int, values: np.ndarray) -> np.ndarray:
    """Find the copies that have the parent of the group."""
    above = int(groups.above[group])
    if above < 0:
        return np.arange(values.shape[1])
    parent = groups.groups[group].parent
    return np.flatnonzero(values[above] == groups.value_of_state[parent])


def _costs(
    factors: Sequence[Factor],
    values: np.ndarray,
    copies: np.ndarray,
    source: np.ndarray,
    moved: frozenset[int],
) -> np.ndarray:
    """Cost of each copy if the moved groups had the values of its source."""
    total = np.zeros(len(copies))
    for factor in factors:
        index = tuple(values[g, source if g in moved else copies] for g in factor.scope)
        total += factor.cost[index]
    return total
