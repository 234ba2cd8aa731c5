"""Residues by their names: what they are, and which of their atoms are equivalent."""

from __future__ import annotations

import pytest
from biotite.structure.info import residue

from unstill.chemistry.residues import (
    equivalent_atoms,
    is_amino_acid,
    is_nucleotide,
    is_water,
)

# fmt: off
TWENTY = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET",
    "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
)
# fmt: on


@pytest.mark.parametrize("name", [*TWENTY, "MSE", "SEP", "TPO", "HIE", "HSD", "CYX", " ala "])
def test_amino_acids_are_known_by_any_name(name: str) -> None:
    assert is_amino_acid(name)


@pytest.mark.parametrize("name", ["HOH", "GOL", "EDO", "ZN", "DA", "U", "", "???"])
def test_other_residues_are_no_amino_acids(name: str) -> None:
    assert not is_amino_acid(name)


def test_water_has_many_names() -> None:
    assert all(map(is_water, ("HOH", "WAT", "DOD", "TIP3", "SOL", "hoh")))
    assert not any(map(is_water, ("OH", "GOL", "O")))


def test_nucleotides_are_those_of_dna_and_rna() -> None:
    assert [n for n in ("DA", "U", "G", "ALA", "HOH", "ATP") if is_nucleotide(n)][:3] == [
        "DA",
        "U",
        "G",
    ]


@pytest.mark.parametrize("name", TWENTY)
def test_equivalent_atoms_have_the_same_bonds(name: str) -> None:
    """Swapping the names maps the bonds of the residue on themselves (heavy atoms)."""
    atoms = residue(name)
    names = atoms.atom_name
    heavy = {n for n, e in zip(names, atoms.element, strict=True) if e != "H"}
    bonds = {frozenset((names[a], names[b])) for a, b, _ in atoms.bonds.as_array()}
    bonds = {bond for bond in bonds if bond <= heavy}
    for swaps in equivalent_atoms(name):
        turned = {a: b for pair in swaps for a, b in (pair, pair[::-1])}
        assert {frozenset(turned.get(n, n) for n in bond) for bond in bonds} == bonds


def test_prochiral_methyls_are_not_equivalent() -> None:
    assert equivalent_atoms("VAL") == equivalent_atoms("LEU") == ()
