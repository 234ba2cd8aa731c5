"""Populations, spreads and chosen copies against members, linear programming and direct sums."""

from __future__ import annotations

import biotite.structure as struc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unstill.ensembles.multiconformer import Members, Multiconformer, Rule, State
from unstill.ensembles.multiconformer.copies import copies_that_show
from unstill.ensembles.multiconformer.macrostates import enumerate_macrostates
from unstill.ensembles.multiconformer.populations import macrostate_populations
from unstill.ensembles.multiconformer.residues import residue_spread


def model_of(
    held: dict[str, str],
    occupancy: dict[str, float],
    rules: tuple[tuple[str, str, str], ...] = (),
    parents: dict[str, str] | None = None,
) -> Multiconformer:
    """States with the atoms (letters) that each holds, children of the root unless told."""
    states = [State("Base")] + [
        State(s, (parents or {}).get(s, "Base"), occupancy=occupancy[s]) for s in held
    ]
    rows = [(s, atom) for s, atoms in held.items() for atom in atoms]
    names = sorted({atom for _, atom in rows})
    sites = struc.AtomArray(len(names))
    sites.chain_id[:] = "A"
    sites.res_id[:] = np.arange(1, len(names) + 1)
    sites.res_name[:] = "GLY"
    sites.atom_name[:] = "CA"
    sites.element[:] = "C"
    index = {state.id: number for number, state in enumerate(states)}
    return Multiconformer(
        sites,
        site=np.array([names.index(atom) for _, atom in rows], dtype=int),
        state=np.array([index[s] for s, _ in rows], dtype=int),
        coord=np.random.default_rng(1).normal(size=(len(rows), 3)),
        occupancy=np.array([occupancy[s] for s, _ in rows]),
        b_factor=np.zeros(len(rows)),
        altloc_id=np.array([s for s, _ in rows], dtype=str),
        states=tuple(states),
        rules=tuple(
            Rule(n, kind, state, tuple(others.split()))
            for n, (kind, state, others) in enumerate(rules, start=1)
        ),
    )


def test_plain_alternatives_have_the_populations_of_their_states() -> None:
    model = model_of({"A": "a", "B": "a", "C": "a"}, {"A": 0.2, "B": 0.5, "C": 0.3})
    (part,) = macrostate_populations(model)
    assert part.known == "occupancies"
    np.testing.assert_allclose(part.population, [0.5, 0.3, 0.2], atol=1e-9)
    assert part.misfit == pytest.approx(0, abs=1e-9)


def test_what_some_copies_lack_is_a_combination_of_its_own() -> None:
    (part,) = macrostate_populations(model_of({"A": "a", "B": "a"}, {"A": 0.5, "B": 0.3}))
    np.testing.assert_allclose(part.population, [0.5, 0.3, 0.2], atol=1e-9)
    assert not part.present[2].any()


def test_tied_groups_are_as_random_as_their_bounds_allow() -> None:
    # Two pairs; A and D exclude each other. Of 2 × 2 combinations three are left: all fixed.
    held = {"A": "a", "B": "a", "C": "b", "D": "b"}
    occupancy = {"A": 0.6, "B": 0.4, "C": 0.7, "D": 0.3}
    (part,) = macrostate_populations(model_of(held, occupancy, (("NOT", "A", "D"),)))
    assert part.known == "occupancies"
    np.testing.assert_allclose(np.sort(part.population), [0.1, 0.3, 0.6], atol=1e-9)
    # Tied by a rule that every copy keeps: independent, with Fréchet's bounds.
    (part,) = macrostate_populations(model_of(held, occupancy, (("OR", "A", "C D"),)))
    assert part.known == "entropy"
    names = ["A", "B", "C", "D"]
    for place, present in enumerate(part.present):
        a, b = (occupancy[names[i]] for i in np.flatnonzero(present))
        assert part.population[place] == pytest.approx(a * b, abs=1e-5)
        assert part.low[place] == pytest.approx(max(0, a + b - 1), abs=1e-6)
        assert part.high[place] == pytest.approx(min(a, b), abs=1e-6)


def test_members_are_counted() -> None:
    held = {"A": "a", "B": "a", "C": "b", "D": "b"}
    model = model_of(held, dict.fromkeys(held, 0.5), (("OR", "A", "C D"),))
    in_state = np.array([[1, 1, 0, 1, 0], [1, 1, 0, 1, 0], [1, 0, 1, 0, 1]], dtype=bool)
    (part,) = macrostate_populations(
        model.replace(members=Members(np.array([1.0, 2.0, 1.0]), in_state))
    )
    assert part.known == "members"
    np.testing.assert_allclose(part.population, [0.75, 0.25])
    np.testing.assert_array_equal(part.present, in_state[1:, 1:])


def test_occupancies_that_no_copies_have_say_by_how_much() -> None:
    model = model_of({"A": "a", "B": "a"}, {"A": 0.7, "B": 0.6})
    (part,) = macrostate_populations(model)
    assert part.misfit == pytest.approx(0.15, abs=1e-6)
    assert part.population.sum() == pytest.approx(1)


def test_too_many_combinations_are_not_guessed() -> None:
    letters = "abcdefghijkl"
    held = {f"{x}{n}": x for x in letters for n in "AB"}
    rules = tuple(("OR", "aA", f"{x}A {x}B") for x in letters[1:])
    model = model_of(held, dict.fromkeys(held, 0.5), rules)
    (part,) = macrostate_populations(model, limit=100)
    assert part.known == "unknown"
    assert not part.all_found
    assert np.isnan(part.population).all()


@st.composite
def specifications(draw: st.DrawFn) -> tuple:
    names = [f"s{i}" for i in range(draw(st.integers(2, 6)))]
    atoms = st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)
    held = {s: "".join(draw(atoms)) for s in names}
    rules = []
    for _ in range(draw(st.integers(0, 2))):
        pair = draw(st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True))
        rules.append((draw(st.sampled_from(["OR", "NOT"])), *pair))
    return held, tuple(rules), draw(st.integers(0, 2**32 - 1))


def weighted(held: dict[str, str], rules: tuple, seed: int) -> Multiconformer:
    """Build a model whose occupancies come from a distribution over its allowed copies."""
    model = model_of(held, dict.fromkeys(held, 0.0), rules)
    copies = np.array(list(enumerate_macrostates(model)))
    share = np.random.default_rng(seed).integers(0, 9, len(copies)) + 1e-3
    marginal = (share / share.sum()) @ copies
    return model_of(held, dict(zip(held, marginal[1:].tolist(), strict=True)), rules)


@settings(max_examples=20)
@given(specifications())
def test_populations_reproduce_the_occupancies_within_their_bounds(parts) -> None:
    model = weighted(*parts)
    for part in macrostate_populations(model):
        assert part.all_found
        assert part.misfit < 0.03
        np.testing.assert_allclose(part.population.sum(), 1, atol=1e-9)
        target = model.populations[list(part.states)]
        # Groups that are complete within rounding are taken as complete.
        np.testing.assert_allclose(part.population @ part.present, target, atol=0.03)
        assert (part.population >= part.low - 1e-4).all()
        assert (part.population <= part.high + 1e-4).all()


@settings(max_examples=20)
@given(specifications())
def test_copies_are_allowed_and_show_every_state_that_can_occur(parts) -> None:
    model = weighted(*parts)
    copies = copies_that_show(model, most=50)
    allowed = {tuple(held.tolist()) for held in enumerate_macrostates(model, complete=True)}
    assert {tuple(held.tolist()) for held in copies} <= allowed
    can = np.any(np.array(list(allowed)), axis=0)
    np.testing.assert_array_equal(copies.any(axis=0), can)
    assert len(copies) <= max(1, len(model.states) - 1)


def test_few_copies_show_many_alternatives() -> None:
    held = {f"r{i}{label}": chr(97 + i) for i in range(20) for label in "ABC"}
    occupancy = {s: {"A": 0.5, "B": 0.3, "C": 0.2}[s[-1]] for s in held}
    model = model_of(held, occupancy)
    copies = copies_that_show(model)
    assert len(copies) == 3
    assert copies.all(axis=1).sum() == 0
    assert copies.any(axis=0).all()
    # The first is the most typical one.
    assert [model.states[i].id[-1] for i in np.flatnonzero(copies[0])[1:]] == ["A"] * 20
    assert len(copies_that_show(model, most=2)) == 2


def test_spread_is_a_weighted_root_mean_square() -> None:
    model = model_of({"A": "ab", "B": "a"}, {"A": 0.25, "B": 0.75})
    found = residue_spread(model)
    a, b = model.coord[0], model.coord[2]
    # Of two places with shares p and q, the mean square distance from the mean is pq d².
    assert found.spread[0] == pytest.approx(np.sqrt(0.25 * 0.75) * np.linalg.norm(a - b))
    assert found.backbone_spread[0] == pytest.approx(found.spread[0])
    assert found.spread[1] == 0
    assert found.n_places.tolist() == [2, 1]
    assert found.several.tolist() == [True, False]
    assert sorted(found.rows[: found.row_start[1]].tolist()) == [0, 2]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_spread_of_members_is_that_of_their_coordinates(seed) -> None:
    rng = np.random.default_rng(seed)
    n = 5
    model = model_of({f"s{i}": "abc" for i in range(n)}, {f"s{i}": 1 / n for i in range(n)})
    model = model.replace(coord=rng.normal(size=model.coord.shape) * 3)
    x = model.coord.reshape(n, 3, 3)
    direct = np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    np.testing.assert_allclose(residue_spread(model).spread, direct)
