"""V4: positions that several states hold, of which a copy can have one only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.constraints import ROUNDING
from unstill.validation.finding import Finding
from unstill.validation.row_names import row_names, several, state_ids


def check_exclusivity(model: Multiconformer) -> Iterator[Finding]:
    """Find atoms that stand twice on one line of the tree, and exclusions that no rule writes.

    A row of an ancestor whose occupancy leaves room for the row of the
    descendant was meant as its alternative: a warning. Otherwise a copy would
    have the atom in two places.
    """
    lines: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for lower, upper in _twice_on_a_line(model):
        lines.setdefault((int(model.state[lower]), int(model.state[upper])), []).append(
            (lower, upper)
        )
    for (lower_state, upper_state), pairs in lines.items():
        yield _twice(model, lower_state, upper_state, pairs)
    if model.stated:
        yield from _unwritten(model)


def _twice_on_a_line(model: Multiconformer) -> Iterator[tuple[int, int]]:
    """Pairs of rows (of the descendant, of the ancestor) that hold one position."""
    position = model.position[model.site]
    order = np.argsort(position, kind="stable")
    starts = np.flatnonzero(np.diff(position[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        if len(rows) < 2:
            continue
        states = model.state[rows]
        above = model.tree.closure[np.ix_(states, states)]
        for a, b in np.argwhere(above & ~np.eye(len(rows), dtype=bool)).tolist():
            # Two rows in one state (of other residues that share the position) count once.
            if states[a] != states[b] or a < b:
                yield int(rows[a]), int(rows[b])


def _twice(model: Multiconformer, lower: int, upper: int, pairs: list[tuple[int, int]]) -> Finding:
    rows = np.array(pairs)
    total = float(model.occupancy[rows].sum(axis=1).max())
    whole = 1.0 if upper == model.tree.root else float(model.populations[upper])
    meant = lower != upper and total <= whole + ROUNDING + 1e-6
    name, above = model.states[lower].id, model.states[upper].id
    where = (
        f"in {name}" if lower == upper else f"in {name} and in {above}, of which {name} is part"
    )
    return Finding(
        "V4",
        "warning" if meant else "error",
        f"{several(len(pairs), 'atom')} twice in one copy: {where}"
        + (f"; their occupancies (at most {total:.2f}) say that they exclude each other" * meant),
        states=state_ids(model, dict.fromkeys((lower, upper))),
        atoms=row_names(model, rows[:, 0].tolist()),
        value=total,
        remedy="give each place a state of its own, side by side",
        kind="twice-on-a-line",
        count=len(pairs),
    )


def _unwritten(model: Multiconformer) -> Iterator[Finding]:
    written = set()
    for rule in model.rules:
        state = model.tree.find(rule.state)
        for other in rule.others if rule.kind == "NOT" else ():
            number = model.tree.find(other)
            written.add((min(state, number), max(state, number)))
    count = len(model.exclusive - written)
    if count:
        yield Finding(
            "V4",
            "note",
            f"{several(count, 'pair')} of states hold the same atoms, so they exclude each other, "
            "and no rule says so; programs that go by the rules alone would combine them",
            remedy="write the rules out: unstill hierarchy infer --rules",
            kind="unwritten-exclusion",
            count=count,
        )
