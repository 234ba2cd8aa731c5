"""Combinations of states against every subset, tried one by one."""

from __future__ import annotations

import itertools
import time

import biotite.structure as struc
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unstill.ensembles.multiconformer import Members, Multiconformer, Rule, State
from unstill.ensembles.multiconformer.constraints import complete_groups
from unstill.ensembles.multiconformer.macrostates import (
    enumerate_macrostates,
    is_satisfiable,
)
from unstill.errors import InputError


def model_of(
    parents: dict[str, str],
    atoms: dict[str, str] | None = None,
    rules: tuple[tuple[str, str, str], ...] = (),
    occupancy: dict[str, float] | None = None,
) -> Multiconformer:
    """States by name; atoms: for each state the positions that it holds, as letters."""
    states = [State("Base")] + [
        State(s, p, occupancy=(occupancy or {}).get(s, 0.1)) for s, p in parents.items()
    ]
    rows = [(s, atom) for s, held in (atoms or {}).items() for atom in held]
    names = sorted({atom for _, atom in rows})
    sites = struc.AtomArray(len(names))
    sites.atom_name[:] = names
    index = {state.id: number for number, state in enumerate(states)}
    return Multiconformer(
        sites,
        site=np.array([names.index(atom) for _, atom in rows], dtype=int),
        state=np.array([index[s] for s, _ in rows], dtype=int),
        coord=np.zeros((len(rows), 3)),
        occupancy=np.array([states[index[s]].occupancy for s, _ in rows]),
        b_factor=np.zeros(len(rows)),
        altloc_id=np.array([s for s, _ in rows], dtype=str),
        states=tuple(states),
        rules=tuple(
            Rule(number, kind, state, tuple(others.split()))
            for number, (kind, state, others) in enumerate(rules, start=1)
        ),
    )


def all_allowed(model: Multiconformer, *, complete: bool = False) -> set[tuple[bool, ...]]:
    """Every subset of the states that keeps the tree, the rules and the positions."""
    n, tree = len(model.states), model.tree
    groups = complete_groups(model) if complete else []
    found = set()
    for held in itertools.product((False, True), repeat=n):
        here = {model.states[i].id for i in range(n) if held[i]}
        parents = all(p < 0 or held[p] for i, p in enumerate(tree.parent.tolist()) if held[i])
        apart = not any(held[a] and held[b] for a, b in model.exclusive)
        whole = all(not held[a] or any(held[s] for s in group) for a, group in groups)
        if held[0] and parents and apart and whole and all(r.allows(here) for r in model.rules):
            found.add(held)
    return found


@st.composite
def specifications(draw: st.DrawFn) -> tuple:
    n = draw(st.integers(1, 9))
    names = [f"s{i}" for i in range(n)]
    parents = {s: draw(st.sampled_from(["Base", *names[:i]])) for i, s in enumerate(names)}
    held = {s: draw(st.sets(st.sampled_from("abcd"), max_size=2)) for s in names}
    everything = ["Base", *names]
    some = st.lists(st.sampled_from(everything), min_size=1, max_size=3, unique=True)
    rule = st.tuples(
        st.sampled_from(["AND", "OR", "NOT"]), st.sampled_from(everything), some.map(" ".join)
    )
    rules = tuple(draw(st.lists(rule, max_size=6)))
    share = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0])
    occupancy = {s: draw(share) for s in names}
    atoms = {s: "".join(sorted(some)) for s, some in held.items()}
    return parents, atoms, rules, occupancy


@settings(max_examples=60, deadline=None)
@given(specifications(), st.booleans())
def test_macrostates_are_those_of_all_subsets(parts, complete) -> None:
    model = model_of(*parts)
    found = enumerate_macrostates(model, complete=complete)
    listed = [tuple(held.tolist()) for held in found]
    assert found.all_found
    assert found.count == len(listed) == len(set(listed))
    assert set(listed) == all_allowed(model, complete=complete)


@settings(max_examples=60, deadline=None)
@given(specifications(), st.data(), st.booleans())
def test_satisfiable_exactly_where_some_subset_is(parts, data, complete) -> None:
    model = model_of(*parts)
    ids = [state.id for state in model.states]
    required = data.draw(st.lists(st.sampled_from(ids), max_size=3))
    index = [ids.index(state) for state in required]
    expected = any(all(held[i] for i in index) for held in all_allowed(model, complete=complete))
    assert is_satisfiable(model, required, complete=complete) is expected


@settings(max_examples=25, deadline=None)
@given(specifications(), st.integers(1, 5))
def test_a_limit_keeps_the_first_and_says_so(parts, limit) -> None:
    model = model_of(*parts)
    whole = enumerate_macrostates(model)
    part = enumerate_macrostates(model, limit)
    for all_of, some in zip(whole.components, part.components, strict=True):
        assert some.all_found == (len(all_of.present) <= limit)
        np.testing.assert_array_equal(some.present, all_of.present[:limit])


def test_residues_far_apart_multiply_and_are_not_written_out() -> None:
    names = [f"r{i}{label}" for i in range(40) for label in "AB"]
    model = model_of(
        dict.fromkeys(names, "Base"),
        {name: chr(97 + i // 2) if i < 52 else chr(39 + i // 2) for i, name in enumerate(names)},
        occupancy=dict.fromkeys(names, 0.5),
    )
    assert enumerate_macrostates(model).count == 3**40
    assert enumerate_macrostates(model, complete=True).count == 2**40
    assert len(enumerate_macrostates(model).components) == 40


def test_a_complete_group_is_exact_where_members_are_known() -> None:
    # 97 of 98 copies have the atom: complete to two decimals, and yet one lacks it.
    model = model_of({"A": "Base"}, {"A": "a"}, occupancy={"A": 97 / 98})
    assert enumerate_macrostates(model, complete=True).count == 1
    held = np.ones((98, 2), dtype=bool)
    held[0, 1] = False
    known = model.replace(members=Members(np.ones(98), held))
    assert enumerate_macrostates(known, complete=True).count == 2


@pytest.mark.parametrize(
    ("rules", "possible"),
    [
        ((("NOT", "A", "Base"),), False),
        ((("NOT", "Base", "A"),), False),
        ((("AND", "A", "B C"),), True),
        ((("AND", "A", "B"), ("NOT", "B", "A")), False),
        ((("AND", "A", "B"), ("AND", "B", "C"), ("NOT", "C", "A")), False),
        ((("OR", "A", "B C"), ("NOT", "A", "B C")), False),
        ((("OR", "A", "B C"), ("NOT", "A", "B")), True),
        ((("OR", "A", "B"), ("OR", "B", "C D"), ("NOT", "A", "C"), ("NOT", "D", "B")), False),
    ],
)
def test_rules_that_contradict_each_other_leave_no_copy_with_the_state(rules, possible) -> None:
    model = model_of(dict.fromkeys("ABCD", "Base"), rules=rules)
    assert is_satisfiable(model, ["A"]) is possible
    assert is_satisfiable(model, ["Base"])


def test_a_root_that_excludes_itself_leaves_nothing() -> None:
    model = model_of({"A": "Base"}, rules=(("NOT", "Base", "Base"),))
    assert not is_satisfiable(model)
    assert enumerate_macrostates(model).count == 0
    assert list(enumerate_macrostates(model)) == []


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises(InputError, match="no such state"):
        is_satisfiable(model_of({"A": "Base"}), ["B"])


def test_a_search_that_is_too_long_claims_nothing_and_ends() -> None:
    # Nine pigeons, eight holes: no search of this kind is short.
    pigeons, holes = range(9), range(8)
    names = {(p, h): f"p{p}h{h}" for p in pigeons for h in holes}
    rules = [("OR", "Base", " ".join(names[p, h] for h in holes)) for p in pigeons]
    rules += [("NOT", names[p, h], names[q, h]) for h in holes for p in pigeons for q in range(p)]
    model = model_of(dict.fromkeys(names.values(), "Base"), rules=tuple(rules))
    start = time.process_time()
    assert is_satisfiable(model) is None
    assert not enumerate_macrostates(model, 100).all_found
    # Bounded by steps, not by a clock: a wide margin over the few seconds it takes.
    assert time.process_time() - start < 30


@settings(max_examples=25, deadline=None)
@given(specifications())
def test_every_state_of_a_macrostate_can_occur(parts) -> None:
    model = model_of(*parts)
    found = enumerate_macrostates(model)
    assume(found.count)
    seen = np.any(list(found), axis=0)
    for number, state in enumerate(model.states):
        assert is_satisfiable(model, [state.id]) is bool(seen[number])
