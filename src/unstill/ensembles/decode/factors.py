"""What ties groups to each other: costs and exclusions, as tables over their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unstill.ensembles.decode.groups import Groups
from unstill.ensembles.multiconformer import Rule
from unstill.errors import InputError
from unstill.shapes import Bool, Float

LARGEST = 60_000
"""Most entries of the tables of one component."""

Pair = tuple[int, int]
"""Two states, by index."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A cost of the values of a few groups; ``inf`` where they may not go together.

    Parameters
    ----------
    scope
        Groups, ascending.
    cost
        One axis a group of the scope, as long as it has values.
    """

    scope: tuple[int, ...]
    cost: Float[np.ndarray, "..."]

    @property
    def hard(self) -> bool:
        """Whether it forbids something."""
        return bool(np.isinf(self.cost).any())


@dataclass(frozen=True, eq=False)
class TiedGroups:
    """Groups that must be decided together.

    Parameters
    ----------
    scope
        The groups, ascending.
    factors
        All that bind them, the tree's included.
    """

    scope: tuple[int, ...]
    factors: tuple[Factor, ...]


def hard_factors(groups: Groups) -> list[Factor]:
    """Return what rules and shared positions forbid, beyond what groups and tree already do."""
    model = groups.model
    found: list[Factor] = []
    same = {
        pair: np.inf
        for pair in model.exclusive
        if groups.of_state[pair[0]] != groups.of_state[pair[1]]
    }
    found.extend(pair_factors(groups, same))
    for rule in model.rules:
        if rule.kind == "OR":
            found.append(_rule_factor(groups, rule))
        else:
            # AND and NOT say the same of every state they name, one by one.
            found.extend(
                _rule_factor(groups, Rule(rule.id, rule.kind, rule.state, (other,)))
                for other in rule.others
            )
    return [factor for factor in found if factor.hard]


def pair_factors(groups: Groups, cost: Mapping[Pair, float]) -> list[Factor]:
    """Costs of pairs of states, as one table for every pair of groups.

    Pairs that no copy can have (two of one group, or below two of one group), and pairs of a
    state with its ancestor, whose number is fixed, are left out.
    """
    tables: dict[tuple[int, int], np.ndarray] = {}
    for (a, b), value in cost.items():
        if value == 0 or not can_meet(groups, a, b):
            continue
        one, two = int(groups.of_state[a]), int(groups.of_state[b])
        if one > two:
            a, b, one, two = b, a, two, one
        size = (groups.groups[one].size, groups.groups[two].size)
        table = tables.setdefault((one, two), np.zeros(size))
        table[groups.value_of_state[a], groups.value_of_state[b]] += value
    return [Factor(scope, table) for scope, table in sorted(tables.items())]


def can_meet(groups: Groups, a: int, b: int) -> bool:
    """Whether some copies may have both states and others one alone, as far as the tree says."""
    tree = groups.model.tree
    if tree.related(a, b):
        return False
    at = {int(groups.of_state[s]): s for s in tree.line(a)[:-1]}
    return all(at.get(int(groups.of_state[s]), s) == s for s in tree.line(b)[:-1])


def components(groups: Groups, soft: Sequence[Factor], hard: Sequence[Factor]) -> list[TiedGroups]:
    """Find groups that costs and exclusions connect, each set with its ancestors' groups.

    Groups that nothing but the tree concerns are in no component.
    """
    given = [*soft, *hard]
    involved: set[int] = set()
    for factor in given:
        for group in factor.scope:
            involved.update(_upward(groups, group))
    tree = [_tree_factor(groups, group) for group in sorted(involved) if groups.above[group] >= 0]
    joined = _connected(sorted(involved), (factor.scope for factor in [*given, *tree]))
    found = []
    for scope in joined:
        inside = set(scope)
        factors = tuple(f for f in [*given, *tree] if f.scope[0] in inside)
        found.append(TiedGroups(scope, factors))
    return found


def _upward(groups: Groups, group: int) -> Iterable[int]:
    while group >= 0:
        yield group
        group = int(groups.above[group])


def _tree_factor(groups: Groups, group: int) -> Factor:
    """Forbid states of a group without their parent."""
    above = int(groups.above[group])
    cost = np.full((groups.groups[above].size, groups.groups[group].size), np.inf)
    cost[:, -1] = 0.0
    cost[groups.value_of_state[groups.groups[group].parent]] = 0.0
    if above < group:
        return Factor((above, group), cost)
    return Factor((group, above), cost.T.copy())


def _rule_factor(groups: Groups, rule: Rule) -> Factor:
    tree = groups.model.tree
    states = [tree.find(rule.state), *(tree.find(other) for other in rule.others)]
    scope = tuple(sorted({int(groups.of_state[s]) for s in states} - {-1}))
    shape = tuple(groups.groups[group].size for group in scope)
    if math.prod(shape) > LARGEST:
        raise InputError(
            "a rule ties too many states to each other",
            found=f"rule {rule.id} ({rule.kind}), {len(scope)} groups of states",
            fix="split the rule, or decode parts of the model by themselves",
        )
    held = [_present(groups, state, scope, shape) for state in states]
    named = np.stack(held[1:])
    kept = {"AND": named.all(axis=0), "OR": named.any(axis=0), "NOT": ~named.any(axis=0)}
    return Factor(scope, np.where(held[0] & ~kept[rule.kind], np.inf, 0.0))


def _present(
    groups: Groups, state: int, scope: tuple[int, ...], shape: tuple[int, ...]
) -> Bool[np.ndarray, "..."]:
    """Where in a table over the scope the state is there."""
    group = int(groups.of_state[state])
    if group < 0:
        return np.ones(shape, dtype=bool)
    value = np.arange(groups.groups[group].size) == groups.value_of_state[state]
    axes = [1] * len(scope)
    axes[scope.index(group)] = -1
    return np.broadcast_to(value.reshape(axes), shape)


def _connected(groups: Sequence[int], links: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    home = {group: group for group in groups}

    def root(group: int) -> int:
        while home[group] != group:
            home[group] = home[home[group]]
            group = home[group]
        return group

    for scope in links:
        for a, b in pairwise(scope):
            home[max(root(a), root(b))] = min(root(a), root(b))
    sets: dict[int, list[int]] = {}
    for group in groups:
        sets.setdefault(root(group), []).append(group)
    return [tuple(members) for members in sets.values()]
