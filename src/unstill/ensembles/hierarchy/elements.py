"""The smallest pieces of a tree: atoms of one residue with one altloc and one occupancy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unstill.chemistry.residues import is_amino_acid, is_nucleotide, is_water
from unstill.ensembles.hierarchy.consistency import EXCESS, ROUNDING
from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.model import numbered
from unstill.shapes import Bool, Int


@dataclass(frozen=True, eq=False)
class Element:
    """Atoms that are in one state for certain.

    Parameters
    ----------
    rows
        Indices of their rows, ascending.
    base
        Index of the state below which they are: the root, or a model of the file.
    residue
        Number of the residue, as in ``Multiconformer.residue``.
    label
        Altloc; ``""`` for a partial group without one.
    low, high
        Lowest and highest occupancy of the atoms.
    told
        Whether occupancies tell it apart from others; not so where they differ from atom to
        atom and add up to more than they can.
    kind
        ``polymer``, ``water`` or ``ligand``.
    """

    rows: Int[np.ndarray, " n"]
    base: int
    residue: int
    label: str
    low: float
    high: float
    told: bool
    kind: str


def elements_of(model: Multiconformer) -> tuple[Element, ...]:
    """Take a model without a stated tree to pieces.

    Atoms without altloc that every copy of their model has are in none. The same
    altloc of one residue makes two elements where its occupancies differ by more
    than rounding (0.005), unless the occupancies of the residue add up to more
    than they can (by more than 0.02): then they say nothing, and one element it is.

    Returns
    -------
    tuple of Element
        In the order of their first row.
    """
    base = _bases(model)
    share = model.occupancy / np.maximum(model.populations[base], 1e-12)
    label = np.asarray(model.altloc_id, dtype=str)
    loose = np.flatnonzero((label != "") | (share < 1 - ROUNDING))
    key = numbered(
        base[loose],
        model.residue[model.site[loose]],
        model.sites.res_name[model.site[loose]],
        label[loose],
    )
    overfull = _overfull(model, base, share)
    order = np.argsort(key, kind="stable")
    found = []
    for rows in np.split(loose[order], np.flatnonzero(np.diff(key[order])) + 1):
        if not len(rows):
            continue
        first = int(rows[0])
        whole = bool(overfull[rows].any()) and label[first] != ""
        for part in [rows] if whole else _levels(rows, model.occupancy[rows]):
            occupancy = model.occupancy[part]
            told = not whole or float(np.ptp(occupancy)) <= ROUNDING + 1e-9
            if not told:
                occupancy = np.median(occupancy, keepdims=True)
            found.append(
                Element(
                    part,
                    int(base[first]),
                    int(model.residue[model.site[first]]),
                    str(label[first]),
                    float(occupancy.min()),
                    float(occupancy.max()),
                    told,
                    _kind(str(model.sites.res_name[model.site[first]])),
                )
            )
    return tuple(sorted(found, key=lambda element: int(element.rows[0])))


def is_base(state_id: str) -> bool:
    """Whether a state read off a file is the root or a model, rather than an altloc."""
    return "/" not in state_id


def _bases(model: Multiconformer) -> Int[np.ndarray, " n_rows"]:
    tree = model.tree
    own = np.array([is_base(state.id) for state in tree.states])
    above = np.where(own, np.arange(len(own)), tree.parent)
    return np.asarray(above[model.state])


def _overfull(
    model: Multiconformer, base: np.ndarray, share: np.ndarray
) -> Bool[np.ndarray, " n_rows"]:
    """Rows of residues some atom of which is there more than once, all its places together."""
    place = numbered(base, model.position[model.site])
    residue = numbered(base, model.residue[model.site])
    total = np.bincount(place, weights=share)
    bad = np.bincount(residue, weights=total[place] > 1 + EXCESS) > 0
    return np.asarray(bad[residue])


def _levels(rows: np.ndarray, occupancy: np.ndarray) -> Iterator[np.ndarray]:
    """Rows by occupancy, those within rounding of the lowest together."""
    left = np.ones(len(rows), dtype=bool)
    while left.any():
        near = left & (occupancy <= occupancy[left].min() + ROUNDING + 1e-9)
        yield rows[near]
        left &= ~near


def _kind(res_name: str) -> str:
    if is_water(res_name):
        return "water"
    return "polymer" if is_amino_acid(res_name) or is_nucleotide(res_name) else "ligand"
