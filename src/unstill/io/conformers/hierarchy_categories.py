"""States, rules and members, from the categories of a file.

``_pdbx_heterogeneity_hierarchy`` and ``_pdbx_state_coexistence`` are the
proposed encoding (Wankowicz & Fraser (2024). *IUCrJ* 11, 494;
https://doi.org/10.1107/S2052252524005098). Occupancies and kinds of states,
weights of members and the states they are in stand in categories of our own,
``_unstill_state``, ``_unstill_member`` and ``_unstill_member_state``; the
last names the deepest states only, for a state implies its ancestors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np

from unstill.ensembles.multiconformer import Members, Rule, State, StateTree
from unstill.ensembles.multiconformer.tree import StateKind, shortened
from unstill.errors import FormatError, InputError
from unstill.io.conformers.carried_cif import Category
from unstill.io.conformers.label_states import group_medians
from unstill.io.reading import REMEDY

HIERARCHY = "pdbx_heterogeneity_hierarchy"
COEXISTENCE = "pdbx_state_coexistence"
STATE = "unstill_state"
MEMBER = "unstill_member"
MEMBER_STATE = "unstill_member_state"
VALIDATE = "run unstill hierarchy validate, and correct what it reports"


def read_states(category: Callable[[str], Category]) -> tuple[State, ...]:
    """Return states of a file; occupancies are NaN where ``_unstill_state`` says none.

    Raises
    ------
    FormatError
        If an id is missing.
    InputError
        If an id or a name is no token.
    """
    lines = category(HIERARCHY)
    more = _by_id(category(STATE))
    ids = _needed(lines, "id", HIERARCHY)
    states = []
    for place, state_id in enumerate(ids.tolist()):
        extra = more.get(state_id, {})
        states.append(
            State(
                state_id,
                _cell(lines, "parent", place) or None,
                _cell(lines, "name", place),
                _kind(extra.get("kind", "")),
                _cell(lines, "details", place),
                _float(extra.get("occupancy", ""), "occupancy", state_id),
                None if not extra.get("esd") else _float(extra["esd"], "esd", state_id),
                extra.get("evidence", ""),
            )
        )
    return tuple(states)


def read_rules(category: Callable[[str], Category]) -> tuple[Rule, ...]:
    """Return rules of a file.

    Raises
    ------
    FormatError
        If an id is no whole number.
    InputError
        If a rule is of no known kind or names no states.
    """
    lines = category(COEXISTENCE)
    if not lines:
        return ()
    rules = []
    for place, word in enumerate(_needed(lines, "id", COEXISTENCE).tolist()):
        if not (word.isascii() and word.isdigit()):
            raise FormatError("the id of a rule is no number", found=repr(word), fix=VALIDATE)
        kind = _cell(lines, "rule", place).upper()
        others = tuple(
            part.strip() for part in _cell(lines, "heterogeneity_ids", place).split(",")
        )
        source = _cell(lines, "heterogeneity_id", place)
        if others == ("",):
            others = ()
        rules.append(
            Rule(int(word), kind, source, others, _cell(lines, "description", place))  # type: ignore[arg-type]
        )
    return tuple(rules)


def read_members(category: Callable[[str], Category], tree: StateTree) -> Members | None:
    """Return recorded members; ``None`` where the file says no states of theirs.

    Raises
    ------
    FormatError
        If a number cannot be read.
    InputError
        If a member or a state does not exist, or a weight is negative.
    """
    lines, held = category(MEMBER), category(MEMBER_STATE)
    if not lines or not held:
        return None
    names = _needed(lines, "id", MEMBER).tolist()
    number = {name: place for place, name in enumerate(names)}
    in_state = np.zeros((len(names), len(tree)), dtype=bool)
    in_state[:, tree.root] = True
    members, states = (_needed(held, item, MEMBER_STATE) for item in ("member_id", "state_id"))
    unknown = sorted({name for name in members.tolist() if name not in number})
    if unknown:
        raise InputError(
            "a state is said to be held by a member that does not exist",
            found=shortened(unknown),
            fix=f"name the members in _{MEMBER}",
        )
    at = np.array([number[name] for name in members.tolist()], dtype=int)
    of = np.array([tree.find(state) for state in states.tolist()], dtype=int)
    in_state[at, of] = True
    # Children first, so that every ancestor is reached.
    for state in tree.downward[::-1].tolist():
        if tree.parent[state] >= 0:
            in_state[:, tree.parent[state]] |= in_state[:, state]
    weights = np.array(
        [_float(word or "1", "weight", "a member") for word in _cells(lines, "weight", len(names))]
    )
    return Members(weights, in_state, tuple(names), read_frames(lines))


def read_weights(category: Callable[[str], Category], n_models: int, name: str) -> np.ndarray:
    """Return ``(n_models,)`` weights of the models of a file, summing to one.

    Raises
    ------
    FormatError
        If there is not one weight a model.
    """
    lines = category(MEMBER)
    words = lines.get("weight")
    if words is None or len(category(MEMBER_STATE)):
        return np.full(n_models, 1 / n_models)
    weights = np.array([_float(word, "weight", "a member") for word in words.tolist()])
    if len(weights) != n_models or not weights.sum() > 0 or not (weights >= 0).all():
        raise FormatError(
            f"{name} does not say one weight a model",
            found=f"{len(weights)} weights summing to {weights.sum():g} for {n_models} models",
            fix=REMEDY,
        )
    return np.asarray(weights / weights.sum())


def read_frames(lines: Category) -> np.ndarray | None:
    """Frames that members were; ``None`` where the file does not say."""
    words = lines.get("frame")
    if words is None or (words == "").any():
        return None
    return words.astype(float).astype(int)


def states_of_rows(words: np.ndarray, codes: np.ndarray, tree: StateTree) -> np.ndarray:
    """State of each row, from its ``pdbx_heterogeneity_id``.

    Raises
    ------
    InputError
        If an atom names no state, or one that does not exist.
    """
    index = np.array([tree.index.get(word, -1) for word in words.tolist()], dtype=int)
    state = index[codes]
    bad = np.flatnonzero(state < 0)
    if bad.size:
        names = sorted({str(words[code]) or "(none)" for code in np.unique(codes[bad])})
        raise InputError(
            "atoms are in states that the hierarchy does not have",
            found=f"{bad.size} atoms, the first in line {bad[0] + 1}: {shortened(names)}",
            fix=VALIDATE,
        )
    return np.asarray(state)


def with_occupancies(
    states: tuple[State, ...], state: np.ndarray, occupancy: np.ndarray
) -> tuple[State, ...]:
    """Fill in occupancies that the file does not say.

    A state has the median of those of its rows; one without rows has the sum
    of its children's, at most its parent's, which holds where they exclude
    each other. The root is in every copy.
    """
    tree = StateTree(states)
    median = group_medians(state, occupancy, len(states))
    found = np.array([one.occupancy for one in states])
    unknown = np.isnan(found)
    for number in tree.downward[::-1].tolist():
        if not unknown[number]:
            continue
        if tree.parent[number] < 0:
            found[number] = 1.0
        elif np.isnan(median[number]):
            found[number] = min(sum(found[child] for child in tree.children[number]), 1.0)
        else:
            found[number] = median[number]
    for number in tree.downward.tolist():
        parent = tree.parent[number]
        if unknown[number] and np.isnan(median[number]) and parent >= 0:
            found[number] = min(found[number], found[parent])
    return tuple(
        State(s.id, s.parent, s.name, s.kind, s.details, float(value), s.esd, s.evidence)
        for s, value in zip(states, found.tolist(), strict=True)
    )


def _by_id(lines: Category) -> dict[str, Mapping[str, str]]:
    ids = lines.get("id", np.empty(0, dtype=str)).tolist()
    return {
        name: {item: str(words[place]) for item, words in lines.items()}
        for place, name in enumerate(ids)
    }


def _needed(lines: Category, item: str, category: str) -> np.ndarray:
    words = lines.get(item)
    if words is None or (words == "").any():
        raise FormatError(
            f"_{category}.{item} is missing",
            found="no such item" if words is None else "a line without it",
            fix=REMEDY,
        )
    return words


def _cell(lines: Category, item: str, place: int) -> str:
    return str(lines[item][place]) if item in lines else ""


def _cells(lines: Category, item: str, n: int) -> list[str]:
    return list(lines[item].tolist()) if item in lines else [""] * n


def _kind(word: str) -> StateKind:
    # A word that is no kind is refused by the state itself.
    return cast("StateKind", word or "conformational")


def _float(word: str, what: str, whose: str) -> float:
    if not word:
        return float("nan")
    try:
        return float(word)
    except ValueError as error:
        raise FormatError(
            f"the {what} of {whose} is not a number", found=repr(word), fix=REMEDY
        ) from error
