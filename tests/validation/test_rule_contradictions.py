"""Contradictions between rules, tree and positions against every subset of the states."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import built, water

from unstill.ensembles.multiconformer import Multiconformer, Rule, State
from unstill.validation import check_hierarchy

_IMPOSSIBLE = {"cannot-occur", "needs-what-it-excludes", "rule-against-tree", "no-copy-allowed"}


def possible_states(model: Multiconformer) -> set[str]:
    """Ids of the states that some allowed subset has, all 2^n of them looked at."""
    tree, n = model.tree, len(model.states)
    found: set[str] = set()
    for held in itertools.product((False, True), repeat=n):
        here = {model.states[i].id for i in range(n) if held[i]}
        parents = all(p < 0 or held[p] for i, p in enumerate(tree.parent.tolist()) if held[i])
        apart = not any(held[a] and held[b] for a, b in model.exclusive)
        if held[tree.root] and parents and apart and all(r.allows(here) for r in model.rules):
            found |= here
    return found


@st.composite
def models(draw: st.DrawFn) -> Multiconformer:
    names = [f"s{i}" for i in range(draw(st.integers(1, 6)))]
    parents = [draw(st.sampled_from(["Base", *names[:i]])) for i in range(len(names))]
    states = [State("Base"), *map(State, names, parents)]
    everything = ["Base", *names]
    some = st.lists(st.sampled_from(everything), min_size=1, max_size=3, unique=True)
    kind = st.sampled_from(["AND", "OR", "NOT"])
    drawn = draw(st.lists(st.tuples(kind, st.sampled_from(everything), some), max_size=5))
    rules = [Rule(n, k, s, tuple(o)) for n, (k, s, o) in enumerate(drawn, start=1)]
    # A few states hold the same water; far apart, so that nothing clashes.
    rows = [water(100, "Base", 1.0, (0, 0, 0), "")]
    for number, name in enumerate(names):
        site = draw(st.integers(101, 103))
        rows.append(water(site, name, 1.0, (30 + 10 * number, 0, 0), name))
    return built(rows, states, rules)


@settings(max_examples=40)
@given(models())
def test_exactly_what_no_subset_allows_is_an_error(model) -> None:
    impossible = {state.id for state in model.states} - possible_states(model)
    told = [f for f in check_hierarchy(model, most=None) if f.kind in _IMPOSSIBLE]
    assert bool(told) == bool(impossible)
    assert all(finding.severity == "error" for finding in told)
    if any(f.kind == "no-copy-allowed" for f in told):
        assert len(impossible) == len(model.states)
        return
    named = {s for f in told if f.kind != "rule-against-tree" for s in f.states}
    assert named <= impossible
    # What a rule against the tree forbids, and all that needs it, is not told twice.
    against = {s for f in told if f.kind == "rule-against-tree" for s in f.states}
    for state in impossible - named:
        needed = _needed(model, state)
        assert needed & against, (state, told)


def _needed(model: Multiconformer, state: str) -> set[str]:
    """All that is in every copy with a state, by tree and AND rules."""
    found, waiting = set(), [state, model.states[model.tree.root].id]
    while waiting:
        at = waiting.pop()
        if at in found:
            continue
        found.add(at)
        waiting += [model.states[i].id for i in model.tree.line(model.tree.find(at))]
        for rule in model.rules:
            if rule.kind == "AND" and rule.state == at:
                waiting += rule.others
    return found


@settings(max_examples=20)
@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=5),
    st.integers(-3, 6),
)
def test_sums_of_a_position_are_judged_by_their_excess(hundredths, over) -> None:
    # Scaled so that the sum is 1 and a few hundredths.
    share = np.array(hundredths, dtype=float) + 1
    share = share / share.sum() * (1 + over / 100)
    states = [
        State("Base"),
        *(State(f"s{i}", "Base", occupancy=float(o)) for i, o in enumerate(share)),
    ]
    rows = [water(101, f"s{i}", float(o), (40 + i, 0, 0), f"s{i}") for i, o in enumerate(share)]
    found = [f for f in check_hierarchy(built(rows, states, ())) if f.rule == "V5"]
    expected = "error" if over > 2 else "warning" if over >= 1 else "note" if over < 0 else None
    assert [f.severity for f in found] == ([] if expected is None else [expected])
