"""Edits of a tree of states: what they change, what they leave, what they refuse."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from altloc_chains import WHOLE, held, labelled, random_chains, residue, water
from hypothesis import given
from hypothesis import strategies as st

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
from unstill.ensembles.hierarchy.consistency import doubled_rows
from unstill.ensembles.multiconformer import Rule
from unstill.ensembles.multiconformer.macrostates import enumerate_macrostates, is_satisfiable
from unstill.errors import InputError, UnstillWarning

TWO = {"A": (0.6, 0.0), "B": (0.4, 0.4)}
SIDE = ("CB", "OG")
SER = (*WHOLE, "OG")
CRYSTAL = Crystal((40.0, 50.0, 60.0, 90.0, 90.0, 90.0), "P 21 21 21")


def example() -> Multiconformer:
    """Residues 1 and 2 together in A and B, residue 5 in C and D, a water at 0.2."""
    return infer_hierarchy(
        labelled(
            residue(1, TWO) + residue(2, TWO) + residue(5, TWO)
            + [water(50, "A", (60, 0, 0), 0.2)]
        )
    )  # fmt: skip


def same_places(one: Multiconformer, two: Multiconformer) -> None:
    for name in ("coord", "b_factor", "site", "altloc_id"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


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
    # 0.6 and 0.6 cannot exclude each other; the rule stands, and the user knows.
    with pytest.warns(UnstillWarning, match=r"A and C together in 0\.20"):
        ruled = add_rule(model, "NOT", "A", ["C"])
    renamed = rename_state(ruled, "A", id="Shut", name="shut")
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


@given(random_chains(), st.data())
def test_edits_move_no_atom(rows, data) -> None:
    """Any edit that is not refused keeps all rows, and leaves a model without contradiction."""
    model = infer_hierarchy(labelled(rows))
    for _ in range(data.draw(st.integers(1, 6))):
        after = drawn_edit(model, data)
        same_places(after, model)
        assert after.n_rows == model.n_rows
        if len(after.states) == len(model.states):
            assert sorted(after.tree.occupancy) == sorted(model.tree.occupancy)
        assert not len(doubled_rows(after))
        assert is_satisfiable(after)
        model = after


def drawn_edit(model: Multiconformer, data: st.DataObject) -> Multiconformer:
    """Draw an edit and do it; a refused one leaves the model as it was."""
    ids = [state.id for state in model.states]
    state, other = (data.draw(st.sampled_from(ids)) for _ in range(2))
    number = data.draw(st.integers(1, 5))
    deeds = [
        lambda: add_state(model, f"new{len(ids)}", parent=state),
        lambda: rename_state(model, state, id=f"old{len(ids)}"),
        lambda: reparent_state(model, state, other),
        lambda: merge_states(model, [state, other]),
        lambda: split_state(model, state, f"resid {number}"),
        lambda: reassign_rows(model, f"resid {number} and altloc A", state),
        lambda: remove_state(model, state, rows="parent"),
        lambda: add_rule(model, data.draw(st.sampled_from(["AND", "OR", "NOT"])), state, [other]),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstillWarning)
        try:
            return data.draw(st.sampled_from(deeds))()
        except InputError:
            return model


@given(random_chains(), st.data())
def test_renaming_changes_names_only(rows, data) -> None:
    model = infer_hierarchy(labelled(rows))
    old = data.draw(st.sampled_from([state.id for state in model.states]))
    back = rename_state(rename_state(model, old, id="other"), "other", id=old)
    assert back.states == model.states
    assert len(allowed(rename_state(model, old, id="other"))) == len(allowed(model))


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
            *residue(1),
            *residue(2, TWO, split=SIDE, name="SER", atoms=SER),
            water(60, "", (50, 0, 0), 1.0),
        ],
        crystal=CRYSTAL,
    )
    ligand = [
        (70, "LIG", name, "", 1.0, (50.0 + x, 0.5, 0)) for x, name in enumerate(("C1", "O1"))
    ]
    changed = labelled([*residue(1), *residue(2, name="SER", atoms=SER), *ligand], crystal=CRYSTAL)
    model = join_models(ground, changed, changed_share=0.3)
    tree = model.tree
    parents = {state.id: state.parent for state in model.states}
    assert parents["Ground"] == parents["Changed"] == "Base"
    assert model.states[tree.find("Ground")].occupancy == pytest.approx(0.7)
    assert model.states[tree.find("Changed")].occupancy == pytest.approx(0.3)
    of_changed = {(number, atom) for number, atom, _ in held(model)["Changed"]}
    assert {(70, "C1"), (70, "O1")} <= of_changed
    # Every atom of the chain sums to the whole, whoever has it; the water to the ground.
    sums = np.bincount(model.site, model.occupancy, minlength=model.n_sites)
    chain = model.sites.res_id < 50
    np.testing.assert_allclose(sums[chain], 1.0, atol=1e-6)
    np.testing.assert_allclose(sums[model.sites.res_name == "HOH"], 0.7, atol=1e-6)
    np.testing.assert_allclose(sums[model.sites.res_name == "LIG"], 0.3, atol=1e-6)


def test_altlocs_of_a_joined_model_mean_one_thing_each() -> None:
    ground = labelled([*residue(1, TWO), *residue(2)])
    moved = {"A": (0.6, 2.0), "B": (0.4, 3.0)}
    changed = labelled([*residue(1, moved), *residue(2, {"": (1.0, 0.5)})])
    model = join_models(ground, changed, changed_share=0.25)
    labels = {state: {label for _, _, label in rows} for state, rows in held(model).items()}
    assert labels["Ground"] == {"C"}
    assert labels["Changed"] == {"D"}
    inner = [labels[s.id] for s in model.states if s.parent in ("Ground", "Changed")]
    assert sorted(map(sorted, inner)) == [["A"], ["B"], ["E"], ["F"]]
    shares = sorted(s.occupancy for s in model.states if s.parent in ("Ground", "Changed"))
    assert shares == pytest.approx([0.1, 0.15, 0.3, 0.45])
    # Nothing is twice under one label.
    keys = list(zip(model.site.tolist(), model.altloc_id.tolist(), strict=True))
    assert len(set(keys)) == len(keys)


@given(random_chains(), st.integers(1, 999_999))
def test_a_model_joined_with_itself_is_itself(rows, millionths) -> None:
    model = labelled(rows)
    share = millionths / 1e6
    alone = infer_hierarchy(model)
    both = join_models(model, model, changed_share=share)
    same_places(both, model)
    assert len(both.states) == len(alone.states) + 2
    assert not held(both)["Ground"]
    assert not held(both)["Changed"]
    assert both.tree.occupancy[1] + both.tree.occupancy[2] == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(both.occupancy, model.occupancy, atol=1e-6)


@given(random_chains(), random_chains(), st.integers(1, 999))
def test_joined_occupancies_add_up_exactly(rows, others, thousandths) -> None:
    ground, changed = labelled(rows), labelled(others)
    share = thousandths / 1000
    both = join_models(ground, changed, changed_share=share)
    units = np.round(both.occupancy * 1e6).astype(int)
    np.testing.assert_allclose(both.occupancy * 1e6, units, atol=1e-6)
    of_model = {
        key: weight
        for model, weight in ((ground, 1 - share), (changed, share))
        for key in places(model)
    }
    shared = places(ground) & places(changed)
    of_model.update(dict.fromkeys(shared, 1.0))
    # Whatever both have sums to one, what one has to its share.
    sums = np.bincount(both.position[both.site], units) / 1e6
    for site, total in zip(places_of_positions(both), sums.tolist(), strict=True):
        assert total <= 1
        assert total == pytest.approx(of_model[site], abs=6e-6)
    parents = both.tree.parent
    for number, parent in enumerate(parents.tolist()):
        assert parent < 0 or both.tree.occupancy[number] <= both.tree.occupancy[parent] + 1e-12


def places(model: Multiconformer) -> set[tuple[int, str]]:
    return set(places_of_positions(model))


def places_of_positions(model: Multiconformer) -> list[tuple[int, str]]:
    """Residue number and atom of each position."""
    names = zip(model.sites.res_id.tolist(), model.sites.atom_name.tolist(), strict=True)
    return list(dict.fromkeys((int(number), str(atom)) for number, atom in names))


def test_waters_and_ligands_get_numbers_of_their_own() -> None:
    ground = labelled(
        [*residue(1), water(50, "", (50, 0, 0), 1.0), water(51, "", (60, 0, 0), 1.0)]
    )
    changed = labelled(
        [*residue(1), water(50, "", (60, 0, 0.05), 1.0), (51, "LIG", "C1", "", 1.0, (9, 9, 9))]
    )
    with pytest.warns(UnstillWarning, match="new numbers"):
        model = join_models(ground, changed, changed_share=0.4)
    found = held(model)
    # Water 50 of the changed model is water 51 of the ground, within 0.1 Å.
    assert (51, "O", "") in found["Base"]
    assert {(number, atom) for number, atom, _ in found["Ground"]} == {(50, "O")}
    assert {(number, atom) for number, atom, _ in found["Changed"]} == {(52, "C1")}


@pytest.mark.parametrize("share", [-0.1, 1.2, float("nan")])
def test_shares_that_are_none(share) -> None:
    model = labelled(residue(1))
    with pytest.raises(InputError):
        join_models(model, model, changed_share=share)


def test_models_of_other_crystals_are_not_joined() -> None:
    one = labelled(residue(1), crystal=CRYSTAL)
    other = labelled(residue(1), crystal=Crystal((41.0, 50.0, 60.0, 90, 90, 90), "P 1"))
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
