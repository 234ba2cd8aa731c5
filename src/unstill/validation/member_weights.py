"""V9: the members give the occupancies, and each of them is an allowed copy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer import Members, Multiconformer
from unstill.validation.finding import Finding
from unstill.validation.row_names import several, state_ids

EXACT = 1e-6
"""What the sum of the weights may differ from an occupancy."""

_WRITTEN = 0.005
"""What occupancies written with two or three digits differ from the exact ones."""


def check_members(model: Multiconformer) -> Iterator[Finding]:
    """Compare the populations of the members with the occupancies; check every member."""
    members = model.members
    if members is None:
        return
    yield from _marginals(model, members)
    yield from _lines(model, members)
    yield from _pairs(model, members)
    yield from _rules(model, members)


def _marginals(model: Multiconformer, members: Members) -> Iterator[Finding]:
    off = members.populations - model.tree.occupancy
    for states, written in (
        (np.flatnonzero(np.abs(off) > _WRITTEN), False),
        (np.flatnonzero((np.abs(off) > EXACT) & (np.abs(off) <= _WRITTEN)), True),
    ):
        if not len(states):
            continue
        worst = int(states[np.argmax(np.abs(off[states]))])
        yield Finding(
            "V9",
            "warning" if written else "error",
            f"weights of the members do not give the occupancy of {several(len(states), 'state')}"
            f": {model.states[worst].id} has {model.tree.occupancy[worst]:.6g}, its members "
            f"{members.populations[worst]:.6g}"
            + (" (as far as rounding goes)" if written else ""),
            states=state_ids(model, [worst, *(s for s in states.tolist() if s != worst)][:12]),
            value=float(off[worst]),
            remedy="take the occupancies from the members, or drop the members",
            kind="rounded-weights" if written else "weights",
            count=len(states),
        )


def _lines(model: Multiconformer, members: Members) -> Iterator[Finding]:
    held = members.in_state
    root = ~held[:, model.tree.root]
    # Every ancestor of a state that a member is in.
    implied = (held.astype(np.int64) @ model.tree.closure.astype(np.int64)) > 0
    lacking = (implied & ~held).any(axis=1) | root
    if lacking.any():
        yield _of_members(
            members,
            lacking,
            "in a state and not in its parent",
            "put each member in all ancestors of its states, up to the root",
            "member-without-parent",
        )


def _pairs(model: Multiconformer, members: Members) -> Iterator[Finding]:
    if not model.exclusive:
        return
    a, b = np.array(sorted(model.exclusive)).T
    found = np.zeros(members.n_members, dtype=bool)
    states: set[int] = set()
    for number, held in enumerate(members.in_state):
        both = held[a] & held[b]
        if both.any():
            found[number] = True
            states.update((int(a[both][0]), int(b[both][0])))
    if found.any():
        yield _of_members(
            members,
            found,
            "in two states that hold the same atoms",
            "take each member out of one of the two",
            "member-in-exclusive-states",
            state_ids(model, sorted(states)[:12]),
        )


def _rules(model: Multiconformer, members: Members) -> Iterator[Finding]:
    held = members.in_state
    for rule in model.rules:
        others = held[:, [model.tree.find(other) for other in rule.others]]
        kept = {"AND": others.all(1), "OR": others.any(1), "NOT": ~others.any(1)}[rule.kind]
        broken = held[:, model.tree.find(rule.state)] & ~kept
        if broken.any():
            yield _of_members(
                members,
                broken,
                f"against rule {rule.id} ({rule.kind})",
                "correct the rule or the members",
                "member-against-rule",
                (rule.state, *rule.others),
            )


def _of_members(
    members: Members,
    which: np.ndarray,
    what: str,
    remedy: str,
    kind: str,
    states: tuple[str, ...] = (),
) -> Finding:
    numbers = np.flatnonzero(which)
    names = ", ".join(members.names[i] for i in numbers[:6].tolist())
    more = f" and {len(numbers) - 6} more" if len(numbers) > 6 else ""
    weight = float(members.weights[which].sum())
    return Finding(
        "V9",
        "error",
        f"{several(len(numbers), 'member')} (weight {weight:.3g}) {what}: {names}{more}",
        states=states,
        value=weight,
        remedy=remedy,
        kind=kind,
        count=len(numbers),
    )
