"""V5 across rules: populations that the rules of coexistence leave no room for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer, Rule
from unstill.ensembles.multiconformer.constraints import held_together
from unstill.validation.finding import Finding
from unstill.validation.occupancies import too_much
from unstill.validation.row_names import state_ids


def check_rule_populations(model: Multiconformer) -> Iterator[Finding]:
    """Hold populations against the rules.

    States that exclude each other add up to what they share at most; a state
    is no more frequent than each state that it needs (AND), nor than all that
    it chooses from together (OR).
    """
    for rule in model.rules:
        if rule.kind != "NOT":
            yield from _needs(model, rule)
    yield from _exclusive(model)


def _needs(model: Multiconformer, rule: Rule) -> Iterator[Finding]:
    population = model.populations
    state = model.tree.find(rule.state)
    others = [model.tree.find(other) for other in rule.others]
    room = population[others].min() if rule.kind == "AND" else population[others].sum()
    severity = too_much(float(population[state] - room))
    if severity:
        what = "one of the states" if rule.kind == "AND" else "the states together"
        yield Finding(
            "V5",
            severity,
            f"rule {rule.id} ({rule.kind}): {rule.state} has an occupancy of "
            f"{population[state]:.3f}, {what} that it needs {room:.3f}",
            states=(rule.state, *rule.others[:11]),
            value=float(population[state] - room),
            remedy="lower the one or raise the others",
            kind="rule-needs-more",
        )


def _exclusive(model: Multiconformer) -> Iterator[Finding]:
    """Judge sets of states that exclude each other in pairs, grown from each NOT rule."""
    apart = _apart(model)
    # What holds one position is judged there.
    alternatives = [set(states) for states in held_together(model)]
    told: set[frozenset[int]] = set()
    for rule in model.rules:
        state = model.tree.find(rule.state)
        for other in rule.others if rule.kind == "NOT" else ():
            number = model.tree.find(other)
            if model.tree.related(state, number):
                continue
            group = _grown(model, apart, state, number)
            if group in told or any(group <= held for held in alternatives):
                continue
            told.add(group)
            yield from _judged(model, sorted(group), rule)


def _apart(model: Multiconformer) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for a, b in model.exclusive:
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    for rule in model.rules:
        state = model.tree.find(rule.state)
        for other in rule.others if rule.kind == "NOT" else ():
            number = model.tree.find(other)
            if not model.tree.related(state, number):
                found.setdefault(state, set()).add(number)
                found.setdefault(number, set()).add(state)
    return found


def _grown(model: Multiconformer, apart: dict[int, set[int]], a: int, b: int) -> frozenset[int]:
    """Add what excludes all of them, the most frequent first."""
    group = {a, b}
    left = apart[a] & apart[b]
    while left:
        chosen = max(left, key=lambda s: (float(model.populations[s]), -s))
        group.add(chosen)
        left &= apart[chosen]
    return frozenset(group)


def _judged(model: Multiconformer, group: list[int], rule: Rule) -> Iterator[Finding]:
    tree, population = model.tree, model.populations
    shared = np.all(tree.closure[group], axis=0)
    lowest = int(np.flatnonzero(shared)[np.argmax(tree.depth[shared])])
    whole = 1.0 if lowest == tree.root else float(population[lowest])
    total = float(population[group].sum())
    severity = too_much(total - whole)
    if severity is None:
        return
    yield Finding(
        "V5",
        severity,
        f"{len(group)} states that exclude each other (rule {rule.id} and others) sum to "
        f"{total:.3f}, more than the {whole:.3f} of {model.states[lowest].id}",
        states=state_ids(model, group[:12]),
        value=total,
        remedy="lower their occupancies, or remove the rule",
        kind="exclusive-sum-above",
    )
