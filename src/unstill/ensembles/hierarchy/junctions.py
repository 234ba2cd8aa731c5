"""Which states of neighbouring residues belong together: by bonds, labels and occupancies."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from unstill.chemistry.radii import are_hydrogens
from unstill.ensembles.hierarchy.elements import Element
from unstill.ensembles.hierarchy.joining import Joined
from unstill.ensembles.multiconformer import Multiconformer

LINKS = (("C", "N", 1.33), ("O3'", "P", 1.60), ("SG", "SG", 2.05))
"""Atoms that join residues, and the length of their bond (Å): Engh & Huber (2001), International
Tables F 18.3; Gelbin et al. (1996), J. Am. Chem. Soc. 118, 519."""

OXYGEN = 2.25
"""Å between O of a residue and N of the next; both are bonded to C, where C is not split."""

AT_BOND_LENGTH = 0.15
"""Å off the ideal length that a bond between atoms of different label may be, to count."""

BROKEN = 0.3
"""Å off the ideal length from which two atoms of the same label are no longer bonded."""

REACH = 0.7
"""Å beyond the ideal length up to which two atoms are neighbours in a chain at all."""


@dataclass(frozen=True)
class _Pair:
    """Two elements that meet at a link, and how far off its length is there (Å)."""

    a: int
    b: int
    off: float


def join_neighbours(model: Multiconformer, joined: Joined) -> None:
    """Join elements across peptide, nucleotide and disulfide bonds.

    The same label is joined where occupancies agree and the bond is whole; O stands
    for C where only O has altlocs.
    Different labels are joined where the bond is at its length, occupancies agree,
    and the same label finds no whole bond across. Where all bonds are broken, the
    labels decide.
    """
    _join_amide_hydrogens(model, joined)
    for pairs in _links(model, joined.elements):
        _join_link(joined, pairs)


def _join_link(joined: Joined, pairs: list[_Pair]) -> None:
    label = [element.label for element in joined.elements]
    same = [pair for pair in pairs if label[pair.a] == label[pair.b]]
    whole = [pair for pair in same if pair.off <= BROKEN]
    for pair in sorted(whole, key=lambda pair: (pair.off, pair.a, pair.b)):
        joined.join(pair.a, pair.b)
    settled = {number for pair in whole for number in (pair.a, pair.b)}
    crossed = [
        pair
        for pair in pairs
        if pair.off <= AT_BOND_LENGTH
        and label[pair.a] != label[pair.b]
        and label[pair.a]
        and label[pair.b]
        and not settled & {pair.a, pair.b}
    ]
    for pair in sorted(crossed, key=lambda pair: (pair.off, pair.a, pair.b)):
        if not settled & {pair.a, pair.b} and joined.join(pair.a, pair.b):
            settled |= {pair.a, pair.b}
    for pair in same:
        if not settled & {pair.a, pair.b}:
            joined.join(pair.a, pair.b)


def _links(model: Multiconformer, elements: tuple[Element, ...]) -> list[list[_Pair]]:
    """Pairs of elements that meet at a link, one list for each two residues."""
    element = np.full(model.n_rows, -1)
    for number, part in enumerate(elements):
        element[part.rows] = number
    name = np.asarray(model.sites.atom_name, dtype=str)[model.site]
    residue = model.residue[model.site]
    found: dict[tuple[int, int], dict[tuple[int, int], float]] = defaultdict(dict)
    for first, second, length in LINKS:
        left = np.flatnonzero((name == first) & (element >= 0))
        right = np.flatnonzero((name == second) & (element >= 0))
        for a, b, distance in _near(model.coord, left, right, length + REACH):
            if residue[a] == residue[b] or (first == second and a > b):
                continue
            pair = (int(element[a]), int(element[b]))
            links = found[int(residue[a]), int(residue[b])]
            links[pair] = min(abs(distance - length), links.get(pair, np.inf))
    for a, b, distance in _oxygen_pairs(model, name, element):
        pair = (int(element[a]), int(element[b]))
        if residue[a] != residue[b] and elements[pair[0]].label == elements[pair[1]].label:
            links = found[int(residue[a]), int(residue[b])]
            links[pair] = min(abs(distance - OXYGEN), links.get(pair, np.inf))
    return [
        [_Pair(a, b, off) for (a, b), off in sorted(links.items())]
        for _, links in sorted(found.items())
    ]


def _oxygen_pairs(
    model: Multiconformer, name: np.ndarray, element: np.ndarray
) -> list[tuple[int, int, float]]:
    """O of elements without C, and N no farther than a hydrogen bond would be."""
    with_carbon = np.unique(element[name == "C"])
    left = np.flatnonzero((name == "O") & (element >= 0) & ~np.isin(element, with_carbon))
    right = np.flatnonzero((name == "N") & (element >= 0))
    return _near(model.coord, left, right, OXYGEN + BROKEN)


def _near(
    coord: np.ndarray, left: np.ndarray, right: np.ndarray, reach: float
) -> list[tuple[int, int, float]]:
    if not len(left) or not len(right):
        return []
    near = cKDTree(coord[left]).sparse_distance_matrix(
        cKDTree(coord[right]), reach, output_type="coo_matrix"
    )
    order = np.lexsort((near.col, near.row))
    return list(
        zip(
            left[near.row[order]].tolist(),
            right[near.col[order]].tolist(),
            near.data[order].tolist(),
            strict=True,
        )
    )


def _join_amide_hydrogens(model: Multiconformer, joined: Joined) -> None:
    """Join a lone H of N to the residue before, whose C decides where it is."""
    element = model.sites.element[model.site]
    hydrogen = are_hydrogens(element)
    name = np.asarray(model.sites.atom_name, dtype=str)[model.site]
    carbons: dict[tuple[int, str], list[tuple[int, np.ndarray]]] = defaultdict(list)
    for number, part in enumerate(joined.elements):
        rows = part.rows[name[part.rows] == "C"]
        if len(rows):
            carbons[part.base, part.label].append((number, model.coord[rows[0]]))
    for number, part in enumerate(joined.elements):
        amide = part.rows[np.isin(name[part.rows], ["H", "D", "HN"])]
        if not hydrogen[part.rows].all() or not len(amide) or not part.label:
            continue
        for other, place in carbons[part.base, part.label]:
            # H and C of a peptide are 2.0 to 2.1 Å apart; both are bonded to N.
            if (
                joined.elements[other].residue != part.residue
                and np.linalg.norm(place - model.coord[amide[0]]) < 2.6
            ):
                joined.join(number, other)
