"""What every edit keeps true: no atom twice in one copy, rules that can hold, members that fit."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer, Rule
from unstill.ensembles.multiconformer.tree import shortened
from unstill.errors import InputError, UnstillWarning
from unstill.shapes import Bool, Int

ROUNDING = 0.005
"""Occupancies this close are one, written to two digits."""

EXCESS = 0.02
"""Two-digit rounding of several occupancies adds up to this at most."""


def settle(before: Multiconformer, after: Multiconformer, deed: str) -> Multiconformer:
    """Return an edited model, refused where the edit broke what was whole before.

    Parameters
    ----------
    before, after
        Model before and after the edit; faults of ``before`` are not held against the edit.
    deed
        What was done, for messages: ``"moving A under B"``.

    Returns
    -------
    Multiconformer
        ``after``; without members, and with a warning, where they no longer fit.

    Raises
    ------
    InputError
        If an atom is now twice in one copy, or a rule can no longer be kept.
    """
    _refuse_doubled_atoms(before, after, deed)
    broken = {rule.id for rule in before.rules if contradiction(before, rule)}
    for rule in after.rules:
        why = contradiction(after, rule)
        if why and rule.id not in broken:
            raise InputError(
                f"{deed} contradicts a rule of coexistence",
                found=f"rule {rule.id}, {spelled(rule)}: {why}",
                fix=f"remove rule {rule.id} first",
            )
    return fitting_members(after, deed)


def fitting_members(model: Multiconformer, deed: str) -> Multiconformer:
    """Return the model, without its members if they do not fit tree, atoms and rules."""
    if model.members is None:
        return model
    why = _misfit(model)
    if not why:
        return model
    warnings.warn(
        UnstillWarning(f"{deed}: the recorded members no longer fit ({why}) and were dropped"),
        stacklevel=3,
    )
    return without_members(model)


def without_members(model: Multiconformer) -> Multiconformer:
    """Return the model without members; the states keep the populations these had."""
    shares = model.populations.tolist()
    states = tuple(
        replace(state, occupancy=share) for state, share in zip(model.states, shares, strict=True)
    )
    return model.replace(members=None, states=states)


def excluded(model: Multiconformer) -> Bool[np.ndarray, "n_states n_states"]:
    """Which states no copy is in at once: they, or ancestors of theirs, hold the same atom.

    Rules of the kind NOT count as well.
    """
    n = len(model.tree)
    apart = np.zeros((n, n), dtype=bool)
    for a, b in model.exclusive:
        apart[a, b] = apart[b, a] = True
    for rule in model.rules:
        if rule.kind == "NOT":
            a = model.tree.find(rule.state)
            for other in rule.others:
                b = model.tree.find(other)
                apart[a, b] = apart[b, a] = True
    closure = model.tree.closure.astype(np.float32)
    return np.asarray(closure @ apart @ closure.T > 0)


def contradiction(model: Multiconformer, rule: Rule) -> str:
    """Why no copy can be in the state of a rule, or in a state that it names; empty if fine."""
    tree = model.tree
    a = tree.find(rule.state)
    others = [tree.find(other) for other in rule.others]
    if rule.kind == "NOT":
        kin = [tree.states[b].id for b in others if tree.related(a, b)]
        return f"{rule.state} and {shortened(kin)} are on one line of the tree" if kin else ""
    # The rule itself is no NOT, so this is what all the others say.
    apart = excluded(model)
    shut = [tree.states[b].id for b in others if apart[a, b]]
    if shut and (rule.kind == "AND" or len(shut) == len(others)):
        return f"{rule.state} and {shortened(shut)} exclude each other"
    if rule.kind == "AND" and apart[np.ix_(others, others)].any():
        return f"{shortened(rule.others)} exclude each other"
    return ""


def spelled(rule: Rule) -> str:
    """Write a rule as people say it: ``A NOT B, C``."""
    return f"{rule.state} {rule.kind} {', '.join(rule.others)}"


def doubled_rows(model: Multiconformer) -> Int[np.ndarray, "n_pairs 2"]:
    """Pairs of rows (a < b) that put one atom in two places of the same copy.

    They have the same position, and the state of one is that of the other or
    its ancestor.
    """
    position = model.position[model.site]
    order = np.argsort(position, kind="stable")
    ranked = position[order]
    found = []
    for step in range(1, int(np.bincount(position, minlength=1).max(initial=0))):
        same = np.flatnonzero(ranked[step:] == ranked[:-step])
        a, b = order[same], order[same + step]
        sa, sb = model.state[a], model.state[b]
        kin = model.tree.closure[sa, sb] | model.tree.closure[sb, sa]
        found.append(np.stack([a[kin], b[kin]], axis=1))
    pairs = np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)
    return np.sort(pairs, axis=1)


def _refuse_doubled_atoms(before: Multiconformer, after: Multiconformer, deed: str) -> None:
    known = {tuple(pair) for pair in doubled_rows(before).tolist()}
    new = [pair for pair in map(tuple, doubled_rows(after).tolist()) if pair not in known]
    if new:
        a, b = new[0]
        raise InputError(
            f"{deed} would put an atom in two places of one copy",
            found=f"{len(new)} pairs of atom lines, the first {before.row_label(a)} and "
            f"{before.row_label(b)}",
            fix="states that hold the same atom exclude each other: keep them apart",
        )


def _misfit(model: Multiconformer) -> str:
    members = model.members
    if members is None:
        return ""
    tree, held = model.tree, members.in_state[members.weights > 0]
    for number, parent in enumerate(tree.parent.tolist()):
        if parent >= 0 and (held[:, number] & ~held[:, parent]).any():
            return f"one is in {tree.states[number].id} and not in {tree.states[parent].id}"
    if not held[:, tree.root].all():
        return f"one is not in {tree.states[tree.root].id}"
    for a, b in sorted(model.exclusive):
        if (held[:, a] & held[:, b]).any():
            return f"one is in both {tree.states[a].id} and {tree.states[b].id}"
    for rule in model.rules:
        if not _kept(model, rule, held):
            return f"one breaks rule {rule.id}"
    return ""


def _kept(model: Multiconformer, rule: Rule, held: np.ndarray) -> bool:
    there = held[held[:, model.tree.find(rule.state)]]
    others = there[:, [model.tree.find(other) for other in rule.others]]
    if rule.kind == "AND":
        return bool(others.all())
    return bool(others.any(axis=1).all()) if rule.kind == "OR" else not others.any()
