"""Copies of a model: populations, tree and rules are kept, conflicts are as few as can be."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from waters import all_sets_of_copies, clashes_in, macrostates_of, model_of, small_models

from unstill.ensembles.decode import decode
from unstill.ensembles.decode.counts import whole_counts
from unstill.ensembles.decode.groups import state_groups
from unstill.ensembles.multiconformer import Multiconformer, Rule, State
from unstill.errors import InputError


@given(drawn=small_models(3), seed=st.integers(0, 5))
def test_no_set_of_copies_with_these_populations_has_fewer_clashes(drawn, seed) -> None:
    model = model_of(*drawn)
    possible = list(all_sets_of_copies(model, 3))
    # Rules that no three copies can keep are another test's.
    assume(possible)
    decoded = decode(model, n_members=3, seed=seed)
    found = decoded.members.in_state[:, : len(model.states)]
    counts = np.rint(3 * model.tree.occupancy).astype(int)
    np.testing.assert_array_equal(found.sum(axis=0), counts)
    mine = sum(clashes_in(model, copy) for copy in found)
    least = min(sum(clashes_in(model, copy) for copy in copies) for copies in possible)
    assert mine == least
    assert decoded.report.clashes == mine
    assert decoded.report.proven
    assert decoded.report.clashes_floor <= mine + 1e-6
    assert decoded.report.max_marginal_error < 1e-9


@given(drawn=small_models(4))
def test_every_copy_is_one_that_the_model_allows(drawn) -> None:
    model = model_of(*drawn)
    allowed = {tuple(one.tolist()) for one in macrostates_of(model)}
    try:
        decoded = decode(model, n_members=5)
    except InputError:
        # Occupancies that rules do not allow.
        assume(False)
    for copy in decoded.members.in_state[:, : len(model.states)]:
        assert tuple(copy.tolist()) in allowed


@given(
    shares=st.lists(st.integers(1, 100), min_size=1, max_size=6),
    absent=st.integers(0, 60),
    n_members=st.integers(1, 50),
)
def test_counts_are_largest_remainders(shares, absent, n_members) -> None:
    total = sum(shares) + absent
    states = [State("Base")]
    states += [State(f"s{k}", "Base", occupancy=one / total) for k, one in enumerate(shares)]
    model = model_of([(1, f"s{k}", (9 * k, 0, 0)) for k in range(len(shares))], states)
    members = decode(model, n_members=n_members).members
    counts = members.in_state.sum(axis=0)[1 : len(states)]
    exact = n_members * np.array(shares) / total
    assert (np.abs(counts - exact) < 1).all()
    if len(shares) == 1 or (len(shares) == 2 and not absent):
        # Two alternatives: the nearest whole numbers.
        assert (np.abs(counts - exact) <= 0.5 + 1e-9).all()
    whole = math.floor(exact.sum() + 1e-9), math.ceil(exact.sum() - 1e-9)
    assert counts.sum() in whole


def two_switches(joint: float, rules: tuple[Rule, ...] = ()) -> Multiconformer:
    """Waters 1 and 2, each in place a (0.6) or b (0.4); b1 and b2 clash if ``joint`` < 0."""
    states = [State("Base")]
    states += [
        State(f"{x}{k}", "Base", occupancy=0.6 if x == "a" else 0.4) for k in (1, 2) for x in "ab"
    ]
    near = (1, 0, 0) if joint < 0 else (30, 0, 0)
    places = [(1, "a1", (9, 9, 0)), (1, "b1", (0, 0, 0)), (2, "a2", (-9, 9, 0)), (2, "b2", near)]
    return model_of(places, states, rules)


def joint(model: Multiconformer, members, one: str, two: str) -> float:
    index = model.tree.index
    both = members.in_state[:, index[one]] & members.in_state[:, index[two]]
    return float(members.weights[both].sum())


def test_maximum_entropy_without_ties_is_independence() -> None:
    model = two_switches(0)
    decoded = decode(model, n_members=20, mode="maxent")
    np.testing.assert_allclose(
        decoded.members.populations[: len(model.states)], model.tree.occupancy, atol=1e-6
    )
    entropy = -2 * sum(p * math.log(p) for p in (0.6, 0.4))
    assert decoded.report.entropy == pytest.approx(entropy, abs=1e-6)


def test_maximum_entropy_of_what_excludes_each_other() -> None:
    """b1 and b2 never meet: P(b1, a2) = 0.4, P(a1, b2) = 0.4, P(a1, a2) = 0.2, exactly."""
    model = two_switches(0, (Rule(1, "NOT", "b1", ("b2",)),))
    decoded = decode(model, n_members=20, mode="maxent")
    for pair, share in (
        (("b1", "a2"), 0.4),
        (("a1", "b2"), 0.4),
        (("a1", "a2"), 0.2),
        (("b1", "b2"), 0),
    ):
        assert joint(decoded.model, decoded.members, *pair) == pytest.approx(share, abs=1e-6)
    entropy = -sum(p * math.log(p) for p in (0.4, 0.4, 0.2))
    assert decoded.report.entropy == pytest.approx(entropy, abs=1e-5)
    clashing = decode(two_switches(-1), n_members=20, mode="maxent")
    assert joint(clashing.model, clashing.members, "b1", "b2") == pytest.approx(0, abs=1e-6)
    assert clashing.report.clashes == pytest.approx(0, abs=1e-6)


@given(weights=st.lists(st.integers(1, 9), min_size=3, max_size=3), seed=st.integers(0, 3))
def test_the_most_probable_copies_in_order(weights, seed) -> None:
    states, places = [State("Base")], []
    for number, weight in enumerate(weights):
        for letter, share in (("a", weight / 10), ("b", 1 - weight / 10)):
            states.append(State(f"{letter}{number}", "Base", occupancy=share))
            places.append((number, f"{letter}{number}", (9 * number, 9 * (letter == "b"), 0)))
    model = model_of(places, states)
    decoded = decode(model, n_members=5, mode="best", seed=seed)
    probability = sorted(
        (math.prod(p) for p in itertools.product(*((w / 10, 1 - w / 10) for w in weights))),
        reverse=True,
    )[:5]
    expected = np.array(probability) / sum(probability)
    np.testing.assert_allclose(np.sort(decoded.members.weights)[::-1], expected, atol=1e-9)
    assert decoded.report.probability == pytest.approx(sum(probability))
    found = {tuple(copy.tolist()) for copy in decoded.members.in_state}
    assert len(found) == 5


def test_the_same_seed_gives_the_same_members() -> None:
    states, places = [State("Base")], []
    for number in range(6):
        for letter in "ab":
            states.append(State(f"{letter}{number}", "Base", occupancy=0.5))
            places.append((number, f"{letter}{number}", (9 * number, 9 * (letter == "b"), 0)))
    model = model_of(places, states)
    one, two, other = (
        decode(model, n_members=10, seed=seed).members.in_state for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_children_come_with_their_parents_and_parts_are_absent() -> None:
    states = [
        State("Base"),
        State("P", "Base", occupancy=0.5),
        State("c", "P", occupancy=0.3),
        State("W", "Base", kind="compositional", occupancy=0.2),
    ]
    places = [(1, "P", (0, 0, 0)), (2, "c", (9, 0, 0)), (3, "W", (20, 0, 0))]
    model = model_of(places, states)
    decoded = decode(model, n_members=10)
    held = decoded.members.in_state[:, :4]
    assert held.sum(axis=0).tolist() == [10, 5, 3, 2]
    assert not (held[:, 2] & ~held[:, 1]).any()
    occupancy = np.broadcast_to(decoded.ensemble.occupancy, (10, 3))
    np.testing.assert_array_equal(occupancy > 0, held[:, 1:4])
    assert set(np.unique(occupancy)) == {0.0, 1.0}


def test_populations_that_force_clashes_meet_the_floor() -> None:
    """Two partial waters 2.3 Å apart, 0.7 each: 0.4 of the copies must have both."""
    states = [State("Base")] + [State(x, "Base", occupancy=0.7) for x in ("u", "v")]
    model = model_of([(1, "u", (0, 0, 0)), (2, "v", (1, 0, 0))], states)
    report = decode(model, n_members=10).report
    assert report.clashes == 4
    assert report.clashes_floor == pytest.approx(4)
    assert report.proven


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"n_members": 0}, "members"),
        ({}, {"seconds": 0.0}, "time"),
        ({"a": -0.1}, {}, "occupanc"),
        ({"a": 0.9, "b": 0.4}, {}, "exceed"),
    ],
)
def test_what_is_refused(change, options, said) -> None:
    share = {"a": 0.6, "b": 0.4} | change
    states = [State("Base")] + [State(x, "Base", occupancy=share[x]) for x in "ab"]
    model = model_of([(1, "a", (0, 0, 0)), (1, "b", (5, 0, 0))], states)
    with pytest.raises(InputError, match=said) as caught:
        decode(model, **options)
    assert caught.value.fix
    if "exceed" in said:
        assert "--renormalise" in str(caught.value.fix)
        scaled = decode(model, renormalise=True, n_members=13)
        assert scaled.report.excess
        assert scaled.members.in_state.sum(axis=0)[1:3].tolist() == [9, 4]


def test_rules_against_the_occupancies_are_refused() -> None:
    model = two_switches(0, (Rule(1, "AND", "a1", ("b2",)),))
    with pytest.raises(InputError):
        decode(model, n_members=10)
    impossible = two_switches(0, (Rule(1, "AND", "a1", ("a2",)), Rule(2, "NOT", "a1", ("a2",))))
    with pytest.raises(InputError):
        decode(impossible, n_members=10)


def test_counts_keep_every_sum() -> None:
    states = [State("Base")]
    states += [State(f"s{k}", "Base", occupancy=p) for k, p in enumerate((0.335, 0.335, 0.33))]
    model = model_of([(1, f"s{k}", (9 * k, 0, 0)) for k in range(3)], states)
    groups = state_groups(model)
    counts = whole_counts(groups, 20, np.random.default_rng(0))
    assert sum(np.asarray(counts)[[1, 2, 3]]) == 20


FILES = {
    "altloc/6b8x.pdb": 45,
    "altloc/1vme_0.5A_0.5B.cif": 0,
    "altloc/2yl0.pdb": 0,
    "altloc/6ni6.pdb": 61,
    "altloc/4i39.cif": 0,
    "altloc/3o5r.cif": 0,
    "bragg/1g8a_qfit.pdb": 0,
}


@pytest.mark.parametrize(("name", "floor"), FILES.items())
def test_deposited_models(unstill_data, name, floor) -> None:
    from unstill.io import read_multiconformer

    report = decode(read_multiconformer(unstill_data / name), n_members=20).report
    assert report.proven
    assert report.clashes >= report.clashes_floor >= floor
    assert report.clashes <= report.clashes_random
    # Half a copy, and the rounding of occupancies to two decimals.
    assert report.max_marginal_error <= 1 / 40 + 0.005 + 1e-9
    assert report.junctions <= report.junctions_random
