"""Side chains that have more states than their backbone: which state of it each hangs on."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from unstill.chemistry.radii import are_hydrogens
from unstill.ensembles.hierarchy.consistency import EXCESS, ROUNDING
from unstill.ensembles.hierarchy.elements import Element
from unstill.ensembles.hierarchy.joining import Joined
from unstill.ensembles.multiconformer import Multiconformer

ANCHOR = "CA"
BOND = (1.2, 2.0)
"""Å: every bond between heavy atoms of an amino acid lies between these (C-N to C-Se)."""


def nested_sets(model: Multiconformer, joined: Joined) -> dict[int, int]:
    """Which set of elements is a child of which other.

    A set of one residue without a CA hangs on an element of the residue that has
    the CA, if its atoms are bonded to no atom that all copies have. Where
    several are at bond length, its own label counts first, then the one whose
    occupancy is left for it.

    Returns
    -------
    dict
        Parent set of each set that has one; sets as ``Joined.of`` names them.
    """
    sets = joined.sets()
    by_residue: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, element in enumerate(joined.elements):
        by_residue[element.base, element.residue].append(number)
    left = {number: joined.occupancy(number) for number in sets}
    found: dict[int, int] = {}
    for place in sorted(by_residue, key=lambda place: by_residue[place][0]):
        backbone, loose = _told_apart(model, joined, sets, by_residue[place])
        for number in loose:
            parent = _parent(model, joined, number, backbone, left, found)
            if parent is not None:
                found[joined.of(number)] = joined.of(parent)
        for number in loose:
            # Exclusive children fill their parent once for each residue, not for all of them.
            left[joined.of(number)] = joined.occupancy(number)
        for number in backbone:
            left[joined.of(number)] = joined.occupancy(number)
    return found


def _told_apart(
    model: Multiconformer, joined: Joined, sets: dict[int, list[int]], numbers: list[int]
) -> tuple[list[int], list[int]]:
    """Elements of a residue with the CA, and sets of one element that could hang on it."""
    backbone, loose = [], []
    for number in numbers:
        names = model.sites.atom_name[model.site[joined.elements[number].rows]]
        if ANCHOR in names:
            backbone.append(number)
        elif len(sets[joined.of(number)]) == 1 and joined.elements[number].label:
            loose.append(number)
    # What has the label of a backbone state has the first claim on its occupancy.
    own = {joined.elements[number].label for number in backbone}
    return backbone, sorted(loose, key=lambda n: (joined.elements[n].label not in own, n))


def _parent(
    model: Multiconformer,
    joined: Joined,
    number: int,
    backbone: list[int],
    left: dict[int, float],
    found: dict[int, int],
) -> int | None:
    element, share = joined.elements[number], joined.occupancy(number)
    options = []
    for other in backbone:
        room = left[joined.of(other)] - share
        if room < -EXCESS or joined.occupancy(other) < share + ROUNDING:
            continue
        if _bonded(model, element, joined.elements[other]) and joined.of(other) not in found:
            same = joined.elements[other].label == element.label
            options.append((not same, abs(room) > EXCESS, room, other))
    if not options:
        return None
    chosen = min(options)[-1]
    left[joined.of(chosen)] -= share
    return chosen


def _bonded(model: Multiconformer, a: Element, b: Element) -> bool:
    """Whether an atom of one is at bond length of one of the other that it does not hold."""
    elements = model.sites.element[model.site]
    ours = a.rows[~are_hydrogens(elements[a.rows])]
    theirs = b.rows[~are_hydrogens(elements[b.rows])]
    theirs = theirs[~np.isin(model.site[theirs], model.site[ours])]
    distance = np.linalg.norm(model.coord[ours][:, None] - model.coord[theirs][None], axis=-1)
    return bool(((distance > BOND[0]) & (distance < BOND[1])).any())
