"""Bonds: pairs of rows at the distance of a covalent bond, or of metal and ligand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.chemistry.radii import are_hydrogens, are_metals, covalent_radii
from unstill.ensembles.contacts.neighbours import near_pairs
from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Bool, Float, Int

TOLERANCE = 0.45
"""What a bond may be longer than the covalent radii of its atoms (Å)."""

SHORTEST = 0.6
"""What a bond is long at least, in units of the covalent radii of its atoms."""


@dataclass(frozen=True, eq=False)
class Bonds:
    """Bonded pairs of rows.

    Parameters
    ----------
    row_a, row_b
        ``(n_bonds,)`` rows, a < b, sorted.
    length
        ``(n_bonds,)`` in Å.
    """

    row_a: Int[np.ndarray, " n_bonds"]
    row_b: Int[np.ndarray, " n_bonds"]
    length: Float[np.ndarray, " n_bonds"]

    def __len__(self) -> int:
        return len(self.row_a)


def find_bonds(model: Multiconformer, *, observed: bool = False) -> Bonds:
    """Find the bonds between rows that can be in one copy.

    Two atoms are bonded if their distance is between 0.6 (R_a + R_b) and
    R_a + R_b + 0.45 Å, with the covalent radii of Cordero et al. (2008),
    doi:10.1039/b801115j. Metals count like any other element, so their
    coordination is bonds too. Hydrogens bond to heavy atoms only.

    Parameters
    ----------
    model
        Any model; states need not be stated.
    observed
        Where members are recorded: only pairs that are together in one.

    Returns
    -------
    Bonds
        Every pair once. A site in several states has a bond from each of its rows.
    """
    elements = np.asarray(model.sites.element, dtype=str)[model.site]
    radius = covalent_radii(elements)
    metal = are_metals(elements)
    kinds = [np.flatnonzero(~metal)]
    if metal.any():
        kinds.append(np.arange(model.n_rows))
    found = []
    for number, rows in enumerate(kinds):
        if not len(rows):
            continue
        reach = _reach(radius[rows], metal[rows])
        for a, b, distance in near_pairs(model, rows, reach, observed=observed):
            kept = bond_lengths(elements, a, b, distance)
            # The second round is for metals alone, whose bonds are long.
            kept &= (metal[a] | metal[b]) if number else ~(metal[a] | metal[b])
            found.append((a[kept], b[kept], distance[kept]))
    return _sorted(found)


def bond_lengths(
    elements: np.ndarray,
    a: Int[np.ndarray, " n"],
    b: Int[np.ndarray, " n"],
    distance: Float[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Whether each pair of rows is at the distance of a bond."""
    radius = covalent_radii(elements)
    hydrogen = are_hydrogens(elements)
    total = radius[a] + radius[b]
    inside = (distance >= SHORTEST * total) & (distance <= total + TOLERANCE)
    return np.asarray(inside & ~(hydrogen[a] & hydrogen[b]), dtype=bool)


def shorter_than_bonds(
    elements: np.ndarray,
    a: Int[np.ndarray, " n"],
    b: Int[np.ndarray, " n"],
    distance: Float[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Whether two rows are nearer than any bond between them."""
    radius = covalent_radii(elements)
    return np.asarray(distance < SHORTEST * (radius[a] + radius[b]), dtype=bool)


def _reach(radius: np.ndarray, metal: np.ndarray) -> float:
    largest = float(radius.max())
    other = float(radius[~metal].max(initial=0.0)) if metal.any() else largest
    two_metals = largest if metal.sum() > 1 else other
    return largest + max(other, two_metals) + TOLERANCE


def _sorted(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Bonds:
    if not found:
        none = np.zeros(0, dtype=np.int64)
        return Bonds(none, none, np.zeros(0))
    a, b, length = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((b, a))
    return Bonds(a[order], b[order], length[order])
