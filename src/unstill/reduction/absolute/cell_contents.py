"""What is in a unit cell: atoms and their bonds, from a sequence or a structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.reduction.absolute.compton import compton_of_cell
from unstill.scattering.form_factors import form_factors
from unstill.shapes import Float

PROTEIN_VOLUME = 1.21
"""Å³ that a dalton of protein fills (0.73 cm³/g)."""

WATER_DENSITY = 0.0334
"""Molecules an Å³ of liquid water."""

_REACH = 2.6
"""Å; pairs further apart have averaged out by 0.7 Å⁻¹."""

# Pairs across the peptide bond: atom, atom of the next residue, distance (Å).
_PEPTIDE = (
    ("C", "N", 1.33), ("C", "C", 2.43), ("C", "C", 2.43), ("O", "N", 2.25), ("C", "H", 2.0),
)  # fmt: skip
# What a free amino acid has and a chain does not.
_LOST = ("OXT", "HXT", "H2", "H3")

Pair = tuple[str, str, float]

_Key = TypeVar("_Key")


@dataclass(frozen=True)
class CellContents:
    """Atoms of a unit cell.

    Parameters
    ----------
    atoms
        Number of each element; fractions allowed.
    pairs
        Number of pairs of two elements at a distance (Å) within molecules.
    """

    atoms: Mapping[str, float]
    pairs: Mapping[Pair, float]

    @property
    def electrons(self) -> float:
        """Electrons of the cell."""
        return float(sum(n * gemmi.Element(name).atomic_number for name, n in self.atoms.items()))

    def plus(self, other: CellContents, times: float = 1.0) -> CellContents:
        """Add so many times what another holds."""
        return CellContents(
            _added(self.atoms, other.atoms, times), _added(self.pairs, other.pairs, times)
        )

    def coherent(self, s: Float[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
        """Σ f² (e²): what atoms scatter without interference."""
        names = list(self.atoms)
        f = form_factors(names, np.asarray(s) ** 2)
        total: np.ndarray = np.array([self.atoms[name] for name in names]) @ np.real(f) ** 2
        return total

    def bonds(self, s: Float[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
        """Σ 2 f f' sin(2πsr)/(2πsr) (e²): interference of atoms close by, averaged over angles."""
        names = list(self.atoms)
        f = dict(zip(names, np.real(form_factors(names, np.asarray(s) ** 2)), strict=True))
        total = np.zeros(len(s))
        for (one, other, distance), number in self.pairs.items():
            total += 2 * number * f[one] * f[other] * np.sinc(2 * np.asarray(s) * distance)
        return total

    def incoherent(
        self, s: Float[np.ndarray, " s"], *, wavelength: float | None = None
    ) -> Float[np.ndarray, " s"]:
        """Compton scattering (e²)."""
        return compton_of_cell(self.atoms, s, wavelength=wavelength)


def contents_of_sequence(
    sequence: str, crystal: Crystal, *, copies: float = 1.0, solvent: bool = True
) -> CellContents:
    """Contents of a cell from the one-letter sequence of a protein.

    Parameters
    ----------
    sequence
        One-letter codes; space is ignored, ``/`` separates chains.
    crystal
        The unit cell and space group.
    copies
        Of the sequence in an asymmetric unit.
    solvent
        Fill what is left of the cell with water.

    Raises
    ------
    InputError
        If a letter means no amino acid, or the protein does not fit in the cell.
    """
    chains = [chain for chain in "".join(sequence.split()).upper().split("/") if chain]
    contents = CellContents({}, {})
    for chain in chains:
        names = [_three_letters(letter) for letter in chain]
        contents = contents.plus(_chain(names), copies * crystal.n_operations)
    return _checked(contents, crystal, solvent)


def contents_of_structure(
    ensemble: Ensemble, *, crystal: Crystal | None = None, solvent: bool = True
) -> CellContents:
    """Contents of a cell from coordinates of its asymmetric unit.

    Residues count as their chemistry says, hydrogens included, whether these
    are in the coordinates or not; residues that the chemical dictionary does
    not know count as the atoms that are there.

    Parameters
    ----------
    ensemble
        The structure; its first member gives names and occupancies.
    crystal
        If the structure has none, or another one is meant.
    solvent
        Fill what is left of the cell with water, ordered waters included.

    Raises
    ------
    InputError
        If there is no crystal, or the molecules do not fit in it.
    """
    crystal = ensemble.crystal if crystal is None else crystal
    if crystal is None:
        raise InputError("the structure has no unit cell", fix="give the crystal")
    contents = CellContents({}, {})
    for names in _chains_of(ensemble):
        contents = contents.plus(_chain(names), crystal.n_operations)
    for name, number in _others_of(ensemble, keep_water=not solvent).items():
        contents = contents.plus(_molecule(name), number * crystal.n_operations)
    return _checked(contents, crystal, solvent)


def _checked(contents: CellContents, crystal: Crystal, solvent: bool) -> CellContents:
    mass = sum(n * gemmi.Element(name).weight for name, n in contents.atoms.items())
    left = crystal.volume - PROTEIN_VOLUME * mass
    if left < 0:
        raise InputError(
            "the molecules do not fit into the unit cell",
            found=f"{mass:.0f} Da in {crystal.volume:.0f} Å³",
            fix="check the copies in an asymmetric unit, the space group and the cell",
        )
    if not contents.atoms:
        raise InputError("the unit cell is empty", fix="give a sequence or a structure")
    return contents.plus(_molecule("HOH"), left * WATER_DENSITY) if solvent else contents


def _chain(names: Iterable[str]) -> CellContents:
    """Return a chain of amino acids, with its ends."""
    names = list(names)
    contents = CellContents({}, {})
    for name, number in Counter(names).items():
        contents = contents.plus(_molecule(name, linked=True), number)
    joined = CellContents({}, dict(Counter(_PEPTIDE)))
    ends = CellContents({"H": 2.0, "O": 1.0}, {})
    return contents.plus(joined, len(names) - 1).plus(ends)


@lru_cache(maxsize=256)
def _molecule(name: str, *, linked: bool = False) -> CellContents:
    """Return a molecule of the chemical dictionary, hydrogens included; D counts as H."""
    from biotite.structure.info import residue

    if name in ("HOH", "DOD", "WAT"):
        return CellContents({"O": 1.0, "H": 2.0}, {("O", "H", 0.957): 2.0, ("H", "H", 1.514): 1.0})
    found = residue(name)
    # Proline has no hydrogen on its nitrogen in a chain.
    lost = (*_LOST, "H") if name == "PRO" else _LOST
    kept = ~np.isin(found.atom_name, lost) if linked else np.ones(len(found), bool)
    elements = ["H" if e.upper() == "D" else e.capitalize() for e in found.element[kept]]
    coord = found.coord[kept]
    distance = np.linalg.norm(coord[:, None] - coord[None], axis=-1)
    pairs: Counter[Pair] = Counter()
    for i, j in zip(*np.nonzero(np.triu(distance < _REACH, 1)), strict=True):
        one, other = sorted((elements[i], elements[j]))
        pairs[one, other, round(float(distance[i, j]), 2)] += 1
    atoms = {element: float(n) for element, n in Counter(elements).items()}
    return CellContents(atoms, {pair: float(n) for pair, n in pairs.items()})


def _chains_of(ensemble: Ensemble) -> list[list[str]]:
    """Names of the amino acids of each chain."""
    chains: dict[str, list[str]] = {}
    for chain, name, _ in _residues(ensemble):
        if _is_amino_acid(name):
            chains.setdefault(chain, []).append(name)
    return list(chains.values())


def _others_of(ensemble: Ensemble, *, keep_water: bool) -> dict[str, float]:
    """Molecules that are no part of a protein chain, with their occupancy."""
    others: dict[str, float] = {}
    for _, name, occupancy in _residues(ensemble):
        if _is_amino_acid(name) or (name in ("HOH", "DOD", "WAT") and not keep_water):
            continue
        others[name] = others.get(name, 0.0) + occupancy
    return others


def _residues(ensemble: Ensemble) -> list[tuple[str, str, float]]:
    """Chain, name and occupancy of each residue, once where it has several conformers."""
    atoms = ensemble.atoms
    occupancy = np.broadcast_to(ensemble.occupancy, ensemble.coord.shape[:2])[0]
    seen: dict[tuple[str, int, str], tuple[str, float]] = {}
    for chain, number, code, name, share in zip(
        atoms.chain_id, atoms.res_id, atoms.ins_code, atoms.res_name, occupancy, strict=True
    ):
        place = (str(chain), int(number), str(code))
        seen.setdefault(place, (str(name), float(share)))
    return [(chain, name, share) for (chain, _, _), (name, share) in seen.items()]


def _is_amino_acid(name: str) -> bool:
    return bool(gemmi.find_tabulated_residue(name).is_amino_acid())


def _three_letters(letter: str) -> str:
    name = gemmi.expand_one_letter(letter, gemmi.ResidueKind.AA)
    if not name:
        raise InputError(
            "a letter of the sequence means no amino acid",
            found=repr(letter),
            fix="give one-letter codes of the 20 amino acids",
        )
    return str(name)


def _added(
    one: Mapping[_Key, float], other: Mapping[_Key, float], times: float
) -> dict[_Key, float]:
    total = dict(one)
    for key, number in other.items():
        total[key] = total.get(key, 0.0) + times * number
    return total
