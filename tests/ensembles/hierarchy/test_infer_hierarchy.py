"""Trees of altlocs: what is joined, what is not, what hangs on what, and which rules follow."""

from __future__ import annotations

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from altloc_chains import (
    BACKBONE,
    STEP,
    TWO,
    WHOLE,
    held,
    labelled,
    lone,
    parts,
    random_chains,
    residue,
    water,
)
from hypothesis import given

from unstill.ensembles import Multiconformer
from unstill.ensembles.hierarchy import detect_clashes, implied_rules, infer_hierarchy
from unstill.ensembles.hierarchy.consistency import excluded
from unstill.ensembles.multiconformer.macrostates import is_satisfiable
from unstill.errors import UnstillWarning
from unstill.io import read_multiconformer
from unstill.validation import check_hierarchy


def pieces(*found: str) -> set[frozenset[tuple[int, str]]]:
    """``"1A 2A"``: a state of residue 1 and 2, altloc A."""
    return {frozenset((int(word[:-1]), word[-1]) for word in one.split()) for one in found}


def test_a_model_without_altlocs_is_all_root() -> None:
    model = infer_hierarchy(labelled([*residue(1), *residue(2)]))
    assert model.stated
    assert [state.id for state in model.states] == ["Base"]
    assert infer_hierarchy(labelled(residue(1)), rules=True).rules == ()


def test_altlocs_of_a_side_chain_are_children_of_the_root() -> None:
    model = infer_hierarchy(labelled(residue(1, TWO, split=("CB",))))
    assert [(s.id, s.parent, s.occupancy) for s in model.states] == [
        ("Base", None, 1.0),
        ("A", "Base", 0.6),
        ("B", "Base", 0.4),
    ]
    assert held(model)["B"] == {(1, "CB", "B")}
    assert {s.name for s in model.states} == {"Base", "A/1/A", "A/1/B"}
    assert {s.kind for s in model.states} == {"conformational"}


def test_equal_labels_across_a_peptide_bond_are_one_state() -> None:
    model = infer_hierarchy(labelled([*residue(1, TWO), *residue(2, TWO), *residue(3)]))
    assert parts(model) == pieces("1A 2A", "1B 2B")
    assert [s.name for s in model.states[1:]] == ["A/1-2/A", "A/1-2/B"]


def test_equal_labels_without_a_bond_are_two_states() -> None:
    model = infer_hierarchy(labelled([*residue(1, TWO), *residue(2), *residue(3, TWO)]))
    assert parts(model) == pieces("1A", "1B", "3A", "3B")


def test_side_chains_of_neighbours_are_independent() -> None:
    one, two = (residue(number, TWO, split=("CB",)) for number in (1, 2))
    assert parts(infer_hierarchy(labelled([*one, *two]))) == pieces("1A", "1B", "2A", "2B")


def test_unequal_occupancies_are_not_one_state() -> None:
    other = {"A": (0.7, 0.0), "B": (0.3, 1.0)}
    model = infer_hierarchy(labelled([*residue(1, TWO), *residue(2, other)]))
    assert parts(model) == pieces("1A", "1B", "2A", "2B")


def test_occupancies_within_rounding_are_one_state() -> None:
    close = {"A": (0.604, 0.0), "B": (0.396, 1.0)}
    model = infer_hierarchy(labelled([*residue(1, TWO), *residue(2, close)]))
    assert parts(model) == pieces("1A 2A", "1B 2B")


def test_the_bond_decides_where_labels_are_exchanged() -> None:
    shares = {"A": (0.5, 0.0), "B": (0.5, 1.5)}
    swapped = {"A": (0.5, 1.5), "B": (0.5, 0.0)}
    model = infer_hierarchy(labelled([*residue(1, shares), *residue(2, swapped)]))
    assert parts(model) == pieces("1A 2B", "1B 2A")


def test_the_label_decides_where_both_bonds_are_whole() -> None:
    near = {"A": (0.5, 0.0), "B": (0.5, 0.3)}
    model = infer_hierarchy(labelled([*residue(1, near), *residue(2, near)]))
    assert parts(model) == pieces("1A 2A", "1B 2B")


def test_an_oxygen_stands_for_a_carbon_that_is_not_split() -> None:
    one, two = residue(1, TWO, split=("O",)), residue(2, TWO, split=("N", "CA", "CB"))
    one = [(*row[:5], (row[5][0], row[5][1], 0.0)) for row in one]
    two = [(*row[:5], (row[5][0], row[5][1], 0.3 * (row[3] == "B"))) for row in two]
    assert parts(infer_hierarchy(labelled([*one, *two]))) == pieces("1A 2A", "1B 2B")


def test_a_split_hydrogen_of_n_belongs_to_the_residue_before() -> None:
    atoms = ("N", "H", "CA", "C", "O", "CB")
    two = residue(2, TWO, split=("H",), atoms=atoms)
    two = [(*row[:5], (*row[5][:2], 0.2 * row[5][2])) for row in two]
    model = infer_hierarchy(labelled([*residue(1, TWO, split=("C", "O")), *two]))
    assert parts(model) == pieces("1A 2A", "1B 2B")
    assert held(model)["A"] == {(1, "C", "A"), (1, "O", "A"), (2, "H", "A")}


def test_a_side_chain_with_more_states_hangs_on_its_backbone() -> None:
    rows = residue(1, TWO, split=BACKBONE, atoms=BACKBONE, name="SER")
    x, y = STEP + 1.46, -1.53
    rows += lone(
        1,
        "SER",
        "CB",
        {
            "A": (0.6, (x, y, 0.0)),
            "B": (0.25, (x, y, 1.0)),
            "C": (0.15, (x - 0.5, y + 0.1, 1.4)),
        },
    )
    model = infer_hierarchy(labelled(rows))
    above = {s.name: None if s.parent is None else s.parent for s in model.states}
    ids = {s.name: s.id for s in model.states}
    assert above["A/1/C"] == ids["A/1/B"]
    assert model.tree.depth.max() == 2
    below = [s for s in model.states if s.parent == ids["A/1/B"]]
    assert sum(s.occupancy for s in below) == pytest.approx(0.4)


def test_atoms_without_label_that_some_copies_lack_are_a_state_of_their_own() -> None:
    rows = [*residue(1), *lone(90, "HOH", "O", {"": (0.55, (0.0, 20.0, 0.0))})]
    rows += [(2, "LYS", "NZ", "", 0.4, (9.0, 9.0, 9.0)), (2, "LYS", "CE", "", 1.0, (9, 9, 10.5))]
    model = infer_hierarchy(labelled(rows))
    assert [(s.name, s.kind, s.occupancy) for s in model.states[1:]] == [
        ("A/90", "compositional", 0.55),
        ("A/2:NZ", "compositional", 0.4),
    ]


def test_residues_that_stand_for_each_other_are_compositional() -> None:
    here, there = residue(1, {"A": (0.6, 0.0)}, name="SER"), residue(1, {"B": (0.4, 0.1)})
    model = infer_hierarchy(labelled([*here, *there]))
    assert {s.kind for s in model.states[1:]} == {"compositional"}
    assert model.exclusive == {(1, 2)}


def test_a_ligand_and_a_water_join_what_they_touch() -> None:
    side = (STEP + 1.46, -1.53)
    rows = residue(1, TWO, split=("CB",))
    rows += lone(301, "LIG", "C1", {"B": (0.4, (*side[:1], side[1] - 3.6, 1.0))})
    rows += lone(302, "LIG", "C1", {"B": (0.4, (*side[:1], side[1] - 30.0, 1.0))})
    rows += lone(
        401, "HOH", "O", {"A": (0.6, (side[0] + 2.9, -1.6, -1.5)), "B": (0.4, (9.0, -3.0, 1.5))}
    )
    assert parts(infer_hierarchy(labelled(rows))) == pieces("1A 401A", "1B 301B 401B", "302B")


def test_a_name_lists_its_runs_of_residues() -> None:
    rows = [*residue(1, TWO), *residue(2, TWO), *residue(3)]
    rows += lone(401, "HOH", "O", {"A": (0.6, (6.0, -4.4, 0.0)), "B": (0.4, (6.0, -4.4, 1.0))})
    model = infer_hierarchy(labelled(rows))
    assert [s.name for s in model.states[1:]] == ["A/1-2+401/A", "A/1-2+401/B"]


def test_alternatives_that_clash_in_all_but_one_way_are_joined_that_way() -> None:
    # Residues 1 and 5, far apart in sequence; each one of the other is in the way of one.
    half = {"A": (0.5, 0.0), "B": (0.5, 6.0)}
    rows = residue(1, half, split=("CB", "OG"), atoms=(*WHOLE, "OG"), name="SER")
    place = (STEP + 1.46, -2.95)
    rows += lone(
        5,
        "SER",
        "OG",
        {"A": (0.5, (place[0] + 1.9, place[1], 0.0)), "B": (0.5, (place[0] + 1.9, place[1], 6.0))},
    )
    assert parts(infer_hierarchy(labelled(rows))) == pieces("1A 5B", "1B 5A")


def test_waters_that_fit_one_way_only_are_joined_that_way() -> None:
    rows = [water(10, "A", (0, 0, 0), 0.5), water(10, "B", (6, 0, 0), 0.5)]
    rows += [water(30, "A", (8.3, 0, 0), 0.5), water(30, "B", (2.3, 0, 0), 0.5)]
    assert parts(infer_hierarchy(labelled(rows))) == pieces("10A 30A", "10B 30B")


def test_three_that_clash_in_pairs_get_as_many_rules_as_there_is_room_for() -> None:
    # Any two of 0.4 may avoid each other, all three cannot.
    rows = [water(10, "A", (0, 0, 0), 0.4), water(30, "B", (2.3, 0, 0), 0.4)]
    rows += [water(50, "C", (1.15, 1.99, 0), 0.4)]
    model = infer_hierarchy(labelled(rows), rules=True)
    assert sum(len(rule.others) for rule in model.rules) == 2
    left = [clash for clash in detect_clashes(model) if clash.kind == "actionable"]
    assert [(clash.action, clash.unavoidable) for clash in left] == [("none", 0.2)]


def test_a_stated_tree_is_kept() -> None:
    model = infer_hierarchy(labelled(residue(1, TWO)))
    with pytest.warns(UnstillWarning, match="kept as it is"):
        again = infer_hierarchy(model)
    assert again.states == model.states


def test_exclusive_states_get_one_rule_each() -> None:
    three = {"A": (0.5, 0.0), "B": (0.3, 1.0), "C": (0.2, 2.0)}
    model = infer_hierarchy(labelled(residue(1, three)), rules=True)
    assert [(r.id, r.kind, r.state, r.others) for r in model.rules] == [
        (1, "NOT", "A", ("B", "C")),
        (2, "NOT", "B", ("C",)),
    ]
    assert implied_rules(model) == ()


def clashing_trio(shares: tuple[float, float, float], other: float) -> Multiconformer:
    """One residue in three places, the last two of which meet an atom that is not always there."""
    at = (STEP + 1.46, -2.95)
    rows = lone(
        1,
        "SER",
        "OG",
        {
            "A": (shares[0], (*at, 0.0)),
            "B": (shares[1], (*at, 5.0)),
            "C": (shares[2], (*at, 6.0)),
        },
    )
    rows += lone(
        9, "HOH", "O", {"A": (other, (at[0] + 1.9, at[1], 5.5)), "B": (1 - other, (99.0, 9, 9))}
    )
    return infer_hierarchy(labelled(rows), rules=True)


def test_a_clash_rule_is_left_out_where_occupancies_leave_no_room_for_it() -> None:
    # B + water 0.29 + 0.63 and C + water 0.35 + 0.63 fit each; all three sum to 1.27.
    model = clashing_trio((0.36, 0.29, 0.35), 0.63)
    clashes = [rule for rule in model.rules if rule.description == "they clash"]
    assert sum(len(rule.others) for rule in clashes) == 1
    findings = check_hierarchy(model, most=None)
    assert not [f for f in findings if f.rule == "V5" and f.severity == "error"]
    assert len(clashing_trio((0.62, 0.19, 0.19), 0.61).rules) == len(model.rules) + 1


@given(random_chains())
def test_inference_moves_no_atom_and_no_occupancy(rows) -> None:
    model = labelled(rows)
    found = infer_hierarchy(model)
    assert found.stated
    for name in ("site", "coord", "occupancy", "b_factor", "altloc_id", "source_row"):
        np.testing.assert_array_equal(getattr(found, name), getattr(model, name))
    np.testing.assert_allclose(found.populations[found.state], found.occupancy, atol=0.0051)
    # What has another label in the same residue is in another state.
    key = list(zip(model.residue[model.site].tolist(), model.altloc_id.tolist(), strict=True))
    for a, b in combinations(range(model.n_rows), 2):
        if key[a][0] == key[b][0] and key[a][1] != key[b][1]:
            assert found.state[a] != found.state[b]


@given(random_chains())
def test_implied_rules_say_what_the_atoms_say_and_can_be_kept(rows) -> None:
    plain = infer_hierarchy(labelled(rows))
    ruled = plain.replace(rules=implied_rules(plain))
    assert implied_rules(ruled) == ()
    np.testing.assert_array_equal(excluded(ruled), excluded(plain))
    # Without looking at atoms, the rules and the tree alone exclude the same pairs.
    named = {
        frozenset((ruled.tree.find(rule.state), ruled.tree.find(other)))
        for rule in ruled.rules
        for other in rule.others
    }
    for a, b in plain.exclusive:
        lines = [(x, y) for x in plain.tree.line(a) for y in plain.tree.line(b)]
        assert any(frozenset(pair) in named for pair in lines)
    assert is_satisfiable(ruled)
    for state in ruled.states:
        assert is_satisfiable(ruled, [state.id])


@given(random_chains())
def test_inferred_models_with_rules_are_without_contradiction(rows) -> None:
    found = infer_hierarchy(labelled(rows), rules=True)
    bad = [f for f in check_hierarchy(found, most=None) if f.severity == "error"]
    assert [f for f in bad if f.rule not in ("V7", "V8")] == []
    assert all(is_satisfiable(found, [state.id]) for state in found.states)


# Deposited models


@pytest.mark.parametrize("name", ["1vme.cif", "1vme_0.5A_0.5B.cif", "3o5r.cif", "4i39.cif"])
def test_inferred_trees_of_deposited_models_are_without_error(unstill_data, name) -> None:
    model = infer_hierarchy(read_multiconformer(unstill_data / "altloc" / name), rules=True)
    assert {f.message for f in check_hierarchy(model) if f.severity == "error"} == set()


@pytest.mark.parametrize("name", ["6b8x.pdb", "2yl0.pdb"])
def test_rules_add_no_error_to_what_a_deposited_model_says(unstill_data, name) -> None:
    plain = infer_hierarchy(read_multiconformer(unstill_data / "altloc" / name))
    ruled = infer_hierarchy(read_multiconformer(unstill_data / "altloc" / name), rules=True)
    before, after = (
        {(f.rule, f.kind) for f in check_hierarchy(model, most=None) if f.severity == "error"}
        for model in (plain, ruled)
    )
    assert before == after == {("V8", "forced-clash")}


def test_19hc_is_without_error() -> None:
    package = importlib.util.find_spec("MDAnalysisTests")
    if package is None or package.origin is None:
        pytest.skip("19HC comes with MDAnalysisTests, which is not installed")
    file = Path(package.origin).parent / "data" / "19hc.pdb.gz"
    model = infer_hierarchy(read_multiconformer(file), rules=True)
    assert {f.message for f in check_hierarchy(model) if f.severity == "error"} == set()


def test_whole_chains_of_one_label_are_one_state(unstill_data) -> None:
    model = infer_hierarchy(read_multiconformer(unstill_data / "altloc" / "4i39.cif"))
    assert [s.occupancy for s in model.states[1:]] == [0.5, 0.5]
    assert np.bincount(model.state).tolist() == [0, 987, 987]


def test_a_loop_of_two_places_is_two_states(unstill_data) -> None:
    model = infer_hierarchy(read_multiconformer(unstill_data / "altloc" / "1vme.cif"))
    names = {state.name for state in model.states}
    assert {"A/316-324/A", "A/316-324/B", "B/316-324/A", "B/316-324/B"} <= names
