"""V3, and what positions forbid of V4: rules that fit the tree, states that can occur."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from unstill.ensembles.multiconformer import Multiconformer, Rule
from unstill.ensembles.multiconformer.constraints import (
    Constraints,
    TiedStates,
    bits,
    constraints_of,
)
from unstill.ensembles.multiconformer.macrostates import MOST_STEPS, can_hold, search_held
from unstill.ensembles.multiconformer.tree import shortened
from unstill.validation.finding import Finding
from unstill.validation.row_names import several, state_ids

_MOST_STEPS = 3 * MOST_STEPS
"""Steps that all searches of one component may take before it is left alone."""


def check_rules(model: Multiconformer) -> Iterator[Finding]:
    """Find rules against the tree, states that no copy can be in, rules that say nothing.

    A state can occur if some macrostate has it; only ``OR`` rules need a
    search, and one that takes too long ends in a note, not in a verdict.
    """
    for rule in model.rules:
        yield from _against_tree(model, rule)
        yield from _says_nothing(model, rule)
    yield from _cannot_occur(model)


def _against_tree(model: Multiconformer, rule: Rule) -> Iterator[Finding]:
    if rule.kind != "NOT":
        return
    state = model.tree.find(rule.state)
    for other in rule.others:
        number = model.tree.find(other)
        if not model.tree.related(state, number):
            continue
        lower, upper = (
            (rule.state, other) if model.tree.closure[state, number] else (other, rule.state)
        )
        yield Finding(
            "V3",
            "error",
            f"rule {rule.id} excludes {lower} from {upper}, and "
            + ("they are one" if lower == upper else f"{lower} is part of {upper}"),
            states=tuple(dict.fromkeys((lower, upper))),
            remedy=f"remove {other} from the rule, or move {lower} elsewhere in the tree",
            kind="rule-against-tree",
        )


def _says_nothing(model: Multiconformer, rule: Rule) -> Iterator[Finding]:
    """Rules that every copy keeps anyway: the tree says the same already."""
    above = {model.states[a].id for a in model.tree.line(model.tree.find(rule.state))}
    implied = [other for other in rule.others if other in above]
    nothing = (rule.kind == "AND" and len(implied) == len(rule.others)) or (
        rule.kind == "OR" and implied
    )
    if nothing:
        yield Finding(
            "V3",
            "note",
            f"rule {rule.id} ({rule.kind}) asks nothing of {rule.state}: its copies are in "
            f"{shortened(implied)} by the tree",
            states=(rule.state, *implied),
            remedy="remove the rule, or name the states that are meant",
            kind="rule-without-effect",
        )


@dataclass(frozen=True)
class _Reason:
    """Why states cannot occur: two that exclude each other, or no choice that works."""

    text: str
    by_atoms: bool = False
    told: bool = False


def _cannot_occur(model: Multiconformer) -> Iterator[Finding]:
    constraints = constraints_of(model)
    if not constraints.possible or _root_fails(constraints):
        yield Finding(
            "V3",
            "error",
            f"no copy is allowed at all: what the rules ask of {model.states[constraints.root].id}"
            " contradicts itself",
            states=(model.states[constraints.root].id,),
            remedy="remove one of the rules that speak of the root",
            kind="no-copy-allowed",
        )
        return
    excluded = _direct_exclusions(model)
    reasons: dict[_Reason, list[int]] = {}
    for component in constraints.components:
        never, unproved = _searched(component)
        for place in never:
            reason = _reason(model, component, place, excluded)
            reasons.setdefault(reason, []).append(component.states[place])
        if unproved:
            yield _unproved(model, [component.states[place] for place in unproved])
    for reason, states in reasons.items():
        if not reason.told:
            yield _impossible(model, reason, states)


def _root_fails(constraints: Constraints) -> bool:
    return any(
        part.always & part.never or can_hold(part) is False for part in constraints.components
    )


def _searched(component: TiedStates) -> tuple[list[int], list[int]]:
    """Places of states that no copy can be in, and of those where the search gave up."""
    never: list[int] = []
    unproved: list[int] = []
    left = _MOST_STEPS
    # Where it is unknown whether any copy is allowed, every search of a state would be as long.
    if can_hold(component) is None:
        left = 0
    for place in range(len(component.states)):
        can, steps = search_held(component, 1 << place, min(left, MOST_STEPS))
        left = max(left - steps, 0)
        if can is None:
            unproved.append(place)
        elif not can:
            never.append(place)
    return never, unproved


def _unproved(model: Multiconformer, states: list[int]) -> Finding:
    return Finding(
        "V3",
        "note",
        f"unproved whether {several(len(states), 'state')} can occur: too many rules bear on them",
        states=state_ids(model, states[:12]),
        remedy="split the OR rules among them, or trust them",
        kind="unproved",
        count=len(states),
    )


def _impossible(model: Multiconformer, reason: _Reason, states: list[int]) -> Finding:
    ids = state_ids(model, states)
    many = f"{ids[0]} cannot occur" if len(ids) == 1 else f"{len(ids)} states cannot occur"
    return Finding(
        "V4" if reason.by_atoms else "V3",
        "error",
        f"{many} in any copy: {reason.text}",
        states=ids[:12],
        remedy="change the rule, or remove the states that it leaves no place for",
        kind="needs-what-it-excludes" if reason.by_atoms else "cannot-occur",
        count=len(ids),
    )


def _direct_exclusions(model: Multiconformer) -> dict[tuple[int, int], int]:
    """Pairs of states (a ≤ b) that exclude each other, with the rule that says so (0: atoms)."""
    found = dict.fromkeys(model.exclusive, 0)
    for rule in model.rules:
        state = model.tree.find(rule.state)
        for other in rule.others if rule.kind == "NOT" else ():
            number = model.tree.find(other)
            found.setdefault((min(state, number), max(state, number)), rule.id)
    return found


def _reason(
    model: Multiconformer,
    component: TiedStates,
    place: int,
    excluded: dict[tuple[int, int], int],
) -> _Reason:
    held = component.needs[place] | component.always
    line = sorted([model.tree.root, *(component.states[i] for i in bits(held))])
    for i, a in enumerate(line):
        for b in line[i:]:
            rule = excluded.get((a, b))
            if rule is None:
                continue
            one, other = model.states[a].id, model.states[b].id
            if rule:
                told = model.tree.related(a, b)
                return _Reason(
                    f"its copies are in {one} and {other}, which rule {rule} sets apart",
                    told=told,
                )
            return _Reason(
                f"its copies are in {one} and {other}, which hold the same atoms", by_atoms=True
            )
    ors = [rule.id for rule in model.rules if rule.kind == "OR"]
    return _Reason(
        f"no state that the OR rules ask for can be there with it (rules {shortened(ors, 6)})"
    )
