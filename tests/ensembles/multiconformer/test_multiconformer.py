"""Sites, rows, states, rules and members, and what follows from them."""

from __future__ import annotations

import biotite.structure as struc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.ensembles.multiconformer import (
    Members,
    Multiconformer,
    Rule,
    State,
    StateTree,
    atoms_of_rows,
    recorded_members,
    states_from_labels,
)
from unstill.ensembles.multiconformer.members import rows_of_members
from unstill.ensembles.multiconformer.model import numbered
from unstill.errors import InputError


def atoms(names: str = "N CA C O", res_name: str = "GLY", res_id: int = 1) -> struc.AtomArray:
    words = names.split()
    found = struc.AtomArray(len(words))
    found.chain_id[:] = "A"
    found.res_id[:] = res_id
    found.res_name[:] = res_name
    found.atom_name[:] = words
    found.element[:] = [word[0] for word in words]
    return found


def two_places() -> Multiconformer:
    """Four atoms; O is in one of two places, the second in two ways by a water."""
    sites = atoms() + atoms("O", "HOH", 101)
    return Multiconformer(
        sites,
        site=np.array([0, 1, 2, 3, 3, 4]),
        state=np.array([0, 0, 0, 1, 2, 3]),
        coord=np.arange(18.0).reshape(6, 3),
        occupancy=np.array([1, 1, 1, 0.6, 0.4, 0.3]),
        b_factor=np.full(6, 10.0),
        altloc_id=np.array(["", "", "", "A", "B", "B"]),
        states=(
            State("Base"),
            State("A", "Base", occupancy=0.6),
            State("B", "Base", occupancy=0.4),
            State("W", "B", kind="compositional", occupancy=0.3),
        ),
        rules=(Rule(1, "NOT", "W", ("A",)),),
        crystal=Crystal((20, 20, 20, 90, 90, 90), "P 1"),
    )


def test_states_that_hold_the_same_atom_exclude_each_other() -> None:
    assert two_places().exclusive == {(1, 2)}


def test_residues_that_stand_for_each_other_share_positions() -> None:
    serine, alanine = atoms("CA CB OG", "SER"), atoms("CA CB", "ALA")
    model = Multiconformer(
        serine + alanine,
        site=np.arange(5),
        state=np.array([1, 1, 1, 2, 2]),
        coord=np.zeros((5, 3)),
        occupancy=np.full(5, 0.5),
        b_factor=np.zeros(5),
        altloc_id=np.array(["A"] * 3 + ["B"] * 2),
        states=(State("Base"), State("A", "Base"), State("B", "Base")),
    )
    assert model.position.tolist() == [0, 1, 2, 0, 1]
    assert model.exclusive == {(1, 2)}


def test_a_state_and_its_ancestor_are_not_listed_as_exclusive() -> None:
    model = two_places()
    doubled = model.replace(site=np.array([0, 1, 2, 3, 3, 3]))
    assert doubled.exclusive == {(1, 2), (1, 3)}


def test_a_child_implies_its_ancestors() -> None:
    tree = two_places().tree
    assert tree.closure[3].tolist() == [True, False, True, True]
    assert tree.line(3) == (3, 2, 0)
    assert tree.depth.tolist() == [0, 1, 1, 2]
    assert tree.children == ((1, 2), (), (3,), ())
    assert tree.related(0, 3)
    assert not tree.related(1, 3)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_parents_come_before_children_whatever_the_order(choices: list[int]) -> None:
    # A random tree, its states shuffled: each one's parent is any that came before.
    states = [State("s0")]
    for number, choice in enumerate(choices, start=1):
        states.append(State(f"s{number}", f"s{choice % number}"))
    shuffled = [states[i] for i in np.random.default_rng(choices[0]).permutation(len(states))]
    tree = StateTree(shuffled)
    seen: set[int] = set()
    for state in tree.downward.tolist():
        assert tree.parent[state] in seen | {-1}
        seen.add(state)
        assert set(np.flatnonzero(tree.closure[state])) == set(tree.line(state))
    assert tree.states[tree.root].id == "s0"


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([State("a"), State("b")], "exactly one root"),
        ([State("a"), State("a", "a")], "the same id"),
        ([State("a"), State("b", "a", name="a")], "the same name"),
        ([State("a"), State("b", "c")], "does not exist"),
        ([State("a"), State("b", "c"), State("c", "b")], "their own ancestors"),
        ([State("a", "a")], "their own ancestors"),
        ([], "exactly one root"),
    ],
)
def test_what_is_no_tree_is_refused(states: list[State], said: str) -> None:
    with pytest.raises(InputError, match=said):
        StateTree(states)


@pytest.mark.parametrize("bad", ["", "two words", "a,b", ".", "?", "a\tb"])
def test_an_id_is_one_token(bad: str) -> None:
    with pytest.raises(InputError, match="token"):
        State(bad)


@pytest.mark.parametrize(
    ("kind", "present", "kept"),
    [
        ("AND", {"s", "x", "y"}, True),
        ("AND", {"s", "x"}, False),
        ("OR", {"s", "y"}, True),
        ("OR", {"s"}, False),
        ("NOT", {"s"}, True),
        ("NOT", {"s", "y"}, False),
        ("NOT", {"x", "y"}, True),
        ("AND", set(), True),
    ],
)
def test_a_rule_speaks_of_copies_in_its_state(kind: str, present: set[str], kept: bool) -> None:
    assert Rule(1, kind, "s", ("x", "y")).allows(present) is kept  # type: ignore[arg-type]


def test_rules_and_members_must_fit_the_states() -> None:
    model = two_places()
    with pytest.raises(InputError, match="no such state"):
        model.replace(rules=(Rule(1, "NOT", "A", ("Z",)),))
    with pytest.raises(InputError, match="same id"):
        model.replace(rules=(Rule(1, "NOT", "A", ("B",)), Rule(1, "OR", "A", ("B",))))
    with pytest.raises(InputError, match="do not fit the states"):
        model.replace(members=Members(np.ones(2), np.ones((2, 3), dtype=bool)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": np.array([0, 0, 0, 1, 2, 9])}, "a state that does not exist"),
        ({"site": np.array([0, 1, 2, 3, 3, 9])}, "a site that does not exist"),
        ({"state": np.array([0, 0, 0, 1, 1, 3])}, "twice in one state"),
        ({"altloc_id": np.array(["A"])}, "altloc_id does not fit"),
        ({"b_factor": np.full(6, np.nan)}, "b_factor is not finite"),
    ],
)
def test_rows_that_cannot_be_are_refused(change: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(InputError, match=said):
        two_places().replace(**change)


def test_marginals_and_joint_populations_follow_from_the_members() -> None:
    held = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]], dtype=bool)
    model = two_places().replace(members=Members(np.array([6.0, 1.0, 3.0]), held))
    assert model.populations.tolist() == pytest.approx([1.0, 0.6, 0.4, 0.3])
    joint = model.members.joint_populations
    assert joint[2, 3] == pytest.approx(0.3)
    assert joint[1, 3] == 0
    assert np.diag(joint).tolist() == pytest.approx(model.populations.tolist())


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=9))
def test_weights_that_are_normalised_stay_as_they_are(values: list[float]) -> None:
    held = np.ones((len(values), 1), dtype=bool)
    once = Members(np.array(values), held).weights
    assert once.sum() == pytest.approx(1, abs=1e-15 * len(values))
    assert (Members(once, held).weights == once).all()


def test_members_are_restored_with_absent_atoms_at_zero() -> None:
    held = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]], dtype=bool)
    model = two_places().replace(members=Members(np.array([6.0, 1.0, 3.0]), held))
    ensemble = recorded_members(model)
    assert ensemble.weights.tolist() == pytest.approx([0.6, 0.1, 0.3])
    assert ensemble.occupancy.tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert ensemble.coord[:, 3].tolist() == [[9, 10, 11], [12, 13, 14], [12, 13, 14]]
    with pytest.raises(InputError, match="records no members"):
        recorded_members(two_places())


def test_no_member_has_an_atom_in_two_places() -> None:
    with pytest.raises(InputError, match="two places at once"):
        rows_of_members(two_places(), np.array([[True, True, True, False]]))


def labelled() -> Ensemble:
    sites = atoms() + atoms("O O", "GLY", 2) + atoms("O", "HOH", 3)
    sites.set_annotation("altloc_id", np.array(["", "", "", "", "A", "b1", "."]))
    return Ensemble(
        sites,
        np.arange(21.0).reshape(1, 7, 3),
        occupancy=np.array([1, 1, 1, 1, 0.7, 0.3, 0.5]),
        b_factor=np.arange(7.0),
        u_aniso=np.where(np.arange(7)[:, None] < 3, 0.1, np.nan) * np.ones(6),
        crystal=Crystal((20, 20, 20, 90, 90, 90), "P 1"),
    )


def test_states_are_read_off_altlocs() -> None:
    model = states_from_labels(labelled())
    assert [state.id for state in model.states] == ["Base", "A/2/A", "A/2/b1"]
    assert [state.occupancy for state in model.states] == [1.0, 0.7, 0.3]
    assert model.n_sites == 6
    assert not model.stated
    assert model.altloc_id.tolist() == ["", "", "", "", "A", "b1", ""]


def test_rows_as_atoms_are_what_was_read() -> None:
    ensemble = labelled()
    back = atoms_of_rows(states_from_labels(ensemble))
    assert back.atoms.altloc_id.tolist() == ["", "", "", "", "A", "b1", ""]
    for name in ("coord", "occupancy", "b_factor", "u_aniso"):
        assert np.array_equal(getattr(back, name), getattr(ensemble, name), equal_nan=True)
    assert back.atoms.atom_name.tolist() == ensemble.atoms.atom_name.tolist()


def test_models_are_states_and_members() -> None:
    ensemble = Ensemble(
        atoms(), np.arange(36.0).reshape(3, 4, 3), weights=np.array([0.5, 0.3, 0.2])
    )
    model = states_from_labels(ensemble)
    assert [state.id for state in model.states] == ["Base", "M1", "M2", "M3"]
    assert model.populations.tolist() == pytest.approx([1, 0.5, 0.3, 0.2])
    back = recorded_members(model)
    assert np.array_equal(back.coord, ensemble.coord)
    assert back.weights.tolist() == ensemble.weights.tolist()
    assert back.occupancy.tolist() == [1] * 4


def test_altlocs_of_models_are_states_within_theirs() -> None:
    ensemble = labelled()
    two = ensemble.replace(coord=np.concatenate([ensemble.coord] * 2), weights=np.ones(2))
    model = states_from_labels(two)
    tree = model.tree
    assert [tree.states[tree.parent[i]].id for i in range(1, len(tree))] == [
        "Base", "M1", "M1", "Base", "M2", "M2",
    ]  # fmt: skip
    assert tree.occupancy.tolist() == pytest.approx([1, 0.5, 0.35, 0.15, 0.5, 0.35, 0.15])
    assert model.members is None


def test_an_atom_that_stands_twice_is_named() -> None:
    ensemble = labelled()
    atoms_twice = ensemble.atoms.copy()
    atoms_twice.altloc_id[5] = "A"
    with pytest.raises(InputError, match=r"twice in one state.*A/GLY 2/O A"):
        states_from_labels(ensemble.replace(atoms=atoms_twice))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=20))
def test_rows_are_numbered_as_they_appear(rows: list[tuple[str, int]]) -> None:
    number = numbered(np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=int))
    order = list(dict.fromkeys(rows))
    assert number.tolist() == [order.index(row) for row in rows]
