from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from biotite.structure import AtomArray, array, info
from hypothesis import given, settings
from hypothesis import strategies as st

from unstill.chemistry.restraints import GeometryRestraints, build_restraints
from unstill.chemistry.restraints.component import component, signed_volume
from unstill.errors import InputError
from unstill.guidance.start import starting_model
from unstill.io.structure_files import read_structure
from unstill.validation.geometry import angle_deviations, bond_deviations

AMINO = ["ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS"]
AMINO += ["MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "MSE"]


def residue(name: str, *, heavy: bool = True) -> AtomArray:
    atoms = info.residue(name)
    atoms.res_id[:] = 1
    atoms.chain_id[:] = "A"
    return atoms[atoms.element != "H"] if heavy else atoms


def restraints_of(atoms: AtomArray) -> GeometryRestraints:
    return build_restraints(
        atoms.coord,
        atoms.atom_name,
        atoms.res_name,
        atoms.res_id,
        atoms.ins_code,
        atoms.chain_id,
        atoms.element,
    )


@pytest.mark.parametrize("name", [*AMINO, "GOL", "ATP", "DA", "HEM", "HC4"])
def test_ideal_coordinates_keep_the_restraints_of_their_residue(name: str) -> None:
    atoms = residue(name)
    found = restraints_of(atoms)
    coord = atoms.coord[None].astype(float)
    assert found.unknown_residues == ()
    assert np.abs(bond_deviations(coord, found.bonds, found.lengths)).max() < 0.13
    assert np.sqrt(np.mean(angle_deviations(coord, found.angles, found.targets) ** 2)) < 4
    volumes = np.array([signed_volume(coord[0][four]) for four in found.chirals])
    np.testing.assert_allclose(volumes, found.volumes, atol=0.35)
    apart = np.linalg.norm(coord[0][found.one_four[:, 0]] - coord[0][found.one_four[:, 1]], axis=1)
    np.testing.assert_allclose(apart, found.one_four_lengths, atol=0.3)


def test_bonds_and_hydrogens_are_those_of_the_dictionary() -> None:
    found = restraints_of(residue("PHE"))
    # N CA C O CB, six of the ring, OXT: eleven atoms and one ring make twelve bonds.
    assert len(found.bonds) == 12
    names = residue("PHE").atom_name.tolist()
    counts = dict(zip(names, found.n_hydrogens.tolist(), strict=True))
    assert (counts["CB"], counts["CD1"], counts["CG"], counts["C"]) == (2, 1, 0, 0)
    known = component("LEU")
    assert known is not None
    hands = {names[0]: volume for names, volume in known.centres}
    assert hands["CA"] != 0
    assert hands["C"] == 0


def test_engh_and_huber_take_the_place_of_ideal_coordinates() -> None:
    atoms = residue("ALA")
    found = restraints_of(atoms)
    names = atoms.atom_name.tolist()
    lengths = {
        frozenset(names[i] for i in pair): length
        for pair, length in zip(found.bonds.tolist(), found.lengths.tolist(), strict=True)
    }
    assert lengths[frozenset(["N", "CA"])] == pytest.approx(1.459)
    assert lengths[frozenset(["C", "O"])] == pytest.approx(1.229)
    # An anion at the end of the chain, where the dictionary draws the acid.
    assert lengths[frozenset(["C", "OXT"])] == pytest.approx(1.249)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(["ILE", "THR", "VAL", "LEU", "ARG"]), seed=st.integers(0, 10**6))
def test_restraints_do_not_depend_on_place_or_direction(name: str, seed: int) -> None:
    atoms = residue(name)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    moved = atoms.copy()
    moved.coord = atoms.coord @ turn.T + seed % 50
    one, other = restraints_of(atoms), restraints_of(moved)
    np.testing.assert_array_equal(one.chirals, other.chirals)
    np.testing.assert_allclose(one.volumes, other.volumes)
    assert one.inverted == other.inverted == ()


def test_the_hand_of_the_model_stays_and_is_told() -> None:
    atoms = residue("ALA")
    atoms.coord[:, 0] *= -1
    found = restraints_of(atoms)
    assert [atoms.atom_name[place] for place in found.inverted] == ["CA"]


def test_links_gaps_and_insertion_codes(unstill_data: Path) -> None:
    atoms = starting_model(read_structure(unstill_data / "altloc" / "6b8x.pdb")).atoms
    chain = atoms.select(np.isin(atoms.atoms.res_id, [10, 11, 12])).atoms
    chain.coord = atoms.coord[0][np.isin(atoms.atoms.res_id, [10, 11, 12])]
    chain = chain[np.isin(chain.res_name, AMINO)]
    assert len(restraints_of(chain).links) == 2
    renumbered = chain.copy()
    # Residues 10, 10A, 30: numbers do not matter, distances do.
    renumbered.ins_code[chain.res_id == 11] = "A"
    renumbered.res_id[chain.res_id == 11] = 10
    renumbered.res_id[chain.res_id == 12] = 30
    assert len(restraints_of(renumbered).links) == 2
    apart = chain.copy()
    apart.coord[chain.res_id == 12] += 5.0
    assert len(restraints_of(apart).links) == 1
    other = chain.copy()
    other.chain_id[chain.res_id == 12] = "B"
    assert len(restraints_of(other).links) == 1


@pytest.mark.parametrize(
    ("name", "most"),
    [("6b8x.pdb", 0.022), ("2yl0.pdb", 0.027), ("6ni6.pdb", 0.011), ("4i39.cif", 0.011)],
)
def test_refined_structures_keep_the_targets(unstill_data: Path, name: str, most: float) -> None:
    model = starting_model(read_structure(unstill_data / "altloc" / name))
    coord, r = model.atoms.coord.astype(float), model.restraints
    assert np.sqrt(np.mean(bond_deviations(coord, r.bonds, r.lengths) ** 2)) < most
    assert np.sqrt(np.mean(angle_deviations(coord, r.angles, r.targets) ** 2)) < 2.4
    assert r.unknown_residues == ()


def test_unknown_residues_are_named_and_doubled_atoms_refused() -> None:
    atoms = residue("GLY")
    atoms.res_name[:] = "?Z?"
    found = restraints_of(atoms)
    assert found.unknown_residues == ("?Z?",)
    assert len(found.bonds) == 0
    twice = residue("GLY")
    twice = array([*twice, *twice])
    with pytest.raises(InputError, match="occurs twice"):
        restraints_of(twice)
    with pytest.raises(InputError, match="differ in length"):
        build_restraints(atoms.coord[:2], *([atoms.atom_name] * 6))
