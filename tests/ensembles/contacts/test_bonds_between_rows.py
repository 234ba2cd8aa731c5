"""Bonds by distance, against dictionaries and against every pair."""

from __future__ import annotations

import biotite.structure as struc
import numpy as np
import pytest
from biotite.structure.info import residue
from hypothesis import given
from hypothesis import strategies as st
from rows_in_space import placed, scattered

from unstill.chemistry.radii import covalent_radii
from unstill.ensembles import Ensemble
from unstill.ensembles.contacts import can_coexist, find_bonds
from unstill.ensembles.multiconformer import Members, Multiconformer, states_from_labels


@pytest.mark.parametrize("name", ["TRP", "ARG", "MET", "PRO", "GOL", "MSE", "HEM"])
def test_bonds_are_those_of_the_component_dictionary(name: str) -> None:
    atoms = residue(name)
    atoms.chain_id[:] = "A"
    atoms.res_id[:] = 1
    model = states_from_labels(Ensemble(atoms, atoms.coord[None].astype(float)))
    bonds = find_bonds(model)
    known = {(min(a, b), max(a, b)) for a, b, _ in atoms.bonds.as_array().tolist()}
    assert set(zip(bonds.row_a.tolist(), bonds.row_b.tolist(), strict=True)) == known


@given(st.integers(0, 10_000))
def test_bonds_are_all_pairs_that_a_search_of_every_pair_finds(seed: int) -> None:
    model = scattered(seed, 70, 9.0)
    bonds = find_bonds(model)
    assert list(zip(bonds.row_a.tolist(), bonds.row_b.tolist(), strict=True)) == every_bond(model)
    assert bonds.length == pytest.approx(
        np.linalg.norm(model.coord[bonds.row_a] - model.coord[bonds.row_b], axis=1)
    )


def every_bond(model: Multiconformer) -> list[tuple[int, int]]:
    elements = [str(model.sites.element[site]) for site in model.site]
    radius = {e: float(covalent_radii(np.array([e]))[0]) for e in set(elements)}
    found = []
    for a in range(model.n_rows):
        for b in range(a + 1, model.n_rows):
            total = radius[elements[a]] + radius[elements[b]]
            length = float(np.linalg.norm(model.coord[a] - model.coord[b]))
            two = np.array([model.state[a]]), np.array([model.state[b]])
            if (
                model.site[a] != model.site[b]
                and 0.6 * total <= length <= total + 0.45
                and not elements[a] == elements[b] == "H"
                and can_coexist(model, *two)[0]
            ):
                found.append((a, b))
    return found


def test_states_that_exclude_each_other_have_no_bonds_between_them() -> None:
    model = placed(
        [
            ("A", 1, "SER", "CB", "C", "A", 0.5, (0.0, 0.0, 0.0)),
            ("A", 1, "SER", "CB", "C", "B", 0.5, (0.1, 0.0, 0.0)),
            ("A", 1, "SER", "OG", "O", "A", 0.5, (1.4, 0.0, 0.0)),
            ("A", 1, "SER", "OG", "O", "B", 0.5, (1.5, 0.0, 0.0)),
        ]
    )
    bonds = find_bonds(model)
    assert list(zip(bonds.row_a.tolist(), bonds.row_b.tolist(), strict=True)) == [(0, 2), (1, 3)]


def test_only_pairs_that_a_member_has_are_bonds_where_asked() -> None:
    in_state = np.array([[True, True, False], [True, False, True]])
    model = placed(
        [
            ("A", 1, "ALA", "C", "C", "A", 0.5, (0.0, 0.0, 0.0)),
            ("A", 2, "ALA", "N", "N", "B", 0.5, (1.33, 0.0, 0.0)),
        ],
        members=Members(np.array([0.5, 0.5]), in_state),
    )
    assert len(find_bonds(model)) == 1
    assert len(find_bonds(model, observed=True)) == 0


def test_coordination_of_a_metal_is_bonds() -> None:
    model = placed(
        [
            ("A", 1, "HIS", "NE2", "N", "", 1.0, (2.1, 0.0, 0.0)),
            ("B", 1, "ZN", "ZN", "ZN", "", 1.0, (0.0, 0.0, 0.0)),
            ("A", 9, "HOH", "O", "O", "", 1.0, (0.0, 4.0, 0.0)),
        ]
    )
    bonds = find_bonds(model)
    assert list(zip(bonds.row_a.tolist(), bonds.row_b.tolist(), strict=True)) == [(0, 1)]


def test_a_model_without_atoms_has_no_bonds() -> None:
    none = struc.AtomArray(0)
    model = states_from_labels(Ensemble(none, np.zeros((1, 0, 3))))
    assert len(find_bonds(model)) == 0
