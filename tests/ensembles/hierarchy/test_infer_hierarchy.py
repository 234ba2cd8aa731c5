"""Which altlocs are one state: bonds, labels, occupancies and clashes."""

from __future__ import annotations

import numpy as np
import pytest
from labelled_chains import BACKBONE, labelled, residue, states_of, water

from unstill.ensembles.hierarchy import implied_rules, infer_hierarchy
from unstill.ensembles.multiconformer.macrostates import enumerate_macrostates
from unstill.errors import UnstillWarning
from unstill.validation import check_hierarchy

TWO = {"A": 0.6, "B": 0.4}
ALL = (*BACKBONE, "CB", "OG")


def test_neighbours_joined_by_a_peptide_bond_are_one_state() -> None:
    model = infer_hierarchy(labelled(residue(1, TWO, names=ALL) + residue(2, TWO, names=ALL)))
    assert model.stated
    assert [(s.id, s.parent, s.occupancy) for s in model.states] == [
        ("Base", None, 1.0), ("A", "Base", 0.6), ("B", "Base", 0.4)
    ]  # fmt: skip
    held = states_of(model)
    assert {one.split("/")[0] for one in held["A"]} == {"1", "2"}
    assert {one.split("/")[2] for one in held["A"]} == {"A"}
    assert model.exclusive == {(1, 2)}


def test_side_chains_beside_each_other_stay_apart() -> None:
    """No label at the bond: nothing ties the two residues."""
    model = infer_hierarchy(
        labelled(residue(1, TWO, names=("CB", "OG")) + residue(2, TWO, names=("CB", "OG")))
    )
    assert len(model.states) == 5
    assert len(list(enumerate_macrostates(model, complete=True))) == 4


def test_occupancies_tell_states_apart() -> None:
    """The same letters, but 0.6 cannot be 0.3: the label of B is that of the others there."""
    model = infer_hierarchy(
        labelled(residue(1, {"A": 0.6, "B": 0.4}, names=ALL)
                 + residue(2, {"A": 0.3, "B": 0.7}, names=ALL))
    )  # fmt: skip
    shares = sorted(round(state.occupancy, 3) for state in model.states[1:])
    assert shares == [0.3, 0.4, 0.6, 0.7]


def test_what_is_not_labelled_is_in_every_copy() -> None:
    model = infer_hierarchy(labelled(residue(1, {"": 1.0}) + residue(2, TWO, names=("CB", "OG"))))
    base = [row for row in range(model.n_rows) if model.state[row] == 0]
    assert {int(model.sites.res_id[model.site[row]]) for row in base} == {1, 2}
    assert len(model.states) == 3


def test_a_partial_water_is_a_state_of_its_own() -> None:
    model = infer_hierarchy(labelled([*residue(1, {"": 1.0}), water(50, "", (30, 0, 0), 0.35)]))
    assert [(s.kind, s.occupancy) for s in model.states[1:]] == [("compositional", 0.35)]


def test_alternatives_that_fit_one_way_only_are_joined_that_way() -> None:
    """Waters A and B near two side chains: A clashes with B, and B with A."""
    atoms = [
        water(10, "A", (0, 0, 0), 0.5), water(10, "B", (6, 0, 0), 0.5),
        water(30, "A", (8.3, 0, 0), 0.5), water(30, "B", (2.3, 0, 0), 0.5),
    ]  # fmt: skip
    model = infer_hierarchy(labelled(atoms))
    # 10A clashes with 30B, 10B with 30A: so 10A goes with 30A, and 10B with 30B.
    assert sorted(states_of(model).values(), key=sorted) == [
        {"10/O/A", "30/O/A"}, {"10/O/B", "30/O/B"}
    ]  # fmt: skip


def test_rules_on_request_say_what_is_implied_and_no_more() -> None:
    atoms = residue(1, TWO, names=ALL) + residue(5, TWO, names=ALL)
    plain = infer_hierarchy(labelled(atoms))
    ruled = infer_hierarchy(labelled(atoms), rules=True)
    assert plain.rules == ()
    assert [(r.kind, r.state, r.others) for r in ruled.rules] == [
        ("NOT", "A", ("B",)), ("NOT", "C", ("D",))
    ]  # fmt: skip
    assert implied_rules(ruled) == ()

    def allowed(model):
        return {tuple(np.asarray(one).tolist()) for one in enumerate_macrostates(model)}

    assert allowed(plain) == allowed(ruled)


def test_clash_rules_are_left_out_where_populations_cannot_keep_them() -> None:
    """Three waters of 0.4 on a heap: any two may avoid each other, all three cannot."""
    atoms = [
        water(10, "A", (0, 0, 0), 0.4), water(30, "B", (2.3, 0, 0), 0.4),
        water(50, "C", (1.15, 1.99, 0), 0.4),
    ]  # fmt: skip
    model = infer_hierarchy(labelled(atoms), rules=True)
    pairs = {frozenset((r.state, other)) for r in model.rules for other in r.others}
    assert len(pairs) == 2
    # What was written can be kept by the populations.
    assert not [f for f in check_hierarchy(model) if f.rule == "V5" and f.severity == "error"]


def test_a_stated_hierarchy_is_kept() -> None:
    model = infer_hierarchy(labelled(residue(1, TWO)))
    with pytest.warns(UnstillWarning, match="kept"):
        assert infer_hierarchy(model).states == model.states


def test_rows_are_what_they_were() -> None:
    before = labelled(
        residue(1, TWO, names=ALL) + residue(2, TWO) + [water(9, "A", (40, 0, 0), 0.6)]
    )
    after = infer_hierarchy(before, rules=True)
    for name in ("coord", "occupancy", "site", "b_factor"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@pytest.mark.parametrize("name", ["1vme_0.5A_0.5B.cif", "3o5r.cif", "4i39.cif", "2yl0.pdb"])
def test_deposited_models_have_no_false_errors(unstill_data, name) -> None:
    from unstill.io import read_multiconformer

    model = infer_hierarchy(read_multiconformer(unstill_data / "altloc" / name))
    errors = [
        one for one in check_hierarchy(model, most=None, inferred=True) if one.severity == "error"
    ]
    assert [one for one in errors if one.rule != "V8"] == []
    assert 1 < len(model.states) < 120
