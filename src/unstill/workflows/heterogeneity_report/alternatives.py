"""States in the order in which they are drawn, with what they hold and one colour each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unstill.ensembles.multiconformer import Multiconformer

PALETTE = (
    "#0b6b78",
    "#d0661b",
    "#6b4a9b",
    "#b98a00",
    "#3f7d3a",
    "#b8336a",
    "#3f6fb5",
    "#7a6655",
)
"""Told apart by most colour-blind readers; alternatives of one place take them in turn."""

SHARED = "#b9bcc0"
"""What every copy has."""


@dataclass(frozen=True)
class DrawnState:
    """A state in its place in the drawing.

    Parameters
    ----------
    state
        Index in the model.
    depth
        1 for children of the root.
    group
        Number of its set of alternatives: states that exclude each other below one parent.
    top
        Number of the set of alternatives of the root to which it or its ancestor belongs.
    colour
        ``#rrggbb``.
    """

    state: int
    depth: int
    group: int
    top: int
    colour: str


def drawn_states(model: Multiconformer) -> tuple[DrawnState, ...]:
    """All states but the root, alternatives side by side, children below their parents.

    Sets of alternatives come in the order of their first atom, the more frequent state first.
    Colours are those of the palette in turn, begun anew for each set below the root.
    """
    walk = _Walk(model)
    walk.below(model.tree.root, 1)
    return tuple(walk.found)


def span(model: Multiconformer, state: int, most: int = 28) -> str:
    """Chains and residues that a state holds, short: ``A 45–48, 52``.

    A state that holds nothing itself spans what its descendants do, in brackets.
    """
    rows = np.flatnonzero(model.state == state)
    if len(rows):
        return _shortened(_spans(model, rows), most)
    rows = np.flatnonzero(model.tree.closure[model.state, state])
    return f"({_shortened(_spans(model, rows), most - 2)})" if len(rows) else "no atoms"


def spans_of(model: Multiconformer, states: Iterable[int], most: int = 60) -> str:
    """Chains and residues of several states together."""
    rows = np.flatnonzero(np.isin(model.state, list(states)))
    return _shortened(_spans(model, rows), most) if len(rows) else "no atoms"


class _Walk:
    def __init__(self, model: Multiconformer) -> None:
        self.model = model
        self.found: list[DrawnState] = []
        self.n_groups = 0
        self.top = 0
        self.used = 0
        self.label = _sets_of_alternatives(model)
        first = np.full(len(model.states), model.n_rows)
        np.minimum.at(first, model.state, np.arange(model.n_rows))
        for state in model.tree.downward[::-1].tolist():
            parent = int(model.tree.parent[state])
            if parent >= 0:
                first[parent] = min(first[parent], first[state])
        self.first = first

    def below(self, parent: int, depth: int) -> None:
        sets: dict[int, list[int]] = {}
        for child in self.model.tree.children[parent]:
            sets.setdefault(int(self.label[child]), []).append(child)
        population = self.model.populations
        for some in sorted(sets.values(), key=lambda s: min(self.first[c] for c in s)):
            if depth == 1:
                self.top += 1
                self.used = 0
            self.n_groups += 1
            group = self.n_groups
            ordered = sorted(some, key=lambda c: (-float(population[c]), c))
            colours = {}
            for child in ordered:
                colours[child] = PALETTE[self.used % len(PALETTE)]
                self.used += 1
            for child in ordered:
                self.found.append(DrawnState(child, depth, group, self.top, colours[child]))
                self.below(child, depth + 1)


def _sets_of_alternatives(model: Multiconformer) -> np.ndarray:
    """Label states that exclude each other below one parent, through any number of steps."""
    tree, n = model.tree, len(model.states)
    pairs = list(model.exclusive)
    for rule in model.rules:
        if rule.kind == "NOT":
            a = tree.find(rule.state)
            pairs += [(a, tree.find(other)) for other in rule.others]
    # What excludes a state excludes what hangs on it: compare at the level of siblings.
    lines = [tree.line(state)[::-1] for state in range(n)]
    siblings = []
    for a, b in pairs:
        for one, other in zip(lines[a], lines[b], strict=False):
            if one != other:
                siblings.append((one, other))
                break
    ends = np.array(siblings, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1])


def _spans(model: Multiconformer, rows: np.ndarray) -> list[str]:
    sites = model.sites
    by_chain: dict[str, list[tuple[int, str]]] = {}
    for site in np.unique(model.site[rows]).tolist():
        number = (int(sites.res_id[site]), str(sites.ins_code[site]).strip())
        found = by_chain.setdefault(str(sites.chain_id[site]), [])
        if not found or found[-1] != number:
            found.append(number)
    parts = []
    for chain, numbers in by_chain.items():
        runs: list[list[tuple[int, str]]] = []
        for number in sorted(set(numbers)):
            follows = runs and number[0] - runs[-1][-1][0] in (0, 1)
            if follows:
                runs[-1].append(number)
            else:
                runs.append([number])
        for place, run in enumerate(runs):
            low, high = (f"{n}{ins}" for n, ins in (run[0], run[-1]))
            text = low if low == high else f"{low}–{high}"
            parts.append(f"{chain} {text}".strip() if place == 0 else text)
    return parts


def _shortened(parts: list[str], most: int) -> str:
    text = ""
    for number, part in enumerate(parts):
        longer = f"{text}, {part}" if text else part
        left = len(parts) - number - 1
        if len(longer) + (5 if left else 0) > most and text:
            text = f"{text}, +{left + 1}"
            break
        text = longer
    return text if len(text) <= most else f"{text[: most - 1]}…"
