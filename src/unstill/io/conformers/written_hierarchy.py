"""States, rules and members as categories of mmCIF."""

from __future__ import annotations

import gemmi
import numpy as np

from unstill.ensembles import Multiconformer
from unstill.ensembles.multiconformer import Members
from unstill.errors import InputError
from unstill.io.conformers.cif_tables import drop_table, put_table
from unstill.io.conformers.hierarchy_categories import (
    COEXISTENCE,
    HIERARCHY,
    MEMBER,
    MEMBER_STATE,
    STATE,
)
from unstill.io.conformers.token_columns import quoted

ALT, ALT_ENS, ALT_GEN = "atom_sites_alt", "atom_sites_alt_ens", "atom_sites_alt_gen"


def put_hierarchy(block: gemmi.cif.Block, model: Multiconformer) -> None:
    """Write the tree of a model, or remove what a file said of one that it no longer has.

    Raises
    ------
    InputError
        If a member is in a state and not in its parent.
    """
    if not model.stated:
        had_members = len(block.find_mmcif_category(f"_{MEMBER_STATE}.")) > 0
        for category in (HIERARCHY, COEXISTENCE, STATE, MEMBER_STATE):
            drop_table(block, category)
        if had_members:
            drop_table(block, MEMBER)
        members = model.members
        if members is not None and (
            np.ptp(members.weights) > 0
            or members.frames is not None
            # Who reads models that lack atoms wants to know that they are meant to.
            or any(state.kind == "compositional" for state in model.states)
        ):
            _put_members(block, members)
        return
    _put_states(block, model)
    _put_rules(block, model)
    if model.members is None:
        drop_table(block, MEMBER_STATE)
        drop_table(block, MEMBER)
    else:
        _put_members(block, model.members)
        _put_member_states(block, model, model.members)
    _put_labels(block, model)


def _put_states(block: gemmi.cif.Block, model: Multiconformer) -> None:
    states = model.states
    put_table(
        block,
        HIERARCHY,
        {
            "id": [quoted(state.id) for state in states],
            "name": [quoted(state.name) for state in states],
            "parent": [quoted(state.parent or "") for state in states],
            "details": [quoted(state.details) for state in states],
        },
        key=("id",),
        optional=("details",),
    )
    put_table(
        block,
        STATE,
        {
            "id": [quoted(state.id) for state in states],
            "occupancy": [repr(float(state.occupancy)) for state in states],
            "esd": ["?" if state.esd is None else repr(float(state.esd)) for state in states],
            "kind": [state.kind for state in states],
            "evidence": [quoted(state.evidence) for state in states],
        },
        key=("id",),
        optional=("esd", "evidence"),
    )


def _put_rules(block: gemmi.cif.Block, model: Multiconformer) -> None:
    rules = model.rules
    put_table(
        block,
        COEXISTENCE,
        {
            "id": [str(rule.id) for rule in rules],
            "rule": [rule.kind for rule in rules],
            "heterogeneity_id": [quoted(rule.state) for rule in rules],
            "heterogeneity_ids": [quoted(",".join(rule.others)) for rule in rules],
            "description": [quoted(rule.description) for rule in rules],
        },
        key=("id",),
        optional=("description",),
    )


def _put_members(block: gemmi.cif.Block, members: Members) -> None:
    columns = {
        "id": [quoted(name) for name in members.names],
        "weight": [repr(float(weight)) for weight in members.weights],
    }
    if members.frames is not None:
        columns["frame"] = [str(int(frame)) for frame in members.frames]
    put_table(block, MEMBER, columns, key=("id",))


def _put_member_states(block: gemmi.cif.Block, model: Multiconformer, members: Members) -> None:
    """Name the deepest states of each member; the root is not named, every member is in it."""
    tree, in_state = model.tree, members.in_state
    deepest = in_state.copy()
    deepest[:, tree.root] = False
    for state in range(len(tree)):
        parent = int(tree.parent[state])
        if parent < 0:
            continue
        if (in_state[:, state] & ~in_state[:, parent]).any():
            raise InputError(
                "a member is in a state and not in its parent",
                found=f"{model.states[state].id} in {model.states[parent].id}",
                fix="put members into all ancestors of their states",
            )
        deepest[:, parent] &= ~in_state[:, state]
    # Members that are in the root only still have their line.
    deepest[~deepest.any(axis=1), tree.root] = True
    at, of = np.nonzero(deepest)
    names = np.array([quoted(name) for name in members.names], dtype=object)
    ids = np.array([quoted(one.id) for one in model.states], dtype=object)
    put_table(
        block,
        MEMBER_STATE,
        {"member_id": names[at].tolist(), "state_id": ids[of].tolist()},
        key=("member_id", "state_id"),
    )


def _put_labels(block: gemmi.cif.Block, model: Multiconformer) -> None:
    """Write which altlocs there are, and which members have them where that can be said.

    ``_atom_sites_alt_gen`` says that a member has all atoms of a label; it is
    left out where a label means states that not all the same members are in.
    """
    labels, label = np.unique(np.asarray(model.altloc_id, dtype=str), return_inverse=True)
    if not (labels != "").any():
        return
    tokens = [quoted(name) for name in labels.tolist()]
    chosen = [number for number, name in enumerate(labels.tolist()) if name]
    put_table(
        block,
        ALT,
        {"id": [tokens[n] for n in chosen], "details": ["?"] * len(chosen)},
        key=("id",),
        optional=("details",),
    )
    members = model.members
    has = (
        None if members is None else _members_of_labels(model, label.reshape(-1), chosen, members)
    )
    if members is None or has is None:
        return
    put_table(
        block,
        ALT_ENS,
        {
            "id": [quoted(name) for name in members.names],
            "details": [quoted(f"weight {weight:.6g}") for weight in members.weights],
        },
        key=("id",),
    )
    which, member = np.nonzero(has)
    put_table(
        block,
        ALT_GEN,
        {
            "alt_id": [tokens[chosen[n]] for n in which.tolist()],
            "ens_id": [quoted(members.names[n]) for n in member.tolist()],
        },
        key=("alt_id", "ens_id"),
    )


def _members_of_labels(
    model: Multiconformer, label: np.ndarray, chosen: list[int], members: Members
) -> np.ndarray | None:
    """``(n_labels, n_members)`` who has the atoms of each label; ``None`` if some have a part."""
    has = np.zeros((len(chosen), members.n_members), dtype=bool)
    pairs = np.unique(label.astype(np.int64) * len(model.states) + model.state)
    of_label, of_state = np.divmod(pairs, len(model.states))
    for place, number in enumerate(chosen):
        held = members.in_state[:, of_state[of_label == number]]
        if (held.any(axis=1) != held.all(axis=1)).any():
            return None
        has[place] = held.all(axis=1)
    return has
