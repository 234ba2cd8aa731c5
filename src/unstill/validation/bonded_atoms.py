"""Bonds of a structure with alternate locations: by name within residues, by distance between."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from unstill.chemistry.bonds import bonded_names
from unstill.chemistry.radii import are_metals, covalent_radii
from unstill.chemistry.residues import is_amino_acid, is_water
from unstill.ensembles import Ensemble
from unstill.shapes import Bool, Int
from unstill.validation.residue_conformers import altlocs_of, residue_numbers

_TOLERANCE = 0.3
"""Å beyond the sum of covalent radii."""
_REACH = 4.0


def bonded_atoms(ensemble: Ensemble) -> Int[np.ndarray, "m 2"]:
    """Find the bonds between atoms that can exist together.

    Within a residue, the Chemical Component Dictionary says which names are bonded; atoms
    that it does not know are bonded by distance. Between residues, atoms are bonded by
    distance where the link is one that residues make: C to N of amino acids, sulfur to
    sulfur, metals to anything that is not carbon or hydrogen, and whatever other components
    do. So atoms of amino acids that collide are not taken to be bonded.

    Parameters
    ----------
    ensemble
        Distances are those of the first member.

    Returns
    -------
    bonds
        ``(m, 2)``, the smaller index first.
    """
    coord = ensemble.coord[0].astype(float)
    first, second = cKDTree(coord).query_pairs(_REACH, output_type="ndarray").T
    together = can_coexist(altlocs_of(ensemble), first, second)
    first, second = first[together], second[together]
    number, element = residue_numbers(ensemble), ensemble.element
    names = np.asarray(ensemble.atoms.atom_name, dtype=str)
    residues = np.asarray(ensemble.atoms.res_name, dtype=str)
    apart = np.linalg.norm(coord[first] - coord[second], axis=1)
    radius = covalent_radii(element)
    near = apart < radius[first] + radius[second] + _TOLERANCE
    inside = number[first] == number[second]
    by_name, known = _by_name(residues, names, first, second, inside)
    hydrogen = np.isin(element, ["H", "D"])
    two_hydrogens = hydrogen[first] & hydrogen[second]
    linked = _may_link(residues, names, element, first, second)
    bonded = np.where(inside, np.where(known, by_name, near & ~two_hydrogens), near & linked)
    pairs = np.stack([first[bonded], second[bonded]], axis=1)
    return np.asarray(np.sort(pairs, axis=1))


def can_coexist(
    altloc: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Bool[np.ndarray, " n"]:
    """Tell which pairs are of one alternate location, or have an atom that has none."""
    a, b = altloc[first], altloc[second]
    return np.asarray((a == b) | (a == "") | (b == ""))


def _by_name(
    residues: np.ndarray,
    names: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    inside: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs within a residue: whether bonded by name, and whether the names are known."""
    bonded, known = np.zeros(len(first), dtype=bool), np.zeros(len(first), dtype=bool)
    for res_name in np.unique(residues).tolist():
        pairs = bonded_names(res_name)
        mine = np.flatnonzero(inside & (residues[first] == res_name))
        if not pairs or len(mine) == 0:
            continue
        there = np.unique([name for pair in pairs for name in pair])
        a, b = names[first[mine]], names[second[mine]]
        keys = np.where(
            a < b, np.char.add(np.char.add(a, " "), b), np.char.add(np.char.add(b, " "), a)
        )
        bonded[mine] = np.isin(keys, [" ".join(pair) for pair in sorted(pairs)])
        known[mine] = np.isin(a, there) & np.isin(b, there)
    return bonded, known


def _may_link(
    residues: np.ndarray,
    names: np.ndarray,
    element: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> np.ndarray:
    """Whether two atoms of different residues are of kinds that link."""
    unique = np.unique(residues).tolist()
    amino = np.isin(residues, [name for name in unique if is_amino_acid(name)])
    water = np.isin(residues, [name for name in unique if is_water(name)])
    metal = np.zeros(len(element), dtype=bool)
    kinds = np.unique(element)
    metal = np.isin(element, kinds[are_metals(kinds)])
    light = np.isin(element, ["C", "H", "D"])
    peptide = ((names[first] == "C") & (names[second] == "N")) | (
        (names[first] == "N") & (names[second] == "C")
    )
    sulfur = np.isin(element[first], ["S", "SE"]) & np.isin(element[second], ["S", "SE"])
    with_metal = (metal[first] & ~light[second]) | (metal[second] & ~light[first])
    hydrogen = np.isin(element, ["H", "D"])
    other = ~(amino[first] & amino[second]) & ~water[first] & ~water[second]
    other &= ~hydrogen[first] & ~hydrogen[second] & ~metal[first] & ~metal[second]
    return np.asarray(peptide | sulfur | with_metal | other)
