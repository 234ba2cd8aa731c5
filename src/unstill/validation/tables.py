"""V1, V2 and the labels of V10 on what a file says, where no model can be built from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer.tables import HierarchyTables
from unstill.ensembles.multiconformer.tree import shortened
from unstill.validation.finding import Finding, arranged
from unstill.validation.row_names import MOST_NAMES, several


def check_tables(tables: HierarchyTables, *, most: int | None = 10) -> tuple[Finding, ...]:
    """Check the raw tables of a file: its tree, its references, its labels.

    Parameters
    ----------
    tables
        As the file has them.
    most
        Findings of one sort that are listed.

    Returns
    -------
    tuple of Finding
        Without errors among them, a model can be built from the tables.
    """
    found = [*_check_ids(tables), *_check_tree(tables), *_check_rules(tables)]
    found += [*_check_atoms(tables), *_check_members(tables), *_check_altlocs(tables)]
    return arranged(found, most)


def _check_ids(tables: HierarchyTables) -> Iterator[Finding]:
    for what in ("id", "name"):
        words = [getattr(state, what) for state in tables.states]
        # Where no state has a name, the file lacks the item; ids serve.
        if what == "name" and not any(words):
            continue
        twice = sorted(word for word, n in Counter(words).items() if n > 1 and word)
        if twice:
            yield Finding(
                "V1",
                "error",
                f"{several(len(twice), what)} of states stand more than once: {shortened(twice)}",
                states=tuple(twice[:12]) if what == "id" else (),
                remedy="rename all but one of them",
                kind=f"repeated-{what}",
                count=len(twice),
            )
        wrong = [word for word in words if not _is_token(word)]
        if wrong:
            yield Finding(
                "V1",
                "error",
                f"{several(len(wrong), what)} of states are no token: "
                f"{shortened(repr(word) for word in wrong)}",
                remedy=f"give each state {'an' if what == 'id' else 'a'} {what} without white "
                "space, commas or quotes",
                kind=f"no-{what}",
                count=len(wrong),
            )


def _is_token(word: str) -> bool:
    return bool(word) and word not in (".", "?") and not any(c.isspace() or c == "," for c in word)


def _check_tree(tables: HierarchyTables) -> Iterator[Finding]:
    if not tables.states:
        return
    parent = {state.id: state.parent for state in tables.states}
    roots = [state.id for state in tables.states if not state.parent]
    if len(roots) != 1:
        many = "none" if not roots else f"{len(roots)}: {shortened(roots)}"
        yield Finding(
            "V1",
            "error",
            f"a tree has one state without parent, this one has {many}",
            states=tuple(roots[:12]),
            value=float(len(roots)),
            remedy="give all states but one a parent" if roots else "free one of its parent",
            kind="roots",
        )
    lost = {child: above for child, above in parent.items() if above and above not in parent}
    if lost:
        yield Finding(
            "V2",
            "error",
            "parents do not exist: " + shortened(f"{a} (of {c})" for c, a in lost.items()),
            states=tuple(lost)[:12],
            remedy="add these states, or give their children other parents",
            kind="unknown-parent",
            count=len(lost),
        )
    circle = _in_circles(parent)
    if circle:
        yield Finding(
            "V1",
            "error",
            f"states are their own ancestors, or hang from such states: {shortened(circle)}",
            states=tuple(circle[:12]),
            remedy="give one state of the circle another parent",
            kind="cycle",
            count=len(circle),
        )


def _in_circles(parent: dict[str, str]) -> list[str]:
    """States from which no number of steps upward leads out of the table."""
    out: dict[str, bool] = {}
    for start in parent:
        path: list[str] = []
        walked: set[str] = set()
        at = start
        while at in parent and at not in out and at not in walked:
            path.append(at)
            walked.add(at)
            at = parent[at]
        leads_out = at not in parent or out.get(at, False)
        out.update(dict.fromkeys(path, leads_out))
    return [state for state, leads_out in out.items() if not leads_out]


def _check_rules(tables: HierarchyTables) -> Iterator[Finding]:
    known = {state.id for state in tables.states}
    numbers = Counter(rule.id for rule in tables.rules)
    for rule in tables.rules:
        wrong = []
        if not (rule.id.isdigit() and int(rule.id) >= 1):
            wrong.append(f"its id {rule.id!r} is no integer of at least 1")
        elif numbers[rule.id] > 1:
            wrong.append(f"{several(numbers[rule.id], 'rule')} have its id")
        if rule.kind not in ("AND", "OR", "NOT"):
            wrong.append(f"its kind {rule.kind!r} is none of AND, OR, NOT")
        if not [word for word in rule.others if word]:
            wrong.append("it names no other states")
        unknown = [word for word in (rule.state, *rule.others) if word not in known]
        if unknown:
            wrong.append(f"it names states that do not exist: {shortened(map(repr, unknown))}")
        if wrong:
            yield Finding(
                "V2",
                "error",
                f"rule {rule.id or '(without id)'} cannot be followed: {'; '.join(wrong)}",
                states=tuple(word for word in (rule.state, *rule.others) if word),
                remedy="correct the rule or remove it",
                kind="broken-rule",
            )


def _check_atoms(tables: HierarchyTables) -> Iterator[Finding]:
    if tables.atom_state is None:
        if tables.states:
            yield Finding(
                "V2",
                "error",
                "there is a tree of states, and atoms do not say which state they are in",
                remedy="add the item pdbx_heterogeneity_id to _atom_site",
                kind="no-states-of-atoms",
            )
        return
    known = {state.id for state in tables.states}
    for state in dict.fromkeys(tables.atom_state.tolist()):
        if state in known:
            continue
        rows = np.flatnonzero(tables.atom_state == state)
        yield Finding(
            "V2",
            "error",
            f"{several(len(rows), 'atom')} "
            + (f"of the state {state}, which does not exist" if state else "without a state"),
            states=(state,) if state else (),
            atoms=_names(tables, rows),
            remedy="add the state"
            if state
            else "name a state of each atom, Base for what all copies have",
            kind="unknown-state" if state else "no-state",
            count=len(rows),
        )


def _check_members(tables: HierarchyTables) -> Iterator[Finding]:
    known, members = {state.id for state in tables.states}, set(tables.members)
    lost = {
        pair for pair in tables.member_states if pair[0] not in members or pair[1] not in known
    }
    if lost:
        yield Finding(
            "V2",
            "error",
            "states of members name what does not exist: "
            + shortened(f"member {member}, state {state}" for member, state in sorted(lost)),
            remedy="add these members and states, or remove the lines",
            kind="unknown-member-state",
            count=len(lost),
        )
    twice = sorted(member for member, n in Counter(tables.members).items() if n > 1)
    if twice:
        yield Finding(
            "V2",
            "error",
            f"members stand more than once: {shortened(twice)}",
            remedy="rename all but one of them",
            kind="repeated-member",
            count=len(twice),
        )


def _check_altlocs(tables: HierarchyTables) -> Iterator[Finding]:
    for label in dict.fromkeys(tables.atom_altloc.tolist()):
        if not label or (label.strip() and label not in (".", "?")):
            continue
        rows = np.flatnonzero(tables.atom_altloc == label)
        blank = not label.strip()
        yield Finding(
            "V10",
            "warning" if blank else "error",
            f"{several(len(rows), 'atom')} with the altloc {label!r}, which "
            + ("is read as none" if blank else "others read as none"),
            atoms=_names(tables, rows),
            remedy="write . without quotes for no altloc, a letter otherwise",
            kind="altloc-is-no-label",
            count=len(rows),
        )


def _names(tables: HierarchyTables, rows: np.ndarray) -> tuple[str, ...]:
    names = [str(tables.atom_label[row]) for row in rows[:MOST_NAMES]]
    more = len(rows) - MOST_NAMES
    return tuple(names) if more <= 0 else (*names, f"and {more} more")
