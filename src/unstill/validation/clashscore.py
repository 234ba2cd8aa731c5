r"""All-atom clashscore: overlaps of 0.4 Å or more, per thousand atoms.

.. math:: \text{clashscore} = 1000\, \#\{(i,j): r_i + r_j - d_{ij} \ge 0.4\} / n

(Chen et al., 2010, https://doi.org/10.1107/S0907444909042073; contacts as of Word et al.,
1999, https://doi.org/10.1006/jmbi.1998.2400.) Pairs that three bonds or fewer part (four if
one is a hydrogen) do not count, nor do atoms of different alternate locations. Pairs that can
hydrogen-bond, polar hydrogens with acceptors and N or O with each other, count from
0.6 Å. Waters may clash with others, but not with each other, and are not among the n. As in
MolProbity, atoms of 10 % occupancy or less are left out, and so are mates by symmetry.

Radii are those of MolProbity for hydrogens at the centre of their electron clouds (H 1.22, on
N, O, S or an aromatic ring 1.05, C 1.70, N 1.55, O 1.40, S and P 1.80, Se 1.90 Å; metals as
Pauling's ions are not told from covalent bonds and never clash). A clash here is measured
between centres; MolProbity rolls dots, and turns hydroxyls, amides and histidines first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.spatial import cKDTree

from unstill.chemistry.radii import are_metals, vdw_radii
from unstill.chemistry.residues import is_water
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.shapes import Bool, Float, Int
from unstill.validation.bonded_atoms import bonded_atoms, can_coexist
from unstill.validation.residue_conformers import altlocs_of, residue_numbers
from unstill.validation.riding_hydrogens import AROMATIC_CARBONS

OVERLAP = 0.4
"""Å of overlap from which contacts are clashes."""
HYDROGEN_BOND_OVERLAP = 0.6
"""The same for pairs that can hydrogen-bond."""
_LEAST_OCCUPANCY = 0.1
_RADII = {"C": 1.70, "N": 1.55, "O": 1.40, "P": 1.80, "S": 1.80, "SE": 1.90}
_HYDROGEN, _SMALL_HYDROGEN = 1.22, 1.05


@dataclass(frozen=True, eq=False)
class Clashes:
    """Clashes in each member.

    Parameters
    ----------
    score
        ``(n_members,)`` clashes per thousand atoms that are not water.
    pairs
        For each member, ``(n_clashes, 2)`` atoms, the worst clash first.
    overlap
        For each member, ``(n_clashes,)`` Å.
    n_atoms
        Atoms that are not water and have occupancy, of the first member.
    """

    score: Float[np.ndarray, " n_members"]
    pairs: tuple[Int[np.ndarray, "n_clashes 2"], ...]
    overlap: tuple[Float[np.ndarray, " n_clashes"], ...]
    n_atoms: int


def find_clashes(ensemble: Ensemble) -> Clashes:
    """Find steric clashes among all atoms of each member, hydrogens included.

    Parameters
    ----------
    ensemble
        With hydrogens (:func:`unstill.validation.riding_hydrogens.add_riding_hydrogens`);
        without them far fewer clashes are seen. Bonds are those of the first member.

    Raises
    ------
    InputError
        If nothing but water has occupancy, or a radius is not known.
    """
    residues = np.unique(np.asarray(ensemble.atoms.res_name, dtype=str)).tolist()
    water = np.isin(ensemble.atoms.res_name, [name for name in residues if is_water(name)])
    bonds = bonded_atoms(ensemble)
    pairs_of = _Pairs(ensemble, bonds, water)
    occupancy = np.broadcast_to(ensemble.occupancy, ensemble.coord.shape[:2])
    there = occupancy > _LEAST_OCCUPANCY
    counted = (there & ~water).sum(axis=1)
    if (counted == 0).any():
        raise InputError(
            "there is nothing that could clash",
            found=f"{ensemble.n_atoms} atoms, none with occupancy but water",
            fix="give a model with occupied atoms",
        )
    found = [
        pairs_of.clashing(coord.astype(float), there[member])
        for member, coord in enumerate(ensemble.coord)
    ]
    return Clashes(
        np.array([1000 * len(overlap) for _, overlap in found]) / counted,
        tuple(pairs for pairs, _ in found),
        tuple(overlap for _, overlap in found),
        int(counted[0]),
    )


def contact_radii(
    ensemble: Ensemble,
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return radii (Å), who accepts hydrogen bonds, and which hydrogens give them.

    Parameters
    ----------
    ensemble
        With hydrogens; ``(n_atoms,)`` each.
    """
    hydrogen = np.isin(ensemble.element, ["H", "D"])
    on_polar, on_aromatic = _kinds_of_hydrogen(ensemble, bonded_atoms(ensemble), hydrogen)
    radius = _radii(ensemble.element, on_polar | on_aromatic)
    return radius, np.isin(ensemble.element, ["N", "O", "S"]), on_polar


class _Pairs:
    """What is the same in all members: radii, bonds, alternate locations, who may H-bond."""

    def __init__(self, ensemble: Ensemble, bonds: np.ndarray, water: np.ndarray) -> None:
        self.element = ensemble.element
        self.hydrogen = np.isin(self.element, ["H", "D"])
        self.water = water
        self.altloc = altlocs_of(ensemble)
        self.residue = residue_numbers(ensemble)
        on_polar, on_aromatic = _kinds_of_hydrogen(ensemble, bonds, self.hydrogen)
        self.radius = _radii(self.element, on_polar | on_aromatic)
        kinds = np.unique(self.element)
        self.metal = np.isin(self.element, kinds[are_metals(kinds)])
        self.acceptor = np.isin(self.element, ["N", "O", "S"])
        self.polar_hydrogen = on_polar
        self.within_three, self.within_four = _near_by_bonds(bonds, ensemble.n_atoms)

    def clashing(self, coord: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = np.flatnonzero(there & ~self.metal)
        reach = 2 * float(self.radius[places].max(initial=0.0)) - OVERLAP
        near = places[cKDTree(coord[places]).query_pairs(reach, output_type="ndarray")]
        first, second = near.T
        apart = np.linalg.norm(coord[first] - coord[second], axis=1)
        overlap = self.radius[first] + self.radius[second] - apart
        kept = overlap >= np.where(self._may_bond(first, second), HYDROGEN_BOND_OVERLAP, OVERLAP)
        kept &= can_coexist(self.altloc, first, second)
        kept &= ~(self.water[first] & self.water[second])
        first, second, overlap = first[kept], second[kept], overlap[kept]
        with_hydrogen = self.hydrogen[first] | self.hydrogen[second]
        bonded = np.where(
            with_hydrogen,
            _is_in(self.within_four, first, second),
            _is_in(self.within_three, first, second),
        )
        order = np.argsort(-overlap[~bonded], kind="stable")
        pairs = np.sort(np.stack([first[~bonded], second[~bonded]], axis=1), axis=1)
        return pairs[order], overlap[~bonded][order]

    def _may_bond(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        one = self.polar_hydrogen[first] & self.acceptor[second]
        other = self.polar_hydrogen[second] & self.acceptor[first]
        # Hydrogens that are not there (of waters, hydroxyls) may be between two such atoms.
        return np.asarray(one | other | (self.acceptor[first] & self.acceptor[second]))


def _kinds_of_hydrogen(
    ensemble: Ensemble, bonds: np.ndarray, hydrogen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which hydrogens are on N, O or S, and which on an aromatic carbon."""
    polar, aromatic = np.zeros(len(hydrogen), dtype=bool), np.zeros(len(hydrogen), dtype=bool)
    names = np.char.add(
        np.char.add(np.asarray(ensemble.atoms.res_name, dtype=str), " "),
        np.asarray(ensemble.atoms.atom_name, dtype=str),
    )
    ring = np.isin(names, [" ".join(pair) for pair in sorted(AROMATIC_CARBONS)])
    hetero = np.isin(ensemble.element, ["N", "O", "S"])
    both = np.concatenate([bonds, bonds[:, ::-1]])
    child, parent = both[hydrogen[both[:, 0]]].T
    polar[child], aromatic[child] = hetero[parent], ring[parent]
    return polar, aromatic


def _radii(element: np.ndarray, small: np.ndarray) -> np.ndarray:
    radius = vdw_radii(element)
    for symbol, value in _RADII.items():
        radius[element == symbol] = value
    hydrogen = np.isin(element, ["H", "D"])
    return np.where(hydrogen, np.where(small, _SMALL_HYDROGEN, _HYDROGEN), radius)


def _near_by_bonds(
    bonds: np.ndarray, n_atoms: int
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """Which atoms at most three, and at most four bonds part."""
    both = np.concatenate([bonds, bonds[:, ::-1]])
    ones = np.ones(len(both) + n_atoms)
    rows = np.concatenate([both[:, 0], np.arange(n_atoms)])
    columns = np.concatenate([both[:, 1], np.arange(n_atoms)])
    step = scipy.sparse.csr_array((ones, (rows, columns)), shape=(n_atoms, n_atoms))
    three = step @ step @ step
    return three, three @ step


def _is_in(matrix: scipy.sparse.csr_array, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if len(first) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(matrix[first, second]).reshape(-1) > 0
