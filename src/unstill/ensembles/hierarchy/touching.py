"""Ligands and waters that belong to a state: by what they touch, labels and occupancies."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.spatial import cKDTree

from unstill.chemistry.radii import are_hydrogens
from unstill.ensembles.hierarchy.elements import Element
from unstill.ensembles.hierarchy.joining import Joined
from unstill.ensembles.multiconformer import Multiconformer

TOUCH = {"ligand": 4.0, "water": 3.5}
"""Å between heavy atoms of a ligand and what it rests on, and of a water and its partner in a
hydrogen bond."""

Place = tuple[int, int]
"""Base and residue of elements that are alternatives of each other."""


def join_touching(model: Multiconformer, joined: Joined) -> None:
    """Join ligands and waters to the states that they touch.

    A ligand joins all elements of its label and occupancy that it touches: a bound
    state is the ligand and what moved for it. A water joins its nearest residue
    all of whose alternatives match its own, for a water that matches in part
    would tie together what is not.
    """
    places: dict[Place, list[int]] = defaultdict(list)
    for number, element in enumerate(joined.elements):
        if element.label:
            places[element.base, element.residue].append(number)
    near = _neighbours(model, joined.elements)
    for kind in ("ligand", "water"):
        for place in sorted(places, key=lambda place: places[place][0]):
            if joined.elements[places[place][0]].kind == kind:
                _join_place(joined, places, near, place, kind)


def _join_place(
    joined: Joined,
    places: dict[Place, list[int]],
    near: dict[int, dict[int, float]],
    place: Place,
    kind: str,
) -> None:
    ranked: dict[Place, float] = {}
    for number in places[place]:
        for b, distance in near[number].items():
            other = joined.elements[b]
            if distance <= TOUCH[kind]:
                there = (other.base, other.residue)
                ranked[there] = min(distance, ranked.get(there, np.inf))
    for there in sorted(ranked, key=lambda there: (ranked[there], there)):
        pairs = _matches(joined, places[place], places[there])
        if kind == "ligand":
            for a, b in pairs:
                joined.join(a, b)
        elif len(pairs) == len(places[place]):
            for a, b in pairs:
                joined.join(a, b)
            return


def _matches(joined: Joined, ours: list[int], theirs: list[int]) -> list[tuple[int, int]]:
    """Pairs of the same label that may be one state."""
    return [
        (a, b)
        for a in ours
        for b in theirs
        if joined.elements[a].label == joined.elements[b].label and joined.fits(a, b)
    ]


def _neighbours(
    model: Multiconformer, elements: tuple[Element, ...]
) -> dict[int, dict[int, float]]:
    """Smallest distance between elements of the same label, from ligands and waters to all."""
    element = np.full(model.n_rows, -1)
    for number, part in enumerate(elements):
        if part.label:
            element[part.rows] = number
    heavy = (element >= 0) & ~are_hydrogens(model.sites.element[model.site])
    loose = heavy & np.array(
        [number >= 0 and elements[number].kind != "polymer" for number in element.tolist()],
        dtype=bool,
    )
    ours, all_rows = np.flatnonzero(loose), np.flatnonzero(heavy)
    found: dict[int, dict[int, float]] = defaultdict(dict)
    if not len(ours):
        return found
    pairs = cKDTree(model.coord[ours]).sparse_distance_matrix(
        cKDTree(model.coord[all_rows]), max(TOUCH.values()), output_type="coo_matrix"
    )
    for row, column, distance in zip(pairs.row, pairs.col, pairs.data, strict=True):
        a, b = int(element[ours[row]]), int(element[all_rows[column]])
        if elements[a].residue != elements[b].residue and elements[a].label == elements[b].label:
            found[a][b] = min(float(distance), found[a].get(b, np.inf))
    return found
