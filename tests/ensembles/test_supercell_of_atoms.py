"""Symmetry mates and supercells, checked against gemmi and by structure factors."""

from __future__ import annotations

import biotite.structure
import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble, build_supercell, expand_to_cell
from unstill.errors import InputError

CRYSTALS = [
    Crystal((20.0, 25.0, 30.0, 80.0, 95.0, 105.0), "P 1"),
    Crystal((20.0, 25.0, 30.0, 90.0, 95.0, 90.0), "C 1 2 1"),
    Crystal((20.0, 25.0, 30.0, 90.0, 90.0, 90.0), "P 21 21 21"),
    Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 90.0), "P 41"),
    Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 120.0), "P 61 2 2"),
    Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 120.0), "R 3:H"),
    Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0), "I 2 3"),
]


def some_ensemble(crystal: Crystal | None, seed: int = 0, n_atoms: int = 4) -> Ensemble:
    rng = np.random.default_rng(seed)
    atoms = biotite.structure.AtomArray(n_atoms)
    atoms.set_annotation("chain_id", rng.choice(["A", "B"], n_atoms))
    root = rng.normal(0, 0.2, (2, n_atoms, 3, 3))
    tensor = root @ root.transpose(0, 1, 3, 2)
    i, j = np.array([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]).T
    return Ensemble(
        atoms,
        rng.uniform(-20, 20, (2, n_atoms, 3)),
        occupancy=rng.uniform(0.2, 1, (2, n_atoms)),
        b_factor=rng.uniform(5, 50, n_atoms),
        u_aniso=tensor[..., i, j],
        crystal=crystal,
    )


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda crystal: crystal.space_group)
def test_mates_are_those_of_gemmi(crystal) -> None:
    asu = some_ensemble(crystal)
    cell = expand_to_cell(asu)
    operations = list(crystal.group.operations())
    assert cell.n_atoms == asu.n_atoms * len(operations)
    assert cell.crystal == Crystal(crystal.unit_cell, "P 1")
    expected = set()
    for operation in operations:
        for position in asu.coord[0]:
            frac = crystal.cell.fractionalize(gemmi.Position(*position))
            mate = np.array(operation.apply_to_xyz(frac.tolist()))
            expected.add(tuple((mate % 1).round(6) % 1))
    found = {tuple((f % 1).round(6) % 1) for f in crystal.fractional(cell.coord[0])}
    assert found == expected


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda crystal: crystal.space_group)
def test_anisotropic_displacements_turn_with_their_mates(crystal) -> None:
    asu = some_ensemble(crystal)
    cell = expand_to_cell(asu)
    assert asu.u_aniso is not None
    assert cell.u_aniso is not None
    for atom in range(cell.n_atoms):
        number, source = divmod(atom, asu.n_atoms)
        eigenvalues = [
            np.linalg.eigvalsh(np.array(gemmi.SMat33d(*u).as_mat33().tolist()))
            for u in (cell.u_aniso[0, atom], asu.u_aniso[0, source])
        ]
        np.testing.assert_allclose(*eigenvalues, atol=1e-12)
        assert cell.atoms.operation[atom] == number
    # Turning twice and back: applying the operations to pairs keeps Δᵀ U⁻¹ Δ.
    pair = asu.coord[0, 1] - asu.coord[0, 0]
    wanted = pair @ np.linalg.inv(full(asu.u_aniso[0, 0])) @ pair
    for number in range(cell.n_atoms // asu.n_atoms):
        first, second = number * asu.n_atoms, number * asu.n_atoms + 1
        turned = cell.coord[0, second] - cell.coord[0, first]
        got = turned @ np.linalg.inv(full(cell.u_aniso[0, first])) @ turned
        assert got == pytest.approx(wanted, rel=1e-9)


def full(u: np.ndarray) -> np.ndarray:
    return u[np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]


@given(divisions=st.tuples(*[st.integers(1, 3)] * 3), which=st.integers(0, len(CRYSTALS) - 1))
def test_a_supercell_scatters_only_at_the_bragg_points_of_the_cell(divisions, which) -> None:
    crystal = CRYSTALS[which]
    asu = some_ensemble(crystal, n_atoms=2)
    cell, big = expand_to_cell(asu), build_supercell(asu, divisions)
    assert big.crystal is not None
    n_cells = int(np.prod(divisions))
    assert big.n_atoms == cell.n_atoms * n_cells
    rng = np.random.default_rng(0)
    index = rng.integers(-5, 6, (20, 3))
    weights = big.occupancy[0]
    phases = np.exp(2j * np.pi * big.crystal.fractional(big.coord[0]) @ index.T)
    f_big = weights @ phases
    bragg = np.all(index % np.array(divisions) == 0, axis=1)
    np.testing.assert_allclose(f_big[~bragg], 0, atol=1e-8)
    hkl = index[bragg] // np.array(divisions)
    f_cell = cell.occupancy[0] @ np.exp(2j * np.pi * crystal.fractional(cell.coord[0]) @ hkl.T)
    np.testing.assert_allclose(f_big[bragg], n_cells * f_cell, atol=1e-8)


def test_members_annotations_and_counts_go_along() -> None:
    asu = some_ensemble(CRYSTALS[3])
    big = build_supercell(asu, (2, 1, 2))
    assert big.n_members == 2
    assert big.atoms.chain_id.tolist() == asu.atoms.chain_id.tolist() * 16
    assert np.unique(big.atoms.cell_index).tolist() == [0, 1, 2, 3]
    assert np.bincount(big.atoms.operation).tolist() == [16] * 4
    np.testing.assert_array_equal(big.occupancy, np.tile(asu.occupancy, 16))
    np.testing.assert_array_equal(big.b_factor, np.tile(asu.b_factor, 16))
    # The first atoms are the asymmetric unit itself, where it was.
    np.testing.assert_allclose(big.coord[:, : asu.n_atoms], asu.coord, atol=1e-12)


def test_without_a_crystal_there_are_no_mates() -> None:
    with pytest.raises(InputError, match="no crystal"):
        expand_to_cell(some_ensemble(None))
    with pytest.raises(InputError, match="no crystal"):
        build_supercell(some_ensemble(None), (2, 2, 2))
