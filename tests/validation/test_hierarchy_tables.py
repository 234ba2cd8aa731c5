"""Tables of a file that make no model: every fault is named, and none is invented."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import kinds

from unstill.ensembles.multiconformer import State, StateTree
from unstill.ensembles.multiconformer.tables import HierarchyTables, RuleLine, StateLine
from unstill.errors import InputError
from unstill.validation import check_tables

GOOD = HierarchyTables(
    states=(
        StateLine("Base", "all"),
        StateLine("A", "a", "Base"),
        StateLine("B", "b", "Base"),
        StateLine("A1", "a1", "A"),
    ),
    rules=(RuleLine("1", "NOT", "A", ("B",)), RuleLine("2", "AND", "A1", ("A",))),
    atom_state=np.array(["Base", "A", "B", "A1"]),
    atom_altloc=np.array(["", "A", "B", "AA"]),
    atom_label=np.array(["A/GLY 1/N", "A/GLY 1/CA", "A/GLY 1/CA", "A/GLY 1/C"]),
    members=("1", "2"),
    member_states=(("1", "A"), ("1", "A1"), ("2", "B")),
)


def states(*lines: tuple[str, str, str]) -> HierarchyTables:
    return replace(GOOD, states=tuple(StateLine(*line) for line in lines))


def test_good_tables_and_a_file_without_any_have_no_finding() -> None:
    assert check_tables(GOOD) == ()
    assert check_tables(HierarchyTables()) == ()
    assert GOOD.stated
    assert not HierarchyTables().stated


def test_names_may_be_missing_altogether() -> None:
    assert (
        check_tables(replace(GOOD, states=tuple(replace(s, name="") for s in GOOD.states))) == ()
    )


FAULTS = [
    (states(("Base", "x", ""), ("A", "a", ""), ("B", "b", "A"), ("A1", "c", "A")), "V1", "roots"),
    (
        states(("Base", "x", "A"), ("A", "a", "Base"), ("B", "b", "A"), ("A1", "c", "A")),
        "V1",
        "cycle",
    ),
    (
        states(("Base", "x", ""), ("A", "a", "A1"), ("A1", "b", "A"), ("B", "c", "Base")),
        "V1",
        "cycle",
    ),
    (replace(GOOD, states=(*GOOD.states, StateLine("A", "z", "Base"))), "V1", "repeated-id"),
    (replace(GOOD, states=(*GOOD.states, StateLine("Z", "a", "Base"))), "V1", "repeated-name"),
    (replace(GOOD, states=(*GOOD.states, StateLine("Z z", "z", "Base"))), "V1", "no-id"),
    (replace(GOOD, states=(*GOOD.states, StateLine("Z", "z,z", "Base"))), "V1", "no-name"),
    (replace(GOOD, states=(*GOOD.states, StateLine("Z", "z", "Q"))), "V2", "unknown-parent"),
    (replace(GOOD, rules=(RuleLine("1", "NOT", "A", ("Q",)),)), "V2", "broken-rule"),
    (replace(GOOD, rules=(RuleLine("1", "NOT", "Q", ("A",)),)), "V2", "broken-rule"),
    (replace(GOOD, rules=(RuleLine("0", "NOT", "A", ("B",)),)), "V2", "broken-rule"),
    (replace(GOOD, rules=(RuleLine("one", "NOT", "A", ("B",)),)), "V2", "broken-rule"),
    (replace(GOOD, rules=(RuleLine("1", "XOR", "A", ("B",)),)), "V2", "broken-rule"),
    (replace(GOOD, rules=(RuleLine("1", "NOT", "A", ("",)),)), "V2", "broken-rule"),
    (replace(GOOD, rules=(GOOD.rules[0], replace(GOOD.rules[1], id="1"))), "V2", "broken-rule"),
    (replace(GOOD, atom_state=None), "V2", "no-states-of-atoms"),
    (replace(GOOD, atom_state=np.array(["Base", "A", "Q", "A1"])), "V2", "unknown-state"),
    (replace(GOOD, atom_state=np.array(["Base", "A", "", "A1"])), "V2", "no-state"),
    (replace(GOOD, member_states=(("1", "Q"),)), "V2", "unknown-member-state"),
    (replace(GOOD, member_states=(("7", "A"),)), "V2", "unknown-member-state"),
    (replace(GOOD, members=("1", "1", "2")), "V2", "repeated-member"),
    (replace(GOOD, atom_altloc=np.array(["", "?", "B", "AA"])), "V10", "altloc-is-no-label"),
    (replace(GOOD, atom_altloc=np.array(["", ".", "B", "AA"])), "V10", "altloc-is-no-label"),
]


@pytest.mark.parametrize(("tables", "rule", "kind"), FAULTS, ids=[kind for *_, kind in FAULTS])
def test_every_fault_is_named_with_a_remedy(tables, rule, kind) -> None:
    found = check_tables(tables)
    assert (rule, kind) in kinds(found)
    assert all(finding.remedy for finding in found)
    if kind != "cycle":
        # Nothing else follows from the one fault.
        assert {f.rule for f in found} == {rule}


def test_atoms_are_named_and_counted() -> None:
    many = np.array(["Q"] * 50)
    tables = replace(
        GOOD,
        atom_state=many,
        atom_altloc=np.full(50, ""),
        atom_label=np.array([f"A/GLY {n}/N" for n in range(50)]),
    )
    (finding,) = check_tables(tables)
    assert finding.count == 50
    assert finding.atoms[0] == "A/GLY 0/N"
    assert finding.atoms[-1] == "and 44 more"


def test_a_blank_in_quotes_is_a_warning() -> None:
    tables = replace(GOOD, atom_altloc=np.array(["", " ", "B", "AA"]))
    assert kinds(check_tables(tables), "warning") == {("V10", "altloc-is-no-label")}


def test_the_length_of_a_chain_of_states_is_no_matter() -> None:
    names = [f"s{i}" for i in range(5000)]
    lines = [StateLine("Base", "Base"), *map(StateLine, names, names, ["Base", *names[:-1]])]
    tables = replace(GOOD, states=tuple(lines), rules=(), atom_state=np.array(["Base"] * 4))
    assert not [f for f in check_tables(tables) if f.rule == "V1"]


WORD = st.sampled_from(["Base", "A", "B", "C", "", ".", "x y"])


@given(st.lists(st.builds(StateLine, WORD, WORD, WORD), max_size=5))
def test_a_tree_is_built_exactly_where_nothing_is_wrong(lines) -> None:
    tables = HierarchyTables(states=tuple(lines), atom_state=np.empty(0, dtype="U4"))
    told = [f for f in check_tables(tables) if f.rule in ("V1", "V2")]
    named = any(line.name for line in lines)
    try:
        # The names of a file that has some are names; else ids serve.
        made = [State(s.id, s.parent or None, s.name if named else s.id) for s in lines]
        if lines:
            StateTree(made)
    except InputError:
        assert told
    else:
        # One that lacks the name that others have cannot be told from a file without names.
        assert {f.kind for f in told} <= ({"no-name"} if named else set())
        assert bool(told) == (named and not all(line.name for line in lines))
