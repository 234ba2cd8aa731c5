"""Where exact search has to stop: bounds, recorded members, and refusals."""

from __future__ import annotations

from functools import partial
from unittest import mock

import biotite.structure
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from waters import all_sets_of_copies, clashes_in, model_of, small_models

from unstill.ensembles import Ensemble
from unstill.ensembles.decode import cliques, decode
from unstill.ensembles.encode import encode_lossless
from unstill.ensembles.multiconformer import Members, Rule, State
from unstill.errors import InputError

SMALL = "unstill.ensembles.decode.relaxed.are_small"


@given(drawn=small_models(3), entries=st.integers(6, 25))
def test_a_bound_of_tables_that_are_too_large_holds(drawn, entries) -> None:
    """Costs are left out; populations stay exact, and the optimum is inside the gap."""
    model = model_of(*drawn)
    possible = list(all_sets_of_copies(model, 3))
    assume(possible)
    with mock.patch(SMALL, partial(cliques.are_small, most=entries)):
        try:
            decoded = decode(model, n_members=3)
        except InputError as error:
            if "exclude each other in too many ways" not in str(error):
                raise
            return
    found = decoded.members.in_state[:, : len(model.states)]
    np.testing.assert_array_equal(found.sum(axis=0), np.rint(3 * model.tree.occupancy))
    mine = sum(clashes_in(model, copy) for copy in found)
    least = min(sum(clashes_in(model, copy) for copy in copies) for copies in possible)
    report = decoded.report
    assert report.clashes_bound <= least <= mine == report.clashes
    assert not report.proven or mine == least


def crowded(n: int) -> tuple[list[State], list[tuple[int, str, tuple[float, float, float]]]]:
    """Waters in a row, two places each, all of one neighbour's clash with all of the next's."""
    states, places = [State("Base")], []
    for number in range(n):
        for letter in "ab":
            states.append(State(f"{letter}{number}", "Base", occupancy=0.5))
            places.append((number, f"{letter}{number}", (number, 0.4 * (letter == "b"), 0)))
    return states, places


def test_recorded_members_are_taken_where_search_has_to_stop() -> None:
    states, places = crowded(4)
    together = np.ones((4, 9), dtype=bool)
    together[:, 1:] = np.array([[1, 0], [0, 1], [1, 0], [0, 1]]).repeat(4, axis=0).reshape(4, 8)
    rules = (Rule(1, "NOT", "a0", ("b1",)),)
    model = model_of(places, states, rules)
    recorded = model.replace(members=Members(np.full(4, 0.25), together))
    with mock.patch(SMALL, return_value=False):
        decoded = decode(recorded, n_members=8)
        with pytest.raises(InputError, match="too many ways"):
            decode(model, n_members=8)
    held, times = np.unique(decoded.members.in_state, axis=0, return_counts=True)
    wanted, often = np.unique(together, axis=0, return_counts=True)
    np.testing.assert_array_equal(held, wanted)
    np.testing.assert_array_equal(times, 2 * often)
    assert not decoded.report.proven
    assert "recorded members were taken" in decoded.report.notes[0]


def test_members_of_a_lossless_model_come_back() -> None:
    """Every atom is elsewhere in every member, so that there is one copy of each."""
    rng = np.random.default_rng(0)
    atoms = biotite.structure.AtomArray(6)
    atoms.chain_id[:], atoms.res_name[:], atoms.element[:] = "A", "GLY", "C"
    atoms.atom_name, atoms.res_id = ["CA"] * 6, np.arange(1, 7)
    coord = np.round(rng.normal(size=(5, 6, 3)) + 4 * np.arange(6)[:, None], 3)
    model = encode_lossless(Ensemble(atoms, coord)).model
    found = decode(model, n_members=5).ensemble.coord
    order = np.lexsort(found[:, 0].T)
    np.testing.assert_allclose(found[order], coord[np.lexsort(coord[:, 0].T)], atol=5e-4)


def test_progress_is_told_over_all_tied_groups() -> None:
    states, places = crowded(6)
    told: list[tuple[int, int]] = []
    decode(model_of(places, states), progress=lambda done, total: told.append((done, total)))
    assert told
    assert told[-1] == (6, 6)
    assert all(done <= total for done, total in told)


def test_a_rule_over_too_many_groups_is_refused() -> None:
    states, places = crowded(40)
    rule = Rule(7, "OR", "a0", tuple(f"a{number}" for number in range(1, 40)))
    with pytest.raises(InputError, match=r"rule 7 \(OR\), 40 groups") as caught:
        decode(model_of(places, states, (rule,)))
    assert caught.value.fix


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_populations_below_a_state_follow_it_where_rules_change_it(share) -> None:
    """A child of a state whose count a rule moves by one copy keeps its part of it."""
    states = [
        State("Base"),
        State("P", "Base", occupancy=0.5),
        State("c", "P", occupancy=share / 2),
        State("d", "P", occupancy=(1 - share) / 2),
        State("Q", "Base", occupancy=0.52),
    ]
    places = [(1, "P", (0, 0, 0)), (2, "c", (9, 0, 0)), (2, "d", (9, 5, 0)), (3, "Q", (20, 0, 0))]
    rules = (Rule(1, "AND", "P", ("Q",)), Rule(2, "AND", "Q", ("P",)))
    held = decode(model_of(places, states, rules), n_members=50).members.in_state
    parent, c, d, q = held[:, 1:5].T
    np.testing.assert_array_equal(parent, q)
    np.testing.assert_array_equal(c | d, parent)
    assert parent.sum() in (25, 26)
    assert abs(c.sum() - share * parent.sum()) < 1
