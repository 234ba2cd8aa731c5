"""States and the tree that they form: a child implies its parent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Bool, Float, Int

ROOT = "Base"
"""Id of the root where nobody chose another."""

StateKind = Literal["conformational", "compositional"]


@dataclass(frozen=True)
class State:
    """A part of the atoms that is there, or in this place, in a share of all copies.

    Parameters
    ----------
    id
        A token without white space or commas, unique in its model.
    parent
        Id of the state that this one implies; ``None`` for the root.
    name
        Unique, without white space; the id by default.
    kind
        ``conformational`` (the same atoms elsewhere) or ``compositional`` (other atoms).
    details, evidence
        Free text; ``evidence`` says what the state rests on.
    occupancy
        Share of all copies that are in this state (absolute, not of the parent).
    esd
        Standard uncertainty of the occupancy, where known.
    """

    id: str
    parent: str | None = None
    name: str = ""
    kind: StateKind = "conformational"
    details: str = ""
    occupancy: float = 1.0
    esd: float | None = None
    evidence: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.id)
        for what, text in (("id", self.id), ("name", self.name)):
            if not text or any(c.isspace() or c == "," for c in text) or text in (".", "?"):
                raise InputError(
                    f"the {what} of a state must be a token without white space or commas",
                    found=repr(text),
                    fix="rename the state",
                )
        if self.kind not in ("conformational", "compositional"):
            raise InputError(
                "a state is of no known kind",
                found=f"{self.id}: {self.kind!r}",
                fix="use conformational or compositional",
            )


class StateTree:
    """Parents, ancestors and descendants of states, by their index.

    Parameters
    ----------
    states
        The first is the root; parents may stand before or after their children.

    Raises
    ------
    InputError
        If an id or a name is not unique, a parent does not exist, there is not
        exactly one root, or the parents form a cycle.
    """

    def __init__(self, states: Sequence[State]) -> None:
        self.states = tuple(states)
        _check_unique([state.id for state in self.states], "id")
        _check_unique([state.name for state in self.states], "name")
        self.index = {state.id: number for number, state in enumerate(self.states)}
        self.parent = self._parents()

    def __len__(self) -> int:
        return len(self.states)

    def find(self, state_id: str) -> int:
        """Index of a state.

        Raises
        ------
        InputError
            If there is none with this id.
        """
        if state_id not in self.index:
            raise InputError(
                "there is no such state",
                found=state_id,
                fix=f"use one of {shortened(self.index)}",
            )
        return self.index[state_id]

    @cached_property
    def closure(self) -> Bool[np.ndarray, "n_states n_states"]:
        """``closure[a, b]``: b is a itself or an ancestor of a."""
        closed = np.eye(len(self.states), dtype=bool)
        for number in self.downward:
            if self.parent[number] >= 0:
                closed[number] |= closed[self.parent[number]]
        return closed

    @cached_property
    def downward(self) -> Int[np.ndarray, " n_states"]:
        """State indices, parents before children, in the order of the list otherwise."""
        return np.argsort(self.depth, kind="stable")

    @cached_property
    def depth(self) -> Int[np.ndarray, " n_states"]:
        """Steps from the root."""
        depth = np.zeros(len(self.states), dtype=int)
        at = self.parent.copy()
        while (at >= 0).any():
            depth += at >= 0
            at = np.where(at >= 0, self.parent[at], -1)
        return depth

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the children of each state."""
        found: list[list[int]] = [[] for _ in self.states]
        for number, parent in enumerate(self.parent.tolist()):
            if parent >= 0:
                found[parent].append(number)
        return tuple(map(tuple, found))

    @property
    def root(self) -> int:
        """Index of the root."""
        return int(np.flatnonzero(self.parent < 0)[0])

    def related(self, a: int, b: int) -> bool:
        """Whether two states are the same or one is the other's ancestor."""
        return b in self.line(a) or a in self.line(b)

    def line(self, state: int) -> tuple[int, ...]:
        """Return the state and its ancestors, up to the root."""
        found = []
        while state >= 0:
            found.append(state)
            state = int(self.parent[state])
        return tuple(found)

    @cached_property
    def occupancy(self) -> Float[np.ndarray, " n_states"]:
        """Occupancies as the states say them."""
        return np.array([state.occupancy for state in self.states], dtype=float)

    def _parents(self) -> Int[np.ndarray, " n_states"]:
        parent = np.full(len(self.states), -1)
        for number, state in enumerate(self.states):
            if state.parent is None:
                continue
            if state.parent not in self.index:
                raise InputError(
                    "the parent of a state does not exist",
                    found=f"{state.id} has parent {state.parent}",
                    fix=f"use one of {shortened(self.index)}",
                )
            parent[number] = self.index[state.parent]
        roots = np.flatnonzero(parent < 0)
        # Steps of 1, 2, 4, …: who has not left the tree by then never does.
        at = parent.copy()
        for _ in range(len(self.states).bit_length() + 1):
            at = np.where(at >= 0, at[at], -1)
        if (at >= 0).any():
            inside = [self.states[i].id for i in np.flatnonzero(at >= 0)]
            raise InputError(
                "states are their own ancestors",
                found=shortened(inside),
                fix="give one of them another parent",
            )
        if len(roots) != 1:
            raise InputError(
                "a tree of states has exactly one root",
                found=f"{len(roots)} states without parent: "
                f"{shortened(self.states[i].id for i in roots)}",
                fix="give all states but one a parent",
            )
        return parent


def shortened(names: object, limit: int = 12) -> str:
    """Write out the first names of a list, and how many there are besides."""
    listed = [str(name) for name in names]  # type: ignore[attr-defined]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def _check_unique(values: list[str], what: str) -> None:
    if len(set(values)) == len(values):
        return
    twice = sorted(value for value, times in Counter(values).items() if times > 1)
    raise InputError(
        f"two states have the same {what}", found=shortened(twice), fix="rename one of them"
    )
