"""Edits of single states: add, remove, rename, put under another parent."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Literal

import numpy as np

from unstill.ensembles.hierarchy.consistency import EXCESS, settle, spelled, without_members
from unstill.ensembles.multiconformer import Multiconformer, Rule, State
from unstill.ensembles.multiconformer.tree import StateKind
from unstill.errors import InputError, UnstillWarning


def add_state(
    model: Multiconformer,
    state: str,
    *,
    parent: str | None = None,
    occupancy: float | None = None,
    name: str = "",
    kind: StateKind = "conformational",
    details: str = "",
    evidence: str = "",
) -> Multiconformer:
    """Add a state without atoms; ``reassign_rows`` gives it some.

    Parameters
    ----------
    model
        The model.
    state
        Id of the new state.
    parent
        Id of its parent, the root by default.
    occupancy
        Share of all copies (absolute), that of the parent by default.
    name, kind, details, evidence
        As in ``State``.

    Raises
    ------
    InputError
        If the id or the name is taken, there is no such parent, or the occupancy is not
        between 0 and the parent's.
    """
    tree = model.tree
    above = tree.root if parent is None else tree.find(parent)
    limit = float(model.populations[above])
    share = limit if occupancy is None else occupancy
    if not 0 <= share <= limit + EXCESS:
        raise InputError(
            "the occupancy of a state lies between 0 and that of its parent",
            found=f"{share:g} under {tree.states[above].id} ({limit:g})",
            fix="give the share of all copies (absolute), not of the parent",
        )
    new = State(state, tree.states[above].id, name, kind, details, share, evidence=evidence)
    if model.members is not None and share > 0:
        _warn(f"adding {state}: which recorded members are in it is not known; members dropped")
        model = without_members(model)
    members = model.members
    if members is not None:
        column = np.zeros((members.n_members, 1), dtype=bool)
        members = replace(members, in_state=np.concatenate([members.in_state, column], axis=1))
    return model.replace(states=(*model.states, new), members=members, stated=True)


def remove_state(
    model: Multiconformer, state: str, *, rows: Literal["parent", "drop"]
) -> Multiconformer:
    """Remove a state; its atoms go to its parent, or are dropped with all below it.

    Parameters
    ----------
    model
        The model.
    state
        Id of the state.
    rows
        ``parent``: atoms and children go to the parent; occupancies of atoms stay, so
        that in the parent they are there in a share of copies. ``drop``: the state, all
        its descendants and their atoms are gone.

    Returns
    -------
    Multiconformer
        Rules that name a removed state are dropped, with a warning; a name in the list of
        an OR or NOT is only taken off the list if the atoms are dropped too.

    Raises
    ------
    InputError
        If it is the root, or the parent (or a relative) holds one of the atoms already.
    """
    if rows not in ("parent", "drop"):
        raise InputError(
            "what happens to the atoms of a removed state must be said",
            found=repr(rows),
            fix="choose parent or drop",
        )
    tree = model.tree
    number = tree.find(state)
    if number == tree.root:
        raise InputError(
            "the root cannot be removed",
            found=state,
            fix="remove one of its children, or rename it",
        )
    if rows == "drop":
        return _dropped(model, np.flatnonzero(tree.closure[:, number]))
    above = tree.states[int(tree.parent[number])].id
    states = tuple(replace(s, parent=above) if s.parent == state else s for s in model.states)
    lifted = model.replace(
        states=states,
        state=np.where(model.state == number, tree.parent[number], model.state),
        rules=tuple(rule for rule in model.rules if state not in (rule.state, *rule.others)),
    )
    _tell_of_lost_rules(model, lifted, f"removing {state}")
    lifted = settle(model, lifted, f"removing {state}")
    members = lifted.members
    if (
        members is not None
        and (members.in_state[:, number] != members.in_state[:, tree.parent[number]]).any()
    ):
        _warn(f"removing {state}: which recorded members have its atoms is lost; members dropped")
        lifted = without_members(lifted)
    return without_states(lifted, np.array([number]))


def rename_state(
    model: Multiconformer, state: str, *, id: str | None = None, name: str | None = None
) -> Multiconformer:
    """Give a state another id, another name, or both; rules and children follow.

    A name that is the id follows the id.

    Raises
    ------
    InputError
        If the new id or name is taken or is no token, or nothing is given.
    """
    if id is None and name is None:
        raise InputError(
            "nothing to rename to", found=state, fix="give a new id, a new name, or both"
        )
    old = model.states[model.tree.find(state)]
    new_id = state if id is None else id
    new_name = name if name is not None else (new_id if old.name == old.id else old.name)

    def renamed(token: str) -> str:
        return new_id if token == state else token

    states = tuple(
        replace(s, id=new_id, name=new_name)
        if s.id == state
        else replace(s, parent=None if s.parent is None else renamed(s.parent))
        for s in model.states
    )
    rules = tuple(
        replace(rule, state=renamed(rule.state), others=tuple(map(renamed, rule.others)))
        for rule in model.rules
    )
    return model.replace(states=states, rules=rules, stated=True)


def reparent_state(model: Multiconformer, state: str, parent: str) -> Multiconformer:
    """Put a state, with all below it, under another parent.

    Raises
    ------
    InputError
        If it is the root, the parent is the state itself or below it, the occupancy
        exceeds that of the parent by more than rounding (0.02), parent and state hold the
        same atom, or a rule says that they exclude each other.
    """
    tree = model.tree
    number, above = tree.find(state), tree.find(parent)
    if number == tree.root:
        raise InputError(
            "the root has no parent", found=state, fix="put other states under it instead"
        )
    if tree.closure[above, number]:
        raise InputError(
            "a state cannot be below itself",
            found=f"{parent} is {'the same as' if above == number else 'below'} {state}",
            fix=f"choose a parent that does not depend on {state}",
        )
    shares = model.populations
    if shares[number] > shares[above] + EXCESS:
        raise InputError(
            "a state cannot be in more copies than its parent",
            found=f"{state} in {shares[number]:.3f}, {parent} in {shares[above]:.3f}",
            fix="choose a parent with a higher occupancy, or correct the occupancies",
        )
    states = tuple(replace(s, parent=parent) if s.id == state else s for s in model.states)
    moved = model.replace(states=states, stated=True)
    return settle(model, moved, f"putting {state} under {parent}")


def without_states(model: Multiconformer, gone: np.ndarray) -> Multiconformer:
    """Return the model without some states that hold no atom and have no child."""
    kept = np.setdiff1d(np.arange(len(model.states)), gone)
    place = np.full(len(model.states), -1)
    place[kept] = np.arange(len(kept))
    members = model.members
    if members is not None:
        members = replace(members, in_state=members.in_state[:, kept])
    return model.replace(
        states=tuple(model.states[number] for number in kept.tolist()),
        state=place[model.state],
        members=members,
        stated=True,
    )


def _dropped(model: Multiconformer, gone: np.ndarray) -> Multiconformer:
    names = {model.states[number].id for number in gone.tolist()}
    rules = tuple(
        rule for rule in (_rule_without(rule, names) for rule in model.rules) if rule is not None
    )
    rest = model.take_rows(~np.isin(model.state, gone)).replace(rules=rules)
    _tell_of_lost_rules(model, rest, f"removing {', '.join(sorted(names))}")
    return without_states(rest, gone)


def _rule_without(rule: Rule, names: set[str]) -> Rule | None:
    """Return what a rule still says when no copy is in some states any more."""
    others = tuple(other for other in rule.others if other not in names)
    if rule.state in names or not others or (rule.kind == "AND" and others != rule.others):
        return None
    return replace(rule, others=others)


def _tell_of_lost_rules(before: Multiconformer, after: Multiconformer, deed: str) -> None:
    left = {rule.id for rule in after.rules}
    for rule in before.rules:
        if rule.id not in left:
            _warn(f"{deed}: rule {rule.id} ({spelled(rule)}) was dropped with it")


def _warn(text: str) -> None:
    warnings.warn(UnstillWarning(text), stacklevel=4)
