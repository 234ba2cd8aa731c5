"""Atoms chosen by words."""

from __future__ import annotations

import biotite.structure
import MDAnalysis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from MDAnalysisTests.datafiles import GRO, PSF

from unstill.ensembles import Ensemble, atom_mask, select_atoms
from unstill.errors import InputError
from unstill.io.topology import read_topology

ROWS = [
    # chain, number, residue, name, element, altloc
    ("A", 1, "MET", "N", "N", ""),
    ("A", 1, "MET", "CA", "C", "A"),
    ("A", 1, "MET", "CA", "C", "B"),
    ("A", 1, "MET", "SD", "S", ""),
    ("A", 2, "HIE", "HB2", "H", ""),
    ("B", -3, "GLY", "O", "O", ""),
    ("B", 301, "HOH", "O", "O", ""),
    ("B", 302, "NA", "NA", "NA", ""),
    ("B", 303, "THP", "C1", "C", ""),
    ("C", 5, "DA", "P", "P", ""),
]


@pytest.fixture
def atoms() -> biotite.structure.AtomArray:
    found = biotite.structure.AtomArray(len(ROWS))
    names = ("chain_id", "res_id", "res_name", "atom_name", "element", "altloc_id")
    for name, column in zip(names, zip(*ROWS, strict=True), strict=True):
        found.set_annotation(name, np.array(column))
    return found


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("all", list(range(10))),
        ("protein", [0, 1, 2, 3, 4, 5]),
        ("water", [6]),
        ("ion", [7]),
        ("solvent", [6, 7]),
        ("ligand", [8]),
        ("nucleic", [9]),
        ("backbone", [0, 1, 2, 5]),
        ("sidechain", [3, 4]),
        ("hydrogen", [4]),
        ("not heavy", [4]),
        ("chain A C", [0, 1, 2, 3, 4, 9]),
        ("resid -3", [5]),
        ("resid -3-1 301:302", [0, 1, 2, 3, 5, 6, 7]),
        ("altloc B", [2]),
        ("name CA and not altloc A", [2]),
        ("element c or element o and chain B", [1, 2, 5, 6, 8]),
        ("(element C or element O) and chain B", [5, 6, 8]),
        ("not not water", [6]),
        ("PROTEIN AND NAME N", [0]),
        ("resname met", [0, 1, 2, 3]),
    ],
)
def test_expressions_choose_what_they_say(atoms, expression, chosen) -> None:
    assert np.flatnonzero(atom_mask(atoms, expression)).tolist() == chosen


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "missing at the end"),
        ("protien", "not a word"),
        ("protein and", "missing at the end"),
        ("chain and water", "needs a value"),
        ("(protein", "not closed"),
        ("protein)", "out of place"),
        ("resid ten", "residue numbers"),
        ("chain Z", "names no atom"),
    ],
)
def test_what_cannot_be_understood_says_why(atoms, expression, why) -> None:
    with pytest.raises(InputError, match=why):
        atom_mask(atoms, expression)


simple = st.sampled_from(["all", "protein", "heavy", "chain A", "chain B", "element C", "ligand"])


@given(first=simple, second=simple)
def test_words_obey_de_morgan(first, second) -> None:
    found = biotite.structure.AtomArray(len(ROWS))
    for name, number in (("chain_id", 0), ("res_name", 2), ("atom_name", 3), ("element", 4)):
        found.set_annotation(name, np.array([row[number] for row in ROWS]))
    either = atom_mask(found, f"all and not ({first} and {second}) or {first} and {second}")
    assert either.all()
    both = atom_mask(found, f"({first} or {second}) or all")
    assert both.all()
    union = atom_mask(found, f"{first} or {second}")
    parts = atom_mask(found, first) | atom_mask(found, second)
    np.testing.assert_array_equal(union, parts)


def test_select_atoms_gives_an_ensemble(atoms) -> None:
    ensemble = Ensemble(atoms, np.zeros((2, 10, 3)))
    assert select_atoms(ensemble, "water").n_atoms == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("topology", "ours", "theirs"),
    [
        (GRO, "protein", "protein"),
        (GRO, "water and not hydrogen", "resname SOL and name OW MW"),
        (GRO, "ion", "resname NA+"),
        (PSF, "protein and backbone", "protein and (backbone or name OT1 OT2)"),
        (PSF, "resid 10-20 and heavy", "resid 10:20 and not name H*"),
    ],
)
def test_mdanalysis_chooses_the_same_atoms(topology, ours, theirs) -> None:
    atoms, _ = read_topology(topology)
    universe = MDAnalysis.Universe(topology)
    np.testing.assert_array_equal(
        np.flatnonzero(atom_mask(atoms, ours)), universe.select_atoms(theirs).indices
    )
