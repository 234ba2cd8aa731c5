"""Clashes between states: what they mean for the hierarchy, and what can be done about them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from unstill.ensembles.contacts import StateClash, find_clashes
from unstill.ensembles.hierarchy.coexistence import add_rule, not_rules
from unstill.ensembles.hierarchy.consistency import EXCESS, ROUNDING, excluded
from unstill.ensembles.hierarchy.regroup import merge_states
from unstill.ensembles.hierarchy.room import forced_share
from unstill.ensembles.multiconformer import Multiconformer, Rule
from unstill.errors import InputError
from unstill.shapes import Bool

ClashClass = Literal["actionable", "same-state", "ancestor", "benign"]

UNAVOIDABLE = 0.01
"""Share of copies that must have both states before a clash counts as unavoidable."""


@dataclass(frozen=True)
class ClassedClash:
    """The worst clash of two states, and what it asks for.

    Parameters
    ----------
    id
        Number in its report, from 1.
    state_a, state_b
        Ids of the states.
    kind
        ``actionable``: both may be in one copy and need not. ``same-state`` and ``ancestor``:
        no copy with the lower state is free of it; coordinates must change. ``benign``: a rule
        keeps them apart already.
    atom_a, atom_b
        The rows that overlap most.
    overlap, distance
        Of these, in Å.
    n
        Pairs of rows that clash.
    unavoidable
        Share of copies in which both states must be, by occupancies and by what excludes
        both already.
    action
        ``merge``, ``not`` or ``none``.
    merge
        For ``merge``: the pairs of states that belong together.
    apply
        Whether ``apply_clashes`` shall do it; set it to choose.
    """

    id: int
    state_a: str
    state_b: str
    kind: ClashClass
    atom_a: str
    atom_b: str
    overlap: float
    distance: float
    n: int
    unavoidable: float
    action: Literal["merge", "not", "none"]
    merge: tuple[tuple[str, str], ...] = ()
    apply: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def detect_clashes(model: Multiconformer, *, overlap: float = 0.6) -> tuple[ClassedClash, ...]:
    """Find clashes of states and class them.

    Two states, each one of two alternatives, that clash and whose occupancies match
    crosswise belong together crosswise: ``merge``. Otherwise a rule NOT keeps clashing
    states apart, unless occupancies make that impossible. Where they leave room for some
    of several rules only, the largest overlaps come first.

    Parameters
    ----------
    model
        A model whose hierarchy is stated (``infer_hierarchy``).
    overlap
        Overlap of van der Waals spheres from which two heavy atoms clash (Å).

    Returns
    -------
    tuple of ClassedClash
        One for two states, the largest overlap first.
    """
    free = model.replace(rules=tuple(rule for rule in model.rules if rule.kind != "NOT"))
    found = find_clashes(free, overlap=overlap).by_states(free)
    written = excluded(model)
    apart = written.copy()
    classed = []
    for number, clash in enumerate(found, start=1):
        entry = _classed(model, written, apart, number, clash)
        if entry.action != "none":
            # The rules that come after have to leave room for this one.
            _keep_apart(model, apart, clash.state_a, clash.state_b)
        classed.append(entry)
    return tuple(classed)


def clash_rules(model: Multiconformer) -> tuple[Rule, ...]:
    """Rules of the kind NOT for all clashes that can be avoided, numbered after the model's."""
    pairs = {
        tuple(sorted((model.tree.find(clash.state_a), model.tree.find(clash.state_b))))
        for clash in detect_clashes(model)
        if clash.kind == "actionable" and clash.action != "none"
    }
    return not_rules(model, [(a, b) for a, b in sorted(pairs)], "they clash")


def apply_clashes(model: Multiconformer, clashes: tuple[ClassedClash, ...]) -> Multiconformer:
    """Do what a list of clashes asks for: merge states, or add rules of the kind NOT.

    Parameters
    ----------
    model
        The model of which the clashes are.
    clashes
        Those with ``apply`` are acted on, in order.

    Raises
    ------
    InputError
        If a state is not there (any more), or an action contradicts tree, atoms or rules.
    """
    renamed: dict[str, str] = {}

    def now(state: str) -> str:
        while state in renamed:
            state = renamed[state]
        return state

    for clash in clashes:
        if not clash.apply or clash.action == "none":
            continue
        if clash.action == "merge":
            for first, second in clash.merge:
                if now(first) != now(second):
                    kept, gone = now(first), now(second)
                    model = merge_states(model, [kept, gone])
                    renamed[gone] = kept
            continue
        a, b = model.tree.find(now(clash.state_a)), model.tree.find(now(clash.state_b))
        if not excluded(model)[a, b]:
            # A merge before may have put them apart already.
            model = add_rule(
                model, "NOT", now(clash.state_a), [now(clash.state_b)], description="they clash"
            )
    return model.replace(stated=True)


def clashes_from_dicts(entries: Any) -> tuple[ClassedClash, ...]:
    """Read clashes back from the JSON of a report.

    Raises
    ------
    InputError
        If it is not such a report.
    """
    try:
        return tuple(
            ClassedClash(**{**entry, "merge": tuple((str(a), str(b)) for a, b in entry["merge"])})
            for entry in entries
        )
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            "this is no report of clashes",
            found=f"{type(error).__name__}: {error}",
            fix="take the file that `unstill hierarchy clash detect -o` writes; change only "
            "`apply` and `action`",
        ) from error


def _classed(
    model: Multiconformer,
    written: Bool[np.ndarray, "n_states n_states"],
    apart: Bool[np.ndarray, "n_states n_states"],
    number: int,
    clash: StateClash,
) -> ClassedClash:
    tree = model.tree
    a, b = clash.state_a, clash.state_b
    kind: ClashClass
    if a == b:
        kind = "same-state"
    elif tree.related(a, b):
        kind = "ancestor"
    else:
        kind = "benign" if written[a, b] else "actionable"
    both = forced_share(model, apart, a, b) if kind == "actionable" else 0.0
    found = ClassedClash(
        number,
        tree.states[a].id,
        tree.states[b].id,
        kind,
        model.row_label(clash.row_a),
        model.row_label(clash.row_b),
        round(clash.overlap, 3),
        round(clash.distance, 3),
        clash.n,
        round(both, 4),
        "none",
    )
    if kind != "actionable":
        return found
    crossed = _crossed(model, a, b)
    if crossed:
        return replace(found, action="merge", merge=crossed, apply=True)
    if both > UNAVOIDABLE:
        return found
    return replace(found, action="not", apply=True)


def _keep_apart(
    model: Multiconformer, apart: Bool[np.ndarray, "n_states n_states"], a: int, b: int
) -> None:
    below_a, below_b = model.tree.closure[:, a], model.tree.closure[:, b]
    apart |= np.outer(below_a, below_b) | np.outer(below_b, below_a)


def _crossed(model: Multiconformer, a: int, b: int) -> tuple[tuple[str, str], ...]:
    """Pairs that belong together where two alternatives meet two that match crosswise."""
    other_a, other_b = _only_alternative(model, a), _only_alternative(model, b)
    tree, shares = model.tree, model.populations
    if other_a is None or other_b is None or tree.parent[a] != tree.parent[b]:
        return ()
    pairs = ((a, other_b), (other_a, b))
    close = all(abs(shares[x] - shares[y]) <= ROUNDING + 1e-9 for x, y in pairs)
    apart = excluded(model)
    if not close or any(apart[x, y] for x, y in pairs):
        return ()
    names = [state.id for state in model.states]
    return tuple((names[x], names[y]) for x, y in pairs)


def _only_alternative(model: Multiconformer, state: int) -> int | None:
    """Return the one sibling that is there whenever a state is not; ``None`` if there is none."""
    tree, shares = model.tree, model.populations
    others = [b if a == state else a for a, b in model.exclusive if state in (a, b)]
    others = [other for other in others if tree.parent[other] == tree.parent[state]]
    if len(others) != 1:
        return None
    whole = float(shares[tree.parent[state]])
    total = float(shares[state] + shares[others[0]])
    return others[0] if abs(total - whole) <= EXCESS else None
