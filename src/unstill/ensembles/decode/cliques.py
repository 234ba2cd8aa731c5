"""Groups one after another: the tree of cliques on which tables are summed exactly.

A component whose factors form a tree of groups needs tables of two groups
only; loops need larger ones. Whole numbers of copies on the cliques that agree where
cliques overlap can always be dealt out to whole copies, so that integer programmes, sums and
searches over the tables speak of real members.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.ensembles.decode.factors import LARGEST, Factor, TiedGroups
from unstill.ensembles.decode.groups import Groups
from unstill.shapes import Float


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
    scopes = list(_elimination(groups, component))
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


def are_small(groups: Groups, component: TiedGroups, most: int = LARGEST) -> bool:
    """Whether the tables of a component have few enough entries together, without making them."""
    entries = 0
    for scope in _elimination(groups, component):
        entries += _size(groups, scope)
        if entries > most:
            return False
    return True


def spread(factor: Factor, scope: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """Table of a factor with the axes of a wider scope."""
    axes = [scope.index(group) for group in factor.scope]
    shape = [1] * len(scope)
    for axis, size in zip(axes, factor.cost.shape, strict=True):
        shape[axis] = size
    return factor.cost.transpose(np.argsort(axes)).reshape(shape)


def _elimination(groups: Groups, component: TiedGroups) -> Iterator[tuple[int, ...]]:
    """Yield each group with those it shares a table with, in the order of summing out."""
    near: dict[int, set[int]] = {group: set() for group in component.scope}
    for factor in component.factors:
        for group in factor.scope:
            near[group].update(factor.scope)
    for group in near:
        near[group].discard(group)
    # A group comes back to the heap whenever its table changes; what is out of date is skipped.
    waiting = [(_size(groups, (group, *others)), group) for group, others in near.items()]
    heapq.heapify(waiting)
    while near:
        size, group = heapq.heappop(waiting)
        if group not in near or size != _size(groups, (group, *near[group])):
            continue
        others = near.pop(group)
        yield (group, *sorted(others))
        for other in others:
            near[other] |= others
            near[other] -= {other, group}
            heapq.heappush(waiting, (_size(groups, (other, *near[other])), other))


def _size(groups: Groups, scope: Sequence[int]) -> int:
    size = 1
    for group in scope:
        size *= groups.groups[group].size
    return size
