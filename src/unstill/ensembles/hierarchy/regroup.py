"""Edits that move atoms between states: merge, split by selection, reassign."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unstill.ensembles.hierarchy.consistency import (
    ROUNDING,
    settle,
    spelled,
    without_members,
)
from unstill.ensembles.hierarchy.edits import without_states
from unstill.ensembles.hierarchy.names import free_ids
from unstill.ensembles.multiconformer import Multiconformer, Rule, State, atoms_of_rows
from unstill.ensembles.selection import atom_mask
from unstill.errors import InputError, UnstillWarning
from unstill.shapes import Bool


def merge_states(model: Multiconformer, states: Sequence[str]) -> Multiconformer:
    """Merge states of one parent that always occur together; the first keeps its id.

    Parameters
    ----------
    model
        The model.
    states
        Ids, two or more, with the same parent and the same occupancy.

    Returns
    -------
    Multiconformer
        Atoms and children of all are those of the first; rules follow. What a rule said
        between the merged states is dropped (AND, OR) as it always holds.

    Raises
    ------
    InputError
        If parents or occupancies (by more than 0.005) differ, or the states exclude each
        other by an atom or a rule.
    """
    numbers = [model.tree.find(state) for state in dict.fromkeys(states)]
    if len(numbers) < 2:
        raise InputError(
            "merging takes two states at least", found=list(states), fix="name another state"
        )
    _refuse_unequal(model, numbers)
    first, rest = numbers[0], np.array(numbers[1:])
    name = model.states[first].id
    gone = {model.states[number].id for number in rest.tolist()}
    deed = f"merging {', '.join([name, *sorted(gone)])}"
    rules = _merged_rules(model, name, gone, deed)
    moved = tuple(replace(s, parent=name) if s.parent in gone else s for s in model.states)
    merged = model.replace(
        states=moved, state=np.where(np.isin(model.state, rest), first, model.state), rules=rules
    )
    merged = settle(model, merged, deed)
    members = merged.members
    if members is not None and (members.in_state[:, rest] != members.in_state[:, [first]]).any():
        _warn(f"{deed}: they are not in the same recorded members; members dropped")
        merged = without_members(merged)
    return without_states(merged, rest)


def split_state(
    model: Multiconformer, state: str, selection: str, *, id: str | None = None
) -> Multiconformer:
    """Split the atoms that a selection names off a state, into a sibling of its own.

    Parameters
    ----------
    model
        The model.
    state
        Id of the state; of the root, the new state becomes a child.
    selection
        Words as in ``atom_mask``; only atoms of the state count.
    id
        Id of the new state; the next free letters by default.

    Returns
    -------
    Multiconformer
        The new state is the last one; it has the parent, kind and occupancy of the old,
        and is in the same members. Children and rules stay with the old state.

    Raises
    ------
    InputError
        If the selection names no atom or all atoms of the state, or the id is taken.
    """
    tree = model.tree
    number = tree.find(state)
    chosen = select_rows(model, selection) & (model.state == number)
    n_chosen, n_all = int(chosen.sum()), int((model.state == number).sum())
    if not 0 < n_chosen < n_all:
        raise InputError(
            "a split must leave atoms on both sides",
            found=f"{selection!r} names {n_chosen} of the {n_all} atoms of {state}",
            fix="choose another selection",
        )
    old = model.states[number]
    new_id = id or free_ids(model.states, 1)[0]
    parent = old.id if old.parent is None else old.parent
    share = float(model.populations[number])
    new = State(new_id, parent, "", old.kind, "", share, old.esd, old.evidence)
    members = model.members
    if members is not None:
        column = members.in_state[:, [number]]
        members = replace(members, in_state=np.concatenate([members.in_state, column], axis=1))
    after = model.replace(
        states=(*model.states, new),
        state=np.where(chosen, len(tree), model.state),
        members=members,
        stated=True,
    )
    return settle(model, after, f"splitting {state}")


def reassign_rows(
    model: Multiconformer,
    rows: str | Bool[np.ndarray, " n_rows"],
    state: str,
    *,
    set_occupancy: bool = False,
) -> Multiconformer:
    """Move atoms to another state.

    Parameters
    ----------
    model
        The model.
    rows
        Selection words as in ``atom_mask`` (``altloc B`` chooses among places), or a mask
        of the rows.
    state
        Id of the state. One without atoms takes on the occupancy of what comes.
    set_occupancy
        Give the atoms the occupancy of the state; otherwise theirs must be within 0.005 of
        it (the root takes any).

    Raises
    ------
    InputError
        If no row is named, occupancies differ, or an atom would be in two places of one copy.
    """
    number = model.tree.find(state)
    chosen = select_rows(model, rows) if isinstance(rows, str) else np.asarray(rows, dtype=bool)
    if chosen.shape != (model.n_rows,) or not chosen.any():
        raise InputError(
            "there is no atom to reassign",
            found=f"{int(chosen.sum())} of a mask of {chosen.size}",
            fix=f"choose some of the {model.n_rows} rows",
        )
    occupancy, states = model.occupancy, model.states
    share = float(model.populations[number])
    moved = occupancy[chosen]
    empty = not (model.state == number).any() and model.members is None
    if set_occupancy:
        occupancy = np.where(chosen, share, occupancy)
    elif empty and np.ptp(moved) <= ROUNDING and number != model.tree.root:
        taken = replace(states[number], occupancy=float(np.median(moved)))
        states = (*states[:number], taken, *states[number + 1 :])
    elif number != model.tree.root and np.abs(moved - share).max() > ROUNDING + 1e-9:
        raise InputError(
            "atoms of one state have one occupancy",
            found=f"{moved.min():g} to {moved.max():g} for {state} at {share:g}",
            fix="give them the occupancy of the state (set_occupancy, --set-occupancy), or "
            "choose another state",
        )
    after = model.replace(
        state=np.where(chosen, number, model.state),
        occupancy=occupancy,
        states=states,
        stated=True,
    )
    return settle(model, after, f"moving atoms to {state}")


def select_rows(model: Multiconformer, selection: str) -> Bool[np.ndarray, " n_rows"]:
    """Which rows a selection names; ``altloc`` means the label of the row.

    Raises
    ------
    InputError
        If it cannot be understood or names none.
    """
    return atom_mask(atoms_of_rows(model).atoms, selection)


def _refuse_unequal(model: Multiconformer, numbers: list[int]) -> None:
    states = [model.states[number] for number in numbers]
    parents = {state.parent for state in states}
    if len(parents) > 1 or None in parents:
        raise InputError(
            "only states of one parent can be merged",
            found=", ".join(f"{state.id} under {state.parent}" for state in states),
            fix="put them under one parent first (reparent), or remove one and keep its atoms "
            "in its parent",
        )
    shares = model.populations[numbers]
    if np.ptp(shares) > ROUNDING + 1e-9:
        raise InputError(
            "states of different occupancy cannot be one",
            found=", ".join(
                f"{state.id} {share:.3f}" for state, share in zip(states, shares, strict=True)
            ),
            fix="correct the occupancies, or link them with a rule (AND)",
        )


def _merged_rules(model: Multiconformer, name: str, gone: set[str], deed: str) -> tuple[Rule, ...]:
    merged = {name, *gone}
    rules = []
    for rule in model.rules:
        inside = merged & set(rule.others)
        if rule.kind == "NOT" and rule.state in merged and inside:
            raise InputError(
                f"{deed} contradicts a rule of coexistence",
                found=f"rule {rule.id}, {spelled(rule)}",
                fix=f"remove rule {rule.id} first",
            )
        state = name if rule.state in gone else rule.state
        others = tuple(dict.fromkeys(name if o in gone else o for o in rule.others))
        if state == name and inside:
            # In all of the merged states a copy is in each of them: nothing is left to say.
            others = () if rule.kind == "OR" else tuple(o for o in others if o != name)
        if others:
            rules.append(replace(rule, state=state, others=others))
        else:
            _warn(f"{deed}: rule {rule.id} ({spelled(rule)}) holds by itself now and was dropped")
    return tuple(rules)


def _warn(text: str) -> None:
    warnings.warn(UnstillWarning(text), stacklevel=4)
