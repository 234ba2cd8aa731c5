"""Which combinations of states a copy may be in: all of them, or whether there is one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.multiconformer.constraints import (
    Choice,
    Constraints,
    TiedStates,
    bits,
    constraints_of,
)
from unstill.ensembles.multiconformer.model import Multiconformer
from unstill.shapes import Bool

MOST_STEPS = 40_000
"""Choices that one search may look at; beyond them nothing is claimed."""


@dataclass(frozen=True, eq=False)
class LocalMacrostates:
    """The allowed combinations of the states of one component.

    Parameters
    ----------
    states
        Indices of the states in the model, parents before children.
    present
        ``(n_macrostates, n_states)`` which of them are there.
    all_found
        Whether there are no more than these.
    """

    states: tuple[int, ...]
    present: Bool[np.ndarray, "n_macrostates n_states"]
    all_found: bool


@dataclass(frozen=True, eq=False)
class Macrostates:
    """All combinations of states that a copy may be in, as a product over components.

    Parameters
    ----------
    components
        Independent of each other; a macrostate of the model takes one of each.
    root
        Index of the root, which is in every macrostate.
    n_states
        Number of states of the model, the root included.
    """

    components: tuple[LocalMacrostates, ...]
    root: int
    n_states: int

    @property
    def all_found(self) -> bool:
        """Whether every component was searched to the end."""
        return all(component.all_found for component in self.components)

    @property
    def count(self) -> int:
        """Number of macrostates; a lower bound unless ``all_found``."""
        return math.prod(len(component.present) for component in self.components)

    def __iter__(self) -> Iterator[Bool[np.ndarray, " n_states"]]:
        """Every macrostate as a mask of all states; the last component changes fastest."""
        if not self.count:
            return
        turn = [0] * len(self.components)
        for _ in range(self.count):
            yield self._of(turn)
            for place in range(len(turn) - 1, -1, -1):
                turn[place] = (turn[place] + 1) % len(self.components[place].present)
                if turn[place]:
                    break

    def _of(self, turn: list[int]) -> Bool[np.ndarray, " n_states"]:
        held = np.zeros(self.n_states, dtype=bool)
        held[self.root] = True
        for component, number in zip(self.components, turn, strict=True):
            held[list(component.states)] = component.present[number]
        return held


def enumerate_macrostates(
    model: Multiconformer, limit: int = 10_000, *, complete: bool = False
) -> Macrostates:
    """Find all combinations of states that the tree, the rules and the positions allow.

    A copy is in a state only with its parent, keeps every rule, and is in no two
    states that hold the same position. States that bear on each other form
    components; each is searched by itself, exactly, by deciding one state
    after the other with all that follows from it.

    Parameters
    ----------
    model
        The states.
    limit
        Macrostates of one component at most; where there are more, ``all_found`` says so.
    complete
        Leave out copies that lack an atom of a complete group: one whose states' populations
        sum to that of an ancestor.

    Returns
    -------
    Macrostates
        By component, in the order of their first state; empty components of contradictory
        rules have no macrostate, and then the model has none.
    """
    found = constraints_of(model, complete=complete)
    components = tuple(_enumerate(part, limit) for part in found.components)
    if not found.possible:
        nothing = LocalMacrostates((), np.zeros((0, 0), dtype=bool), all_found=True)
        components = (*components, nothing)
    return Macrostates(components, found.root, len(model.states))


def is_satisfiable(
    model: Multiconformer, required: Collection[str] = (), *, complete: bool = False
) -> bool | None:
    """Whether some copy may be in all the required states at once.

    Parameters
    ----------
    model
        The states.
    required
        Ids of states; their ancestors follow. None: whether any copy is allowed at all.
    complete
        As in ``enumerate_macrostates``.

    Returns
    -------
    bool or None
        ``None`` where the search was given up after ``MOST_STEPS`` steps: nothing is proved.

    Raises
    ------
    InputError
        If there is no state with a required id.
    """
    states = [model.tree.find(state_id) for state_id in required]
    return can_occur(constraints_of(model, complete=complete), states)


def can_occur(constraints: Constraints, states: Collection[int]) -> bool | None:
    """Whether some copy may be in all these states (by index); ``None``: not proved."""
    if not constraints.possible:
        return False
    answers = [
        can_hold(part, sum(1 << i for i, s in enumerate(part.states) if s in states))
        for part in constraints.components
    ]
    return False if False in answers else None if None in answers else True


def can_hold(component: TiedStates, required: int = 0) -> bool | None:
    """Whether some macrostate of a component has all required states (bits)."""
    return search_held(component, required)[0]


def search_held(
    component: TiedStates, required: int = 0, most: int = MOST_STEPS
) -> tuple[bool | None, int]:
    """Answer ``can_hold`` within a number of steps, and say how many it took.

    Only choices need a search: once they are made, all other states may be
    absent.
    """
    stack = [_begin(component, required)]
    a_round, steps = 1 + len(component.choices), 0
    while stack:
        if steps > most:
            return None, steps
        steps += a_round
        decided = _propagated(component, stack.pop())
        if decided is None:
            continue
        present, absent = decided
        waiting = [c for c in component.choices if _is_due(c, present)]
        if not waiting:
            return True, steps
        options = min((c.options & ~absent for c in waiting), key=int.bit_count)
        stack += [_with(component, decided, option) for option in bits(options)][::-1]
    return False, steps


_Decided = tuple[int, int] | None
"""States that are present and absent, as bits; ``None`` for a contradiction."""


def _enumerate(component: TiedStates, limit: int) -> LocalMacrostates:
    found: list[int] = []
    whole = (1 << len(component.states)) - 1
    stack = [_begin(component, 0)]
    # Every macrostate takes a step a state; what leads nowhere must not take much more.
    steps = 2 * limit * len(component.states) + MOST_STEPS // (1 + len(component.choices))
    while stack and len(found) <= limit and steps:
        steps -= 1
        decided = _propagated(component, stack.pop())
        if decided is None:
            continue
        present, absent = decided
        left = whole & ~(present | absent)
        if not left:
            found.append(present)
            continue
        state = (left & -left).bit_length() - 1
        without = absent | component.needed_by[state]
        stack.append(None if without & present else (present, without))
        stack.append(_with(component, decided, state))
    all_found = not stack and len(found) <= limit
    return LocalMacrostates(component.states, _table(component, found[:limit]), all_found)


def _begin(component: TiedStates, required: int) -> _Decided:
    decided: _Decided = (component.always, component.never)
    if component.always & component.never:
        return None
    for state in bits(required):
        decided = _with(component, decided, state)
    return decided


def _with(component: TiedStates, decided: _Decided, state: int) -> _Decided:
    if decided is None:
        return None
    present = decided[0] | component.needs[state]
    absent = decided[1] | component.forbids[state]
    return None if present & absent else (present, absent)


def _propagated(component: TiedStates, decided: _Decided) -> _Decided:
    """Follow what the choices leave no freedom in, until nothing changes."""
    before: _Decided = None
    while decided is not None and decided != before:
        before = decided
        for choice in component.choices:
            decided = _follow(component, choice, decided)
            if decided is None:
                break
    return decided


def _follow(component: TiedStates, choice: Choice, decided: tuple[int, int]) -> _Decided:
    present, absent = decided
    if choice.options & present:
        return decided
    options = choice.options & ~absent
    if _is_due(choice, present):
        if not options:
            return None
        single = options & (options - 1) == 0
        return _with(component, decided, options.bit_length() - 1) if single else decided
    if not options:
        absent |= component.needed_by[choice.state]
        return None if present & absent else (present, absent)
    return decided


def _is_due(choice: Choice, present: int) -> bool:
    """Whether a choice has to be made and is not made."""
    held = choice.state < 0 or present >> choice.state & 1
    return bool(held) and not choice.options & present


def _table(component: TiedStates, found: list[int]) -> Bool[np.ndarray, "n_macrostates n_states"]:
    n = len(component.states)
    table = np.zeros((len(found), n), dtype=bool)
    for row, mask in enumerate(found):
        table[row, list(bits(mask))] = True
    return table
