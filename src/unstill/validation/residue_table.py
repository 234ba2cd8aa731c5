"""Residues of a model as rows: what scores by residue are listed against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.chemistry.residues import is_amino_acid, is_water
from unstill.ensembles import Ensemble
from unstill.shapes import Int
from unstill.validation.residue_conformers import residue_numbers


@dataclass(frozen=True, eq=False)
class ResidueTable:
    """Residues in order of appearance, alternate locations together.

    Parameters
    ----------
    of_atom
        ``(n_atoms,)`` row of each atom.
    chain_id, res_id, ins_code, res_name
        ``(n,)`` of each row, of its first atom.
    """

    of_atom: Int[np.ndarray, " n_atoms"]
    chain_id: tuple[str, ...]
    res_id: tuple[int, ...]
    ins_code: tuple[str, ...]
    res_name: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of residues."""
        return len(self.res_id)

    @property
    def is_protein(self) -> np.ndarray:
        """``(n,)`` amino acids."""
        return np.array([is_amino_acid(name) for name in self.res_name], dtype=bool)

    @property
    def is_water(self) -> np.ndarray:
        """``(n,)`` waters."""
        return np.array([is_water(name) for name in self.res_name], dtype=bool)

    def key(self, row: int) -> tuple[str, int, str]:
        """Chain, number and insertion code."""
        return self.chain_id[row], self.res_id[row], self.ins_code[row]

    def label(self, row: int) -> str:
        """Name for people: ``A/SER 52A``."""
        number = f"{self.res_id[row]}{self.ins_code[row]}"
        return f"{self.chain_id[row]}/{self.res_name[row]} {number}"


def residue_table(ensemble: Ensemble) -> ResidueTable:
    """List the residues of a model.

    Parameters
    ----------
    ensemble
        With chains, numbers and insertion codes as its file has them.
    """
    atoms = ensemble.atoms
    number = residue_numbers(ensemble)
    first = np.unique(number, return_index=True)[1]
    return ResidueTable(
        number,
        tuple(str(name) for name in atoms.chain_id[first]),
        tuple(int(value) for value in atoms.res_id[first]),
        tuple(str(code).strip() for code in atoms.ins_code[first]),
        tuple(str(name) for name in atoms.res_name[first]),
    )


def rows_of(ensemble: Ensemble, residues: ResidueTable) -> Int[np.ndarray, " n_atoms"]:
    """Row of every atom of another model of the same residues; −1 where there is none.

    Parameters
    ----------
    ensemble
        Whose atoms are looked up.
    residues
        Rows of, say, the same model with hydrogens.
    """
    own = residue_table(ensemble)
    place = {residues.key(row): row for row in range(residues.n)}
    rows = np.array([place.get(own.key(row), -1) for row in range(own.n)], dtype=int)
    return np.asarray(rows[own.of_atom])


def atom_label(ensemble: Ensemble, atom: int) -> str:
    """Name of an atom with its insertion code and alternate location: ``A/SER 52A/OG.B``."""
    atoms = ensemble.atoms
    altloc = ""
    if "altloc_id" in atoms.get_annotation_categories():
        altloc = str(atoms.altloc_id[atom]).strip(" .?")
    code = str(atoms.ins_code[atom]).strip()
    return (
        f"{atoms.chain_id[atom]}/{atoms.res_name[atom]} {atoms.res_id[atom]}{code}/"
        f"{atoms.atom_name[atom]}{'.' + altloc if altloc else ''}"
    )
