"""Restraint tables: against real structures, and what links, gaps and names do to them."""

from pathlib import Path
from typing import Any

import biotite.structure as struc
import numpy as np
import pytest
from biotite.structure.info import residue
from biotite.structure.io.pdb import PDBFile

from unstill.chemistry.restraints import GeometryRestraints, build_restraints
from unstill.errors import InputError
from unstill.validation.geometry import (
    angle_deviations,
    bond_deviations,
    chirality_flips,
    root_mean_square,
    signed_volumes,
)


def built(atoms: Any, **changes: Any) -> GeometryRestraints:
    """Return the restraints of a biotite array."""
    columns = {
        "coord": atoms.coord.astype(float),
        "atom_name": atoms.atom_name,
        "res_name": atoms.res_name,
        "res_id": atoms.res_id,
        "ins_code": atoms.ins_code,
        "chain_id": atoms.chain_id,
        "element": atoms.element,
    }
    return build_restraints(**{**columns, **changes})


def heavy(path: Path) -> Any:
    atoms = PDBFile.read(path).get_structure(model=1, altloc="first")
    return atoms[(atoms.element != "H") & (atoms.element != "D")]


@pytest.mark.parametrize("name", ["2yl0.pdb", "6b8x.pdb", "6ni6.pdb"])
def test_real_structures_deviate_as_refined_ones_do(unstill_data: Path, name: str) -> None:
    atoms = heavy(unstill_data / "altloc" / name)
    r = built(atoms)
    coord = atoms.coord[None].astype(float)
    assert len(r.bonds) > 0.7 * len(atoms[atoms.res_name != "HOH"])
    assert root_mean_square(bond_deviations(coord, r.bonds, r.lengths))[0] < 0.025
    assert root_mean_square(angle_deviations(coord, r.angles, r.angle_targets))[0] < 2.0
    assert not chirality_flips(coord, r.chirals, r.volumes).any()
    ends = np.linalg.norm(coord[0, r.planar[:, 0]] - coord[0, r.planar[:, 3]], axis=1)
    assert np.sqrt(np.mean((ends - r.planar_distances) ** 2)) < 0.06
    assert np.sqrt(np.mean(signed_volumes(coord, r.planes) ** 2)) < 0.2
    assert r.unknown_residues == ()


def test_no_bond_across_a_gap_nor_between_chains(unstill_data: Path) -> None:
    atoms = heavy(unstill_data / "altloc" / "6b8x.pdb")
    protein = atoms[struc.filter_amino_acids(atoms)]
    whole = built(protein)
    numbers = np.unique(protein.res_id)
    gone = numbers[len(numbers) // 2]
    gap = built(protein[protein.res_id != gone])
    assert len(gap.links) == len(whole.links) - 2
    chain = np.where(protein.res_id > gone, "B", "A")
    assert len(built(protein, chain_id=chain).links) == len(whole.links) - 1


def test_insertion_codes_part_residues(unstill_data: Path) -> None:
    atoms = heavy(unstill_data / "altloc" / "6b8x.pdb")
    protein = atoms[struc.filter_amino_acids(atoms)]
    first, second = np.unique(protein.res_id)[10:12]
    number, code = protein.res_id.copy(), protein.ins_code.copy()
    code[number == second] = "A"
    number[number == second] = first
    one, other = built(protein), built(protein, res_id=number, ins_code=code)
    np.testing.assert_array_equal(one.bonds, other.bonds)
    np.testing.assert_array_equal(one.volumes, other.volumes)


def test_two_alternate_locations_are_refused() -> None:
    atoms = residue("ALA")[:5]
    both = atoms + atoms
    with pytest.raises(InputError, match="twice"):
        built(both, altloc=np.array(["A"] * 5 + ["B"] * 5))


def test_unknown_residues_are_named() -> None:
    atoms = residue("ALA")
    assert built(atoms, res_name=np.full(len(atoms), "Q_Q")).unknown_residues == ("Q_Q",)


@pytest.mark.parametrize("name", ["MSE", "DA", "U", "HEM", "GOL", "TRP", "HIS", "DAL"])
def test_components_agree_with_their_ideal_coordinates(name: str) -> None:
    atoms = residue(name)
    atoms = atoms[atoms.element != "H"]
    r = built(atoms, element=np.char.upper(atoms.element))
    coord = atoms.coord[None].astype(float)
    assert not chirality_flips(coord, r.chirals, r.volumes).any()
    assert root_mean_square(bond_deviations(coord, r.bonds, r.lengths))[0] < 0.06
    assert r.unknown_residues == ()


def test_the_hand_of_l_and_d_alanine_differ() -> None:
    hands = []
    for name in ("ALA", "DAL"):
        atoms = residue(name)
        r = built(atoms)
        arms = [np.flatnonzero(atoms.atom_name == arm)[0] for arm in ("N", "C", "CB")]
        # The order of the arms is that of the dictionary's bonds, which differs.
        order = [arms.index(k) for k in r.chirals[0, 1:]]
        hands.append(np.sign(r.volumes[0]) * np.linalg.det(np.eye(3)[order]))
    assert hands[0] * hands[1] < 0


def test_aromatic_atoms_and_guanidinium_are_flat_and_hydrogens_counted() -> None:
    atoms = residue("ARG")
    r = built(atoms)
    centres = {atoms.atom_name[k] for k in r.planes[:, 0]}
    assert {"CZ", "NE"} <= centres
    assert np.isin(atoms.element[r.bonds], "H").any()
