"""Edits of a tree of states: what they change, what they leave, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_chains import BACKBONE, labelled, residue, states_of, water

from unstill.crystal import Crystal
from unstill.ensembles import Multiconformer
from unstill.ensembles.hierarchy import (
    add_rule,
    add_state,
    apply_clashes,
    detect_clashes,
    implied_rules,
    infer_hierarchy,
    join_models,
    merge_states,
    reassign_rows,
    remove_rule,
    remove_state,
    rename_state,
    reparent_state,
    split_state,
)
from unstill.ensembles.multiconformer import Rule
from unstill.ensembles.multiconformer.macrostates import enumerate_macrostates
from unstill.errors import InputError, UnstillWarning

TWO = {"A": 0.6, "B": 0.4}
ALL = (*BACKBONE, "CB", "OG")
CRYSTAL = Crystal((40.0, 50.0, 60.0, 90.0, 90.0, 90.0), "P 21 21 21")


def example() -> Multiconformer:
    """Residues 1 and 2 together in A and B, residue 5 in C and D, a water at 0.2."""
    return infer_hierarchy(
        labelled(
            residue(1, TWO, names=ALL) + residue(2, TWO, names=ALL) + residue(5, TWO, names=ALL)
            + [water(50, "A", (60, 0, 0), 0.2)]
        )
    )  # fmt: skip


def same_rows(one: Multiconformer, two: Multiconformer) -> None:
    for name in ("coord", "occupancy", "b_factor", "site"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def allowed(model: Multiconformer) -> set[frozenset[str]]:
    ids = np.array([state.id for state in model.states])
    return {
        frozenset(ids[np.asarray(one)].tolist())
        for one in enumerate_macrostates(model, limit=9999)
    }


def test_states_are_added_renamed_and_removed() -> None:
    model = add_state(example(), "Open", parent="A", occupancy=0.25, details="by hand")
    assert model.states[-1].parent == "A"
    assert model.tree.occupancy[-1] == 0.25
    renamed = rename_state(add_rule(model, "NOT", "A", ["C"]), "A", id="Shut", name="shut")
    assert renamed.rules[-1].state == "Shut"
    assert renamed.states[renamed.tree.find("Open")].parent == "Shut"
    assert remove_state(model, "Open", rows="parent").states == example().states
    same_rows(renamed, example())


def test_what_edits_refuse() -> None:
    model = example()
    for deed, said in (
        (lambda: add_state(model, "A"), "A"),
        (lambda: add_state(model, "X", parent="nobody"), "no such state"),
        (lambda: add_state(model, "X", parent="B", occupancy=0.7), "occupanc"),
        (lambda: add_state(model, "a b"), "token|white"),
        (lambda: remove_state(model, "Base", rows="drop"), "root"),
        (lambda: rename_state(model, "A", id="B"), "same|taken"),
        (lambda: rename_state(model, "A"), "nothing"),
        (lambda: reparent_state(model, "Base", "A"), "root"),
        (lambda: reparent_state(model, "A", "A"), "itself|below"),
        (lambda: reparent_state(model, "A", "B"), "more copies"),
        (lambda: reparent_state(model, "A", "E"), "more copies"),
        (lambda: merge_states(model, ["A"]), "two"),
        (lambda: merge_states(model, ["A", "B"]), "exclude|occupanc"),
        (lambda: split_state(model, "A", "resid 99"), "no atom|none|nothing"),
        (lambda: split_state(model, "A", "all"), "all"),
        (lambda: reassign_rows(model, "resid 1 and altloc A", "B"), "places|occupanc"),
        (lambda: remove_rule(model, 7), "no such rule"),
        (lambda: add_rule(model, "NOT", "A", ["nobody"]), "no such state"),
        (lambda: add_rule(model, "AND", "A", ["B"]), "exclude|contradict|never|atom"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            deed()
        assert caught.value.fix


def test_rules_against_the_tree_are_refused() -> None:
    model = add_state(example(), "Open", parent="A", occupancy=0.3)
    for rule in (("NOT", "Open", ["A"]), ("NOT", "A", ["Open"]), ("NOT", "Base", ["A"]),
                 ("NOT", "A", ["Base"])):  # fmt: skip
        with pytest.raises(InputError):
            add_rule(model, *rule)
    # OR and NOT that leave a state without any copy.
    ruled = add_rule(model, "NOT", "C", ["Open"])
    with pytest.raises(InputError):
        add_rule(add_rule(ruled, "AND", "Open", ["C"]), "AND", "Open", ["C"])


def test_cycles_are_refused() -> None:
    model = add_state(add_state(example(), "P", occupancy=0.5), "Q", parent="P", occupancy=0.5)
    with pytest.raises(InputError, match=r"below|itself|ancestor"):
        reparent_state(model, "P", "Q")


@given(st.sampled_from(["resid 1", "resid 2 and name CB OG", "name N", "name CA C and resid 1"]))
def test_merging_what_was_split_is_where_it_began(selection) -> None:
    model = example()
    split = split_state(model, "A", selection, id="Z")
    same_rows(split, model)
    assert split.states[-1].parent == model.states[model.tree.find("A")].parent
    assert split.states[-1].occupancy == 0.6
    back = merge_states(split, ["A", "Z"])
    assert back.states == model.states
    np.testing.assert_array_equal(back.state, model.state)
    assert allowed(back) == allowed(model)


def test_reassigning_moves_the_chosen_rows_only() -> None:
    model = add_state(example(), "Z", occupancy=0.6)
    moved = reassign_rows(model, "resid 5 and altloc A", "Z")
    chosen = np.array(
        [
            model.sites.res_id[s] == 5 and label == "A"
            for s, label in zip(model.site, model.altloc_id, strict=True)
        ]
    )
    assert chosen.any()
    assert (moved.state[chosen] == moved.tree.find("Z")).all()
    np.testing.assert_array_equal(moved.state[~chosen], model.state[~chosen])
    same_rows(moved, model)


def test_reparenting_keeps_rows_and_populations() -> None:
    model = example()
    moved = reparent_state(model, "E", "A")
    assert moved.states[moved.tree.find("E")].parent == "A"
    same_rows(moved, model)
    np.testing.assert_array_equal(moved.tree.occupancy, model.tree.occupancy)
    # The water is now there only where A is.
    assert all("A" in copy for copy in allowed(moved) if "E" in copy)
    assert any("A" not in copy for copy in allowed(model) if "E" in copy)


def test_removing_a_state_with_its_atoms() -> None:
    model = add_rule(example(), "NOT", "E", ["C"])
    with pytest.warns(UnstillWarning, match="E"):
        gone = remove_state(model, "E", rows="drop")
    assert gone.n_rows == model.n_rows - 1
    assert gone.rules == ()
    assert "E" not in gone.tree.index


def test_implied_rules_do_not_change_what_is_allowed() -> None:
    model = example()
    ruled = model.replace(rules=implied_rules(model))
    assert ruled.rules
    assert allowed(ruled) == allowed(model)
    assert all(rule.kind == "NOT" for rule in ruled.rules)


def crossed() -> Multiconformer:
    """Two waters with two places each that fit crosswise only, stated as independent."""
    atoms = [
        water(10, "A", (0, 0, 0), 0.5), water(10, "B", (6, 0, 0), 0.5),
        water(30, "A", (2.3, 0, 0), 0.5), water(30, "B", (8.3, 0, 0), 0.5),
    ]  # fmt: skip
    return labelled(atoms).replace(stated=True)


def test_two_by_two_alternatives_that_clash_are_merged() -> None:
    found = detect_clashes(crossed())
    assert {clash.action for clash in found} == {"merge"}
    model = apply_clashes(crossed(), found)
    assert len(model.states) == 3
    assert not detect_clashes(model)


def test_other_clashes_become_rules() -> None:
    atoms = [
        water(10, "A", (0, 0, 0), 0.5), water(10, "B", (6, 0, 0), 0.5),
        water(30, "A", (2.3, 0, 0), 0.3), water(30, "B", (20, 0, 0), 0.7),
    ]  # fmt: skip
    model = labelled(atoms).replace(stated=True)
    found = detect_clashes(model)
    assert [(c.kind, c.action) for c in found] == [("actionable", "not")]
    ruled = apply_clashes(model, found)
    assert [(r.kind, {r.state, *r.others}) for r in ruled.rules] == [
        ("NOT", {"A/10/A", "A/30/A"})
    ]  # fmt: skip
    assert all(c.kind != "actionable" for c in detect_clashes(ruled))


def test_a_ground_and_a_changed_model_are_one_tree() -> None:
    ground = labelled(
        [
            *residue(1, {"": 1.0}),
            *residue(2, TWO, names=("CB", "OG")),
            water(60, "", (50, 0, 0), 1.0),
        ],
        crystal=CRYSTAL,
    )
    ligand = [
        (70, "LIG", name, "", (50.0 + x, 0.5, 0), 1.0) for x, name in enumerate(("C1", "O1"))
    ]
    changed = labelled(
        [*residue(1, {"": 1.0}), *residue(2, {"": 1.0}, names=()), *ligand], crystal=CRYSTAL
    )
    model = join_models(ground, changed, changed_share=0.3)
    tree = model.tree
    parents = {state.id: state.parent for state in model.states}
    assert parents["Ground"] == parents["Changed"] == "Base"
    assert model.states[tree.find("Ground")].occupancy == pytest.approx(0.7)
    assert model.states[tree.find("Changed")].occupancy == pytest.approx(0.3)
    held = states_of(model)
    assert {"70/C1/", "70/O1/"} <= {one.rpartition("/")[0] + "/" for one in held["Changed"]}
    # Every atom of the chain sums to the whole, whoever has it; the water to the ground.
    sums = np.bincount(model.site, model.occupancy, minlength=model.n_sites)
    chain = model.sites.res_id < 50
    np.testing.assert_allclose(sums[chain], 1.0, atol=1e-6)
    np.testing.assert_allclose(sums[model.sites.res_name == "HOH"], 0.7, atol=1e-6)
    np.testing.assert_allclose(sums[model.sites.res_name == "LIG"], 0.3, atol=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1.2, float("nan")])
def test_shares_that_are_none(share) -> None:
    model = labelled(residue(1, {"": 1.0}))
    with pytest.raises(InputError):
        join_models(model, model, changed_share=share)


def test_models_of_other_crystals_are_not_joined() -> None:
    one = labelled(residue(1, {"": 1.0}), crystal=CRYSTAL)
    other = labelled(residue(1, {"": 1.0}), crystal=Crystal((41.0, 50.0, 60.0, 90, 90, 90), "P 1"))
    with pytest.raises(InputError, match=r"crystal|cell|space"):
        join_models(one, other, changed_share=0.5)


def test_rules_of_all_kinds_are_kept_by_the_copies() -> None:
    model = example()
    ruled = add_rule(add_rule(model, "OR", "E", ["A", "C"]), "NOT", "E", ["D"])
    assert [rule.id for rule in ruled.rules] == [1, 2]
    copies = allowed(ruled)
    assert all("A" in c or "C" in c for c in copies if "E" in c)
    assert not any("D" in c for c in copies if "E" in c)
    assert remove_rule(ruled, 1).rules == (Rule(2, "NOT", "E", ("D",)),)
