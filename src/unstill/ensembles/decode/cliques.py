"""Groups one after another: the tree of cliques on which tables are summed exactly.

A component whose factors form a tree of groups needs tables of two groups
only; loops need larger ones. Whole numbers of copies on the cliques that agree where
cliques overlap can always be dealt out to whole copies, so that integer programmes, sums and
searches over the tables speak of real members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.ensembles.decode.factors import Factor, TiedGroups
from unstill.ensembles.decode.groups import Groups
from unstill.shapes import Float

LARGEST = 60_000
"""Most entries of the tables of one component."""


@dataclass(frozen=True, eq=False)
class Clique:
    """A group and those it shares a table with, all of which are decided after it is summed out.

    Parameters
    ----------
    scope
        The group first, then its separator: the groups it shares with ``parent``.
    parent
        Number of the next clique, or −1 for the last.
    cost
        Sum of the factors first met here; ``inf`` where they forbid.
    """

    scope: tuple[int, ...]
    parent: int
    cost: Float[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class CliqueTree:
    """Cliques of a component in the order of summing out; a parent comes after its children."""

    cliques: tuple[Clique, ...]

    @property
    def n_entries(self) -> int:
        """Entries of all tables together."""
        return sum(clique.cost.size for clique in self.cliques)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Cliques that feed each clique."""
        found: list[list[int]] = [[] for _ in self.cliques]
        for number, clique in enumerate(self.cliques):
            if clique.parent >= 0:
                found[clique.parent].append(number)
        return tuple(map(tuple, found))

    def separator_axes(self, number: int) -> tuple[int, ...]:
        """Axes of the parent's table that a clique shares, in the order of its own."""
        clique = self.cliques[number]
        return tuple(self.cliques[clique.parent].scope.index(g) for g in clique.scope[1:])


def clique_tree(groups: Groups, component: TiedGroups) -> CliqueTree:
    """Order the groups of a component so that tables stay small, and sum the factors into them.

    Greedy: the next group is the one whose table would be smallest.
    """
    scopes = _elimination(groups, component)
    position = {scope[0]: number for number, scope in enumerate(scopes)}
    costs = [np.zeros([groups.groups[g].size for g in scope]) for scope in scopes]
    for factor in component.factors:
        number = min(position[group] for group in factor.scope)
        costs[number] += spread(factor, scopes[number])
    return CliqueTree(
        tuple(
            Clique(scope, min((position[g] for g in scope[1:]), default=-1), cost)
            for scope, cost in zip(scopes, costs, strict=True)
        )
    )


def table_entries(groups: Groups, component: TiedGroups) -> int:
    """Entries of all tables of a component, without making them."""
    return sum(_size(groups, scope) for scope in _elimination(groups, component))


def spread(factor: Factor, scope: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Table of a factor with the axes of a wider scope."""
    axes = [scope.index(group) for group in factor.scope]
    shape = [1] * len(scope)
    for axis, size in zip(axes, factor.cost.shape, strict=True):
        shape[axis] = size
    return factor.cost.transpose(np.argsort(axes)).reshape(shape)


def _elimination(groups: Groups, component: TiedGroups) -> list[tuple[int, ...]]:
    near: dict[int, set[int]] = {group: set() for group in component.scope}
    for factor in component.factors:
        for group in factor.scope:
            near[group].update(factor.scope)
    for group in near:
        near[group].discard(group)
    found = []
    while near:
        group = min(near, key=lambda g: (_size(groups, (g, *near[g])), g))
        others = near.pop(group)
        for other in others:
            near[other] |= others
            near[other] -= {other, group}
        found.append((group, *sorted(others)))
    return found


def _size(groups: Groups, scope: Sequence[int]) -> int:
    size = 1
    for group in scope:
        size *= groups.groups[group].size
    return size
