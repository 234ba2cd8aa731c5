"""Alternatives that would clash in all but one way of putting them together."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from unstill.ensembles.contacts import find_clashes
from unstill.ensembles.hierarchy.consistency import EXCESS
from unstill.ensembles.hierarchy.joining import Joined
from unstill.ensembles.multiconformer import Multiconformer

Place = tuple[int, int]
"""Base and residue."""


def join_by_clashes(model: Multiconformer, joined: Joined) -> None:
    """Join a state to the only alternative of another residue that it does not clash with.

    Both residues must have one of their alternatives in every copy. Then copies
    in the state are in that one alternative, and if the occupancies are the
    same, the reverse holds as well: they are one state.
    """
    places: dict[Place, list[int]] = defaultdict(list)
    element = np.full(model.n_rows, -1)
    for number, part in enumerate(joined.elements):
        places[part.base, part.residue].append(number)
        element[part.rows] = number
    whole = {place for place, numbers in places.items() if _complete(model, joined, numbers)}
    clashes = find_clashes(model)
    apart = {
        pair
        for a, b in zip(
            element[clashes.row_a].tolist(), element[clashes.row_b].tolist(), strict=True
        )
        if a >= 0 and b >= 0
        for pair in ((a, b), (b, a))
    }
    for a, b in sorted(apart):
        here = joined.elements[a].base, joined.elements[a].residue
        there = joined.elements[b].base, joined.elements[b].residue
        if here == there or here not in whole or there not in whole:
            continue
        partners = [other for other in places[there] if (a, other) not in apart]
        if len(partners) == 1:
            joined.join(a, partners[0])


def _complete(model: Multiconformer, joined: Joined, numbers: list[int]) -> bool:
    """Whether every copy has exactly one of the elements of a residue."""
    elements = [joined.elements[number] for number in numbers]
    share = float(model.populations[elements[0].base])
    total = sum((element.low + element.high) / 2 for element in elements)
    position = model.position[model.site]
    common = set(position[elements[0].rows].tolist())
    for element in elements[1:]:
        common &= set(position[element.rows].tolist())
    return bool(common) and abs(total - share) <= EXCESS
