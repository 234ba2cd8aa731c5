"""Rules of coexistence: added, removed, and those that the atoms imply."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence

from unstill.ensembles.hierarchy.consistency import (
    EXCESS,
    contradiction,
    excluded,
    fitting_members,
    spelled,
)
from unstill.ensembles.hierarchy.room import forced_share
from unstill.ensembles.multiconformer import Multiconformer, Rule
from unstill.ensembles.multiconformer.macrostates import is_satisfiable
from unstill.ensembles.multiconformer.rules import RuleKind
from unstill.errors import InputError, UnstillWarning


def add_rule(
    model: Multiconformer,
    kind: RuleKind,
    state: str,
    others: Sequence[str],
    *,
    description: str = "",
) -> Multiconformer:
    """Add a rule of coexistence under the next free number.

    Parameters
    ----------
    model
        The model.
    kind
        ``AND``, ``OR`` or ``NOT``; see ``Rule``.
    state, others
        Ids of the state of which the rule speaks, and of those that it names.
    description
        Free text.

    Returns
    -------
    Multiconformer
        Without its members, and with a warning, where one of them breaks the rule; with a
        warning where the occupancies leave no room for it.

    Raises
    ------
    InputError
        If a state does not exist or names itself, the rule is there already, contradicts the
        tree (NOT between a state and its ancestor) or the atoms (AND of states that hold the
        same one), or no copy could be in one of its states any more.
    """
    rule = Rule(_next_id(model), kind, state, tuple(dict.fromkeys(others)), description)
    for other in (state, *others):
        model.tree.find(other)
    if state in others:
        raise InputError(
            "a rule names a state and itself", found=spelled(rule), fix="name other states"
        )
    if any((r.kind, r.state, set(r.others)) == (kind, state, set(others)) for r in model.rules):
        raise InputError("the rule is there already", found=spelled(rule), fix="leave it as it is")
    why = contradiction(model, rule)
    if why:
        raise InputError(
            "the rule contradicts the hierarchy",
            found=f"{spelled(rule)}: {why}",
            fix="choose other states, or change the tree first",
        )
    found = model.replace(rules=(*model.rules, rule), stated=True)
    for name in (state, *rule.others):
        if is_satisfiable(found, [name]) is False and is_satisfiable(model, [name]) is not False:
            raise InputError(
                "with this rule no copy could be in one of its states",
                found=f"{spelled(rule)}: {name}",
                fix="remove the rules that contradict it first",
            )
    if kind == "NOT":
        _tell_of_no_room(model, rule)
    return fitting_members(found, f"adding {spelled(rule)}")


def remove_rule(model: Multiconformer, rule: int) -> Multiconformer:
    """Remove a rule by its number.

    Raises
    ------
    InputError
        If there is none.
    """
    left = tuple(known for known in model.rules if known.id != rule)
    if len(left) == len(model.rules):
        raise InputError(
            "there is no such rule",
            found=rule,
            fix=f"the model has rules {[known.id for known in model.rules]}",
        )
    return model.replace(rules=left, stated=True)


def implied_rules(model: Multiconformer) -> tuple[Rule, ...]:
    """Rules of the kind NOT that the atoms imply and that nobody wrote yet.

    States that hold the same atom exclude each other. One rule a state names those
    after it; what follows from their ancestors, or from a written rule, is left out.

    Returns
    -------
    tuple of Rule
        Numbered after those of the model.
    """
    written = {
        frozenset((model.tree.find(rule.state), model.tree.find(other)))
        for rule in model.rules
        if rule.kind == "NOT"
        for other in rule.others
    }
    apart = {frozenset(pair) for pair in model.exclusive} | written
    pairs = [
        (a, b)
        for a, b in sorted(tuple(sorted(pair)) for pair in model.exclusive)
        if frozenset((a, b)) not in written and not _inherited(model, a, b, apart)
    ]
    return not_rules(model, pairs, "they hold the same atom")


def not_rules(
    model: Multiconformer, pairs: Iterable[tuple[int, int]], description: str
) -> tuple[Rule, ...]:
    """One rule of the kind NOT for each first state of some pairs of states."""
    named: dict[int, list[str]] = defaultdict(list)
    for a, b in pairs:
        named[a].append(model.states[b].id)
    start = _next_id(model)
    return tuple(
        Rule(start + place, "NOT", model.states[a].id, tuple(named[a]), description)
        for place, a in enumerate(sorted(named))
    )


def _next_id(model: Multiconformer) -> int:
    return max((rule.id for rule in model.rules), default=0) + 1


def _tell_of_no_room(model: Multiconformer, rule: Rule) -> None:
    apart, state = excluded(model), model.tree.find(rule.state)
    for other in rule.others:
        both = forced_share(model, apart, state, model.tree.find(other))
        if both > EXCESS + 1e-9:
            warnings.warn(
                UnstillWarning(
                    f"occupancies and what excludes both already put {rule.state} and {other} "
                    f"together in {both:.2f} of all copies at least; correct the occupancies"
                ),
                stacklevel=3,
            )


def _inherited(model: Multiconformer, a: int, b: int, apart: set[frozenset[int]]) -> bool:
    """Whether ancestors of two states exclude each other already."""
    return any(
        frozenset((x, y)) in apart
        for x in model.tree.line(a)
        for y in model.tree.line(b)
        if (x, y) != (a, b)
    )
