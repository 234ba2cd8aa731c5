"""Which of the contacts at the distance of a bond are bonds, whatever the states."""

from __future__ import annotations

import numpy as np

from unstill.chemistry.bonds import bonded_names
from unstill.chemistry.radii import are_metals
from unstill.chemistry.residues import is_amino_acid, is_nucleotide, is_water
from unstill.ensembles.contacts.sequence import residues_apart
from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.model import numbered
from unstill.shapes import Bool, Int

_LINKS = {("C", "N"), ("O3'", "P"), ("O3*", "P")}
"""Atom of a residue, and atom of the next one to which it is bonded."""


def known_bonds(
    model: Multiconformer, a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Whether rows at the distance of a bond are bonded for sure: in a residue, along a chain.

    In a residue the Chemical Component Dictionary decides; atoms that it does not
    know are bonded if some two rows of theirs are so in one copy, whichever
    it is. Residues are joined by C–N and O3'–P. Alternatives that come as near to each
    other as bonds are none, and no bond of a metal is certain.

    Parameters
    ----------
    a, b
        ``(n,)`` rows at the distance of a bond.
    """
    apart = residues_apart(model, a, b)
    names = np.asarray(model.sites.atom_name, dtype=str)[model.site]
    residues = np.asarray(model.sites.res_name, dtype=str)[model.site]
    metal = are_metals(np.asarray(model.sites.element, dtype=str))[model.site]
    found = np.zeros(len(a), dtype=bool)
    inside = (apart == 0) & (residues[a] == residues[b])
    asked, inverse = np.unique(
        np.stack([residues[a], names[a], names[b]], axis=1)[inside], axis=0, return_inverse=True
    )
    answers = np.array([_in_dictionary(*map(str, pair)) for pair in asked], dtype=int)
    told = np.zeros(len(a), dtype=int)
    told[inside] = answers[inverse.reshape(-1)] if len(answers) else 0
    found |= told == 1
    found |= (told == -1) & _bonded_on_a_line(model, a, b)
    linked = {name: is_amino_acid(name) or is_nucleotide(name) for name in np.unique(residues)}
    number = np.asarray(model.sites.res_id, dtype=np.int64)[model.site]
    residue = model.residue[model.site]
    for pair in np.flatnonzero(apart == 1).tolist():
        one, other = sorted((int(a[pair]), int(b[pair])), key=lambda r: (number[r], residue[r]))
        chain = linked[residues[one]] and linked[residues[other]]
        found[pair] = chain and (str(names[one]), str(names[other])) in _LINKS
    return np.asarray(found & ~metal[a] & ~metal[b], dtype=bool)


def likely_links(
    model: Multiconformer, a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Whether rows at the distance of a bond may well be linked: disulfides, bound ligands.

    A clash may look the same, so nothing certain follows.
    """
    names, inverse = np.unique(np.asarray(model.sites.res_name, dtype=str), return_inverse=True)
    water = np.array([is_water(name) for name in names], dtype=bool)[inverse.reshape(-1)]
    other = np.array([not is_amino_acid(n) for n in names], dtype=bool)[inverse.reshape(-1)]
    elements = np.char.upper(np.asarray(model.sites.element, dtype=str))
    metal, hydrogen = are_metals(elements), np.isin(elements, ["H", "D"])
    one, two = model.site[a], model.site[b]
    sulfur = np.isin(elements[one], ["S", "SE"]) & np.isin(elements[two], ["S", "SE"])
    ligand = (other[one] | other[two]) & ~water[one] & ~water[two]
    plain = ~(metal | hydrogen)
    far = residues_apart(model, a, b) > 0
    return np.asarray(far & (sulfur | ligand) & plain[one] & plain[two], dtype=bool)


def _in_dictionary(residue: str, name: str, other: str) -> int:
    """1: bonded, 0: not, −1: the dictionary does not know the atoms."""
    pairs = bonded_names(residue)
    if (min(name, other), max(name, other)) in pairs:
        return 1
    known = {atom for pair in pairs for atom in pair}
    return 0 if name in known and other in known else -1


def _bonded_on_a_line(model: Multiconformer, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether the two atoms are at this distance in states of which one implies the other."""
    closure = model.tree.closure
    sa, sb = model.state[a], model.state[b]
    on_line = closure[sa, sb] | closure[sb, sa]
    one, two = model.site[a], model.site[b]
    key = numbered(np.minimum(one, two), np.maximum(one, two))
    held = np.zeros(int(key.max(initial=-1)) + 1, dtype=bool)
    held[key[on_line]] = True
    return np.asarray(held[key], dtype=bool)
