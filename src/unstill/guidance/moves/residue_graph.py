"""Bonds of a model as moves need them: residues, what each bond carries, who may touch whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse

from unstill.chemistry.residues import is_amino_acid, is_water
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.shapes import Bool, Int
from unstill.validation.bonded_atoms import bonded_atoms
from unstill.validation.residue_conformers import altlocs_of, residue_numbers


@dataclass(frozen=True)
class Residue:
    """One residue: where its atoms are.

    Parameters
    ----------
    name
        Of the residue.
    atom
        Name → number of the atom in the model.
    """

    name: str
    atom: dict[str, int]

    @property
    def has_backbone(self) -> bool:
        """Whether it is an amino acid with N, CA, C and O."""
        return is_amino_acid(self.name) and {"N", "CA", "C", "O"} <= self.atom.keys()

    def __getitem__(self, name: str) -> int:
        return self.atom[name]


class ResidueGraph:
    """Residues and bonds of a model in one conformation.

    Parameters
    ----------
    ensemble
        Atoms; bonds are those of the first member.

    Raises
    ------
    InputError
        If a residue has two alternate locations: members of an ensemble have one each.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self.number = residue_numbers(ensemble)
        _check_single(ensemble, self.number)
        self.element = ensemble.element
        self.atom_name = np.asarray(ensemble.atoms.atom_name, dtype=str)
        self.chain_id = np.asarray(ensemble.atoms.chain_id, dtype=str)
        self.res_id = np.asarray(ensemble.atoms.res_id, dtype=int)
        self.bonds = bonded_atoms(ensemble)
        self.reference = ensemble.coord[0].astype(float)
        order = np.argsort(self.number, kind="stable")
        bounds = np.flatnonzero(np.diff(self.number[order], prepend=-1))
        self.residues = [
            Residue(
                str(ensemble.atoms.res_name[atoms[0]]),
                {str(self.atom_name[atom]): int(atom) for atom in atoms},
            )
            for atoms in np.split(order, bounds[1:])
        ]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.element)

    @cached_property
    def neighbours(self) -> list[list[int]]:
        """Of every atom, those bonded to it."""
        found: list[list[int]] = [[] for _ in range(self.n_atoms)]
        for one, other in self.bonds.tolist():
            found[one].append(other)
            found[other].append(one)
        return found

    @cached_property
    def next_residue(self) -> list[int]:
        """Of every residue, the one that its C binds to by a peptide bond; −1 for none."""
        found = [-1] * len(self.residues)
        for one, other in self.bonds.tolist():
            for c, n in ((one, other), (other, one)):
                if (
                    self.atom_name[c] == "C"
                    and self.atom_name[n] == "N"
                    and self.number[c] != self.number[n]
                    and self.residues[self.number[c]].has_backbone
                    and self.residues[self.number[n]].has_backbone
                ):
                    found[int(self.number[c])] = int(self.number[n])
        return found

    @cached_property
    def excluded(self) -> tuple[Int[np.ndarray, " n_starts"], Int[np.ndarray, " n_pairs"]]:
        """Atoms that three bonds or fewer part, as starts and a list: they do not repel."""
        n = self.n_atoms
        both = np.concatenate([self.bonds, self.bonds[:, ::-1], np.tile(np.arange(n), (2, 1)).T])
        step = scipy.sparse.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), (n, n))
        three = (step @ step @ step).tocsr()
        three.sort_indices()
        return three.indptr.astype(np.int64), three.indices.astype(np.int64)

    @cached_property
    def is_water(self) -> Bool[np.ndarray, " n_atoms"]:
        """Atoms of waters."""
        waters = np.array([is_water(residue.name) for residue in self.residues])
        return np.asarray(waters[self.number])

    def beyond(self, inner: int, outer: int) -> set[int] | None:
        """Atoms that turn about the bond from ``inner`` to ``outer``; ``None`` in a ring."""
        found, edge = {outer}, [outer]
        while edge:
            here = edge.pop()
            for atom in self.neighbours[here]:
                if atom == inner:
                    if here == outer:
                        continue
                    return None
                if atom not in found:
                    found.add(atom)
                    edge.append(atom)
        return found

    def find(self, chain_id: str, res_id: int) -> int:
        """Return the number of a residue by chain and number in it.

        Raises
        ------
        InputError
            If there is none.
        """
        atoms = np.flatnonzero((self.chain_id == chain_id) & (self.res_id == res_id))
        if len(atoms) == 0:
            raise InputError(
                "the model has no such residue",
                found=f"{chain_id}/{res_id}",
                fix="name chain and number as they are in the model",
            )
        return int(self.number[atoms[0]])


def _check_single(ensemble: Ensemble, number: np.ndarray) -> None:
    labels = altlocs_of(ensemble)
    has = labels != ""
    pairs = np.unique(np.stack([number[has].astype(str), labels[has]]), axis=1)
    residues, count = np.unique(pairs[0], return_counts=True)
    if (count > 1).any():
        atom = int(np.flatnonzero(number == int(residues[count > 1][0]))[0])
        raise InputError(
            "a residue has more than one alternate location",
            found=f"{int((count > 1).sum())} residues, one is {ensemble.label(atom)}",
            fix="choose one conformation for each member, for example altloc A",
        )
