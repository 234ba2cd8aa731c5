"""The atoms of a trajectory: PDB, mmCIF, GRO, PSF, AMBER topology."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError
from unstill.io.atom_table import VIRTUAL_SITE, guess_element, known_element
from unstill.io.reading import parsing
from unstill.io.structure_files import looks_like_structure, read_all_sites

MDTRAJ_SUFFIXES = (".gro", ".psf", ".prmtop", ".parm7", ".prm7", ".top")


def read_topology(path: Path) -> tuple[biotite.structure.AtomArray, Crystal | None]:
    """Read the atoms of a topology, virtual sites included (element ``VS``).

    Elements are taken from the file where it has them (PDB, mmCIF, AMBER and
    PSF through the mass); for GRO they follow from atom and residue names.

    Returns
    -------
    atoms
        biotite annotations, in the order of the file.
    crystal
        The crystal that a PDB or mmCIF file declares, else ``None``.

    Raises
    ------
    FormatError
        If the file is damaged or of an unknown format.
    InputError
        If an element cannot be told.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in MDTRAJ_SUFFIXES:
        return _through_mdtraj(path, guess=suffix == ".gro"), None
    if looks_like_structure(path):
        ensemble = read_all_sites(path)
        return ensemble.atoms, ensemble.crystal
    raise FormatError(
        f"{path.name} is no topology that unstill can read",
        found=repr(path.suffix),
        fix=f"give .pdb, .cif, or one of {', '.join(MDTRAJ_SUFFIXES)}",
    )


def _through_mdtraj(path: Path, *, guess: bool) -> biotite.structure.AtomArray:
    import mdtraj

    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    with parsing(path, "a topology"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        topology = (
            mdtraj.load_topology(str(path), standard_names=False)
            if not guess
            else (mdtraj.load_topology(str(path)))
        )
        found = list(topology.atoms)
    atoms = biotite.structure.AtomArray(len(found))
    atoms.set_annotation("atom_name", np.array([atom.name for atom in found]))
    atoms.set_annotation("res_name", np.array([atom.residue.name for atom in found]))
    atoms.set_annotation("res_id", np.array([atom.residue.resSeq for atom in found], dtype=int))
    atoms.set_annotation("chain_id", np.array([_chain(atom) for atom in found]))
    element = [_element(atom, guess=guess) for atom in found]
    atoms.set_annotation("element", np.array(element))
    _check(atoms, path)
    return atoms


def _chain(atom: Any) -> str:
    segment = str(getattr(atom.residue, "segment_id", "") or "")
    chain = str(getattr(atom.residue.chain, "chain_id", "") or "")
    return segment or chain


def _element(atom: Any, *, guess: bool) -> str:
    if guess:
        return guess_element(atom.name, atom.residue.name, padded=False)
    symbol = "" if atom.element is None else str(atom.element.symbol).upper()
    return symbol or guess_element(atom.name, atom.residue.name, padded=False)


def _check(atoms: biotite.structure.AtomArray, path: Path) -> None:
    for i, symbol in enumerate(atoms.element):
        if symbol != VIRTUAL_SITE and not known_element(str(symbol)):
            label = f"{atoms.res_name[i]} {atoms.res_id[i]}/{atoms.atom_name[i]}"
            raise InputError(
                f"the element of an atom of {path.name} cannot be told",
                found=f"{label} (atom {i + 1})",
                fix="give the topology as PDB or mmCIF with an element column",
            )
