"""What a copy may be: tree, rules and positions, as sets of bits for each component."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unstill.ensembles.multiconformer.model import Multiconformer

ROUNDING = 0.02
"""What occupancies of two decimals, summed over the states of a position, may be off."""


@dataclass(frozen=True)
class Choice:
    """Where a state is, one of some others has to be.

    Parameters
    ----------
    state
        Place of the state in its component; −1: in every copy.
    options
        The others, as bits.
    """

    state: int
    options: int


@dataclass(frozen=True)
class TiedStates:
    """States that bear on each other, and on no others.

    Sets of states are integers whose bit ``i`` is the state ``states[i]``. All
    sets are closed: what a needed state needs is in them, and what needs an
    excluded state.

    Parameters
    ----------
    states
        Indices in the model, parents before children; the root is in no component.
    needs
        For each state, all that is in every copy with it, itself included.
    forbids
        For each state, all that is in no copy with it.
    needed_by
        For each state, all that is in no copy without it, itself included.
    always, never
        What the rules of the root ask for in every copy.
    choices
        ``OR`` rules, and complete groups where these count.
    """

    states: tuple[int, ...]
    needs: tuple[int, ...]
    forbids: tuple[int, ...]
    needed_by: tuple[int, ...]
    always: int
    never: int
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Constraints:
    """All components of a model.

    Parameters
    ----------
    components
        Independent of each other: every combination of their macrostates is allowed.
    root
        Index of the root, which is in every copy.
    possible
        False where a rule excludes the root itself.
    """

    components: tuple[TiedStates, ...]
    root: int
    possible: bool


def constraints_of(model: Multiconformer, *, complete: bool = False) -> Constraints:
    """Collect what the tree, the rules and the positions of a model demand of a copy.

    Parameters
    ----------
    model
        States that hold the same position exclude each other without a rule.
    complete
        Demand as well that a copy has every atom of a complete group: one of the states that
        hold a position, where their populations sum to that of an ancestor.
    """
    demands = _Demands(model, complete=complete)
    return Constraints(
        tuple(demands.component(states) for states in demands.connected()),
        model.tree.root,
        not demands.impossible,
    )


def held_together(model: Multiconformer) -> list[tuple[int, ...]]:
    """Distinct sets of states that hold one position, each in the order of the rows."""
    order = np.lexsort((np.arange(model.n_rows), model.position[model.site]))
    position, state = model.position[model.site[order]], model.state[order]
    stops = np.flatnonzero(np.diff(position, append=-1)) + 1
    found: dict[tuple[int, ...], None] = {}
    start = 0
    for stop in stops.tolist():
        found[tuple(dict.fromkeys(state[start:stop].tolist()))] = None
        start = stop
    return list(found)


def complete_groups(model: Multiconformer) -> list[tuple[int, tuple[int, ...]]]:
    """Ancestors, each with the states that share out one of its positions completely.

    Where members are recorded, populations are exact; stated ones may miss
    what rounding takes, and never more than a tenth of the ancestor's.
    """
    tree, population = model.tree, model.populations
    found: dict[tuple[int, tuple[int, ...]], None] = {}
    for group in held_together(model):
        if any(tree.related(a, b) for i, a in enumerate(group) for b in group[i + 1 :]):
            continue
        for ancestor in sorted({a for state in group for a in tree.line(state)[1:]}):
            below = tuple(state for state in group if tree.closure[state, ancestor])
            whole = 1.0 if ancestor == tree.root else float(population[ancestor])
            slack = 1e-6 if model.members is not None else min(ROUNDING + 1e-9, 0.1 * whole)
            if whole - float(population[list(below)].sum()) <= slack:
                found[ancestor, below] = None
    return list(found)


def bits(mask: int) -> Iterator[int]:
    """Places of the bits that are set, lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


class _Demands:
    """Demands on states by their index in the model, before they are cut into components."""

    def __init__(self, model: Multiconformer, *, complete: bool) -> None:
        self.tree = model.tree
        self.root = model.tree.root
        self.need: list[tuple[int, int]] = []
        self.exclude: list[tuple[int, int]] = sorted(model.exclusive)
        self.choose: list[tuple[int, tuple[int, ...]]] = []
        self.always: set[int] = set()
        self.never: set[int] = set()
        self.impossible = False
        for child, parent in enumerate(self.tree.parent.tolist()):
            if parent >= 0 and parent != self.root:
                self.need.append((child, parent))
        for rule in model.rules:
            state = self.tree.find(rule.state)
            self._add(rule.kind, state, [self.tree.find(other) for other in rule.others])
        for ancestor, group in complete_groups(model) if complete else ():
            self._choose(ancestor, group)

    def _add(self, kind: str, state: int, others: list[int]) -> None:
        if kind == "OR":
            self._choose(state, tuple(others))
        for other in others if kind == "AND" else ():
            if state == self.root and other != self.root:
                self.always.add(other)
            elif other != self.root:
                self.need.append((state, other))
        for other in others if kind == "NOT" else ():
            self._exclude(state, other)

    def _exclude(self, a: int, b: int) -> None:
        if self.root not in (a, b):
            self.exclude.append((a, b))
        elif a == b:
            self.impossible = True
        else:
            self.never.add(b if a == self.root else a)

    def _choose(self, state: int, options: tuple[int, ...]) -> None:
        # The root is in every copy, and so is what a state itself implies.
        if self.root not in options and state not in options:
            self.choose.append((state, options))

    def connected(self) -> list[tuple[int, ...]]:
        """Return the sets of states that demands tie together, in the order of their first."""
        pairs = [*self.need, *self.exclude]
        for state, options in self.choose:
            tied = [*options] if state == self.root else [state, *options]
            pairs += [(tied[0], other) for other in tied[1:]]
        n = len(self.tree)
        ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
        label = connected_components(graph, directed=False)[1]
        groups: dict[int, list[int]] = {}
        for state in self.tree.downward.tolist():
            if state != self.root:
                groups.setdefault(int(label[state]), []).append(state)
        self._sort_by_component(label)
        return sorted(map(tuple, groups.values()), key=min)

    def _sort_by_component(self, label: np.ndarray) -> None:
        """Hand each demand to the component of its states: one pass for all of them."""
        self.label = label
        self.needs_of: dict[int, list[tuple[int, int]]] = {}
        self.excluded_of: dict[int, list[tuple[int, int]]] = {}
        self.choices_of: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
        for pair in self.need:
            self.needs_of.setdefault(int(label[pair[0]]), []).append(pair)
        for pair in self.exclude:
            self.excluded_of.setdefault(int(label[pair[0]]), []).append(pair)
        for choice in self.choose:
            self.choices_of.setdefault(int(label[choice[1][0]]), []).append(choice)

    def component(self, states: tuple[int, ...]) -> TiedStates:
        place = {state: number for number, state in enumerate(states)}
        of = int(self.label[states[0]])
        needs = _closed(len(states), ((place[a], place[b]) for a, b in self.needs_of.get(of, ())))
        needed_by = _turned(needs)
        excluded = [0] * len(states)
        for a, b in self.excluded_of.get(of, ()):
            excluded[place[a]] |= 1 << place[b]
            excluded[place[b]] |= 1 << place[a]
        # Whatever needs an excluded state is excluded as well.
        excluded = [_union(needed_by, mask) for mask in excluded]
        choices = dict.fromkeys(
            Choice(place.get(state, -1), sum(1 << place[o] for o in dict.fromkeys(options)))
            for state, options in self.choices_of.get(of, ())
        )
        always = _mask(place, self.always)
        never = _mask(place, self.never)
        return TiedStates(
            states,
            tuple(needs),
            tuple(_union(excluded, mask) for mask in needs),
            tuple(needed_by),
            _union(needs, always),
            _union(needed_by, never) | _union(excluded, _union(needs, always)),
            tuple(choices),
        )


def _mask(place: dict[int, int], states: set[int]) -> int:
    return sum(1 << place[state] for state in states if state in place)


def _closed(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Each state with all that it needs, through any number of steps."""
    direct: list[list[int]] = [[] for _ in range(n)]
    for a, b in pairs:
        direct[a].append(b)
    found = []
    for start in range(n):
        reached, waiting = 1 << start, [start]
        while waiting:
            for other in direct[waiting.pop()]:
                if not reached >> other & 1:
                    reached |= 1 << other
                    waiting.append(other)
        found.append(reached)
    return found


def _turned(needs: list[int]) -> list[int]:
    found = [0] * len(needs)
    for state, mask in enumerate(needs):
        for other in bits(mask):
            found[other] |= 1 << state
    return found


def _union(sets: list[int], mask: int) -> int:
    found = 0
    for place in bits(mask):
        found |= sets[place]
    return found
