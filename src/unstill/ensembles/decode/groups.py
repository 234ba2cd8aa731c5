"""Sets of states of which a copy has one at most, and how often it has each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.ensembles.decode.partial import ROUNDING, with_partial_states
from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.tree import shortened
from unstill.errors import InputError
from unstill.shapes import Float, Int

EXCESS = 0.02
"""Sums of occupancies may be this much above the parent's; they are scaled down to it."""


@dataclass(frozen=True)
class Group:
    """Alternatives under one parent: a copy in the parent is in one of them at most.

    Parameters
    ----------
    parent
        Index of the state that all of them imply.
    states
        Indices of the alternatives. In tables their values are 0, 1, …, and the value
        ``len(states)`` stands for none of them.
    absent
        Share of all copies that are in the parent and in none of the alternatives.
    """

    parent: int
    states: tuple[int, ...]
    absent: float

    @property
    def size(self) -> int:
        """Number of values: the alternatives and none."""
        return len(self.states) + 1


@dataclass(frozen=True)
class Groups:
    """The groups of a model, with the populations that its copies should have.

    Parameters
    ----------
    model
        The model in which partial rows have states of their own.
    groups
        Parents before children.
    target
        ``(n_states,)`` share of copies in each state; children never exceed their parent.
    excess
        States (ids of the first) whose sum was scaled down to the parent's, and by how much
        it was above.
    """

    model: Multiconformer
    groups: tuple[Group, ...]
    target: Float[np.ndarray, " n_states"]
    excess: tuple[tuple[str, float], ...]

    @cached_property
    def of_state(self) -> Int[np.ndarray, " n_states"]:
        """Group of each state; −1 for the root."""
        found = np.full(len(self.model.states), -1)
        for number, group in enumerate(self.groups):
            found[list(group.states)] = number
        return found

    @cached_property
    def value_of_state(self) -> Int[np.ndarray, " n_states"]:
        """Value of each state in its group."""
        found = np.full(len(self.model.states), -1)
        for group in self.groups:
            found[list(group.states)] = np.arange(len(group.states))
        return found

    @cached_property
    def above(self) -> Int[np.ndarray, " n_groups"]:
        """Group of the parent of each group; −1 where that is the root."""
        return np.array([self.of_state[g.parent] for g in self.groups], dtype=int)

    @cached_property
    def below(self) -> tuple[tuple[int, ...], ...]:
        """Groups below each state."""
        found: list[list[int]] = [[] for _ in self.model.states]
        for number, group in enumerate(self.groups):
            found[group.parent].append(number)
        return tuple(map(tuple, found))

    def subtree(self, group: int) -> tuple[int, ...]:
        """Return the group and all groups below its states."""
        found = [group]
        for number in found:
            for state in self.groups[number].states:
                found.extend(self.below[state])
        return tuple(found)


def state_groups(model: Multiconformer, *, renormalise: bool = False) -> Groups:
    """Return the groups of a model, and the populations to reach.

    States under one parent form a group where they hold a common position.
    Occupancies that miss the parent's by no more than their rounding (0.005 a
    state), or exceed it by 0.02 at most, are scaled to it; what is missing beyond that is the
    share of copies that have none of the states.

    Parameters
    ----------
    model
        With a tree of states.
    renormalise
        Scale down sums that exceed the parent's by more than 0.02, instead of refusing.

    Returns
    -------
    Groups
        Of the model with partial rows in states of their own.

    Raises
    ------
    InputError
        If the occupancies of states that exclude each other exceed their parent's by more
        than 0.02, or an occupancy is negative.
    """
    model = with_partial_states(model)
    stated = model.tree.occupancy
    _check_stated(model, stated)
    target = np.zeros(len(model.states))
    target[model.tree.root] = 1.0
    groups: list[Group] = []
    excess: list[tuple[str, float]] = []
    meets = _partners(model)
    for parent in model.tree.downward.tolist():
        scale = target[parent] / stated[parent] if stated[parent] > 0 else 0.0
        for states in _alternatives(model, parent, meets):
            share = stated[list(states)] * scale
            total, limit = float(share.sum()), float(target[parent])
            if total - limit > ROUNDING * len(states) + 1e-9:
                excess.append((model.states[states[0]].id, total - limit))
            if total > limit or limit - total <= ROUNDING * len(states) + 1e-9:
                share *= limit / total if total > 0 else 0.0
            target[list(states)] = share
            absent = max(limit - float(share.sum()), 0.0)
            groups.append(Group(parent, states, absent if absent > 1e-9 else 0.0))
    _check_excess(model, excess, renormalise)
    return Groups(model, tuple(groups), target, tuple(excess))


def _check_stated(model: Multiconformer, stated: np.ndarray) -> None:
    bad = np.flatnonzero(stated < 0)
    if len(bad):
        raise InputError(
            "an occupancy is negative",
            found=shortened(f"{model.states[s].id} ({stated[s]:g})" for s in bad.tolist()),
            fix="correct the occupancies of these states",
        )


def _check_excess(
    model: Multiconformer, excess: Sequence[tuple[str, float]], renormalise: bool
) -> None:
    above = sorted((e for e in excess if e[1] > EXCESS + 1e-9), key=lambda e: -e[1])
    if above and not renormalise:
        raise InputError(
            "occupancies of states that exclude each other exceed their parent's",
            found=f"{len(above)} groups, the worst "
            + shortened((f"{name} and its alternatives +{more:.2f}" for name, more in above), 3),
            fix="correct the occupancies, or let them be scaled down (--renormalise)",
        )


def _alternatives(
    model: Multiconformer, parent: int, meets: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """Children of a state in sets whose members all exclude each other.

    Where exclusion is not transitive, the most occupied states choose first; what is left
    between the sets is kept by pairs.
    """
    exclusive = model.exclusive
    sets: list[list[int]] = []
    children = model.tree.children[parent]
    order = sorted(children, key=lambda child: -model.states[child].occupancy)
    home: dict[int, int] = {}
    for child in order:
        for number in sorted({home[other] for other in meets[child] if other in home}):
            if all((min(child, o), max(child, o)) in exclusive for o in sets[number]):
                sets[number].append(child)
                home[child] = number
                break
        else:
            home[child] = len(sets)
            sets.append([child])
    return sorted(tuple(sorted(states)) for states in sets)


def _partners(model: Multiconformer) -> list[list[int]]:
    """States that each state excludes by holding the same position."""
    found: list[list[int]] = [[] for _ in model.states]
    for a, b in model.exclusive:
        found[a].append(b)
        found[b].append(a)
    return found
