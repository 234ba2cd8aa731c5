"""Clashes: heavy atoms that overlap and are not bonded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.chemistry.radii import are_hydrogens, are_metals, vdw_radii
from unstill.ensembles.contacts.bonds import bond_lengths, shorter_than_bonds
from unstill.ensembles.contacts.links import two_bonds_apart
from unstill.ensembles.contacts.mates import mate_pairs
from unstill.ensembles.contacts.neighbours import near_pairs
from unstill.ensembles.contacts.sequence import residues_apart
from unstill.ensembles.multiconformer import Multiconformer
from unstill.errors import InputError
from unstill.shapes import Float, Int

OVERLAP = 0.6
"""Overlap of van der Waals spheres above which two heavy atoms clash (Å)."""


@dataclass(frozen=True)
class StateClash:
    """The worst clash between two states.

    Parameters
    ----------
    state_a, state_b
        Indices of the states, a ≤ b.
    row_a, row_b
        The two rows that overlap most.
    overlap, distance
        Of these, in Å.
    n
        Pairs of rows that clash between the two states.
    symmetry
        Operation that brings the second atom here; ``""`` for none.
    """

    state_a: int
    state_b: int
    row_a: int
    row_b: int
    overlap: float
    distance: float
    n: int
    symmetry: str = ""


@dataclass(frozen=True, eq=False)
class Clashes:
    """Pairs of rows that overlap.

    Parameters
    ----------
    row_a, row_b
        ``(n_clashes,)`` rows, a < b (a ≤ b with a mate); sorted, those without symmetry first.
    overlap
        ``(n_clashes,)`` sum of the van der Waals radii less the distance (Å).
    distance
        ``(n_clashes,)`` in Å.
    symmetry
        ``(n_clashes,)`` operation that brings the second atom here; ``""`` for the identity.
    """

    row_a: Int[np.ndarray, " n_clashes"]
    row_b: Int[np.ndarray, " n_clashes"]
    overlap: Float[np.ndarray, " n_clashes"]
    distance: Float[np.ndarray, " n_clashes"]
    symmetry: np.ndarray

    def __len__(self) -> int:
        return len(self.row_a)

    def take(self, chosen: np.ndarray) -> Clashes:
        """Return the chosen clashes (mask or indices)."""
        return Clashes(
            self.row_a[chosen],
            self.row_b[chosen],
            self.overlap[chosen],
            self.distance[chosen],
            self.symmetry[chosen],
        )

    @property
    def within_copy(self) -> Clashes:
        """Those of two atoms of one copy."""
        return self.take(self.symmetry == "")

    @property
    def between_mates(self) -> Clashes:
        """Those of an atom with one of another, symmetry-related copy."""
        return self.take(self.symmetry != "")

    def by_states(self, model: Multiconformer) -> list[StateClash]:
        """Return the worst row pair of every two states, the largest overlap first.

        Clashes within a copy and with each operation of symmetry are told apart.
        """
        groups: dict[tuple[int, int, str], list[int]] = {}
        first, second = model.state[self.row_a], model.state[self.row_b]
        low, high = np.minimum(first, second), np.maximum(first, second)
        keys = zip(low.tolist(), high.tolist(), self.symmetry.tolist(), strict=True)
        for number, key in enumerate(keys):
            groups.setdefault(key, []).append(number)
        found = [self._worst(key, members, model) for key, members in groups.items()]
        return sorted(found, key=lambda c: (-c.overlap, c.row_a, c.row_b, c.symmetry))

    def _worst(
        self, key: tuple[int, int, str], members: list[int], model: Multiconformer
    ) -> StateClash:
        worst = max(members, key=lambda number: self.overlap[number])
        rows = int(self.row_a[worst]), int(self.row_b[worst])
        if model.state[rows[0]] != key[0]:
            rows = rows[1], rows[0]
        overlap, distance = float(self.overlap[worst]), float(self.distance[worst])
        return StateClash(*key[:2], *rows, overlap, distance, len(members), key[2])


def find_clashes(
    model: Multiconformer,
    *,
    overlap: float = OVERLAP,
    symmetry: bool = False,
    observed: bool = False,
) -> Clashes:
    """Find heavy atoms that overlap and can be in one copy.

    Two rows clash if their van der Waals spheres (Bondi 1964,
    doi:10.1021/j100785a001) overlap by more than ``overlap``, their residues
    are more than one apart in the sequence of a chain or in different chains
    (waters are in no sequence), they are neither at the distance of a bond nor
    two bonds apart across a link (metal, disulfide, bound ligand), and their
    states can coexist.
    Donors and acceptors of hydrogen bonds have no radius of their own. A metal
    clashes with what is nearer than its bonds are.

    Parameters
    ----------
    model
        Any model; states need not be stated.
    overlap
        In Å.
    symmetry
        Look at mates through the symmetry of the crystal as well. A mate is of another copy:
        any two states may meet there.
    observed
        Where members are recorded: only pairs of one copy that are together in one.

    Raises
    ------
    InputError
        If an element has no radius, or mates are asked for and there is no crystal.
    """
    if symmetry and model.crystal is None:
        raise InputError(
            "clashes between symmetry mates need a unit cell",
            found="a model without crystal",
            fix="leave symmetry mates out, or give the model its cell and space group",
        )
    search = _Search(model, overlap)
    found = [_within(search, observed=observed)]
    if symmetry:
        found.append(_between(search))
    a, b, distance, text = (np.concatenate(column) for column in zip(*found, strict=True))
    return Clashes(a, b, search.overlaps(a, b, distance), distance, text)


class _Search:
    """Radii and elements of the rows, and the judgement of pairs."""

    def __init__(self, model: Multiconformer, overlap: float) -> None:
        self.model, self.overlap = model, overlap
        self.elements = np.asarray(model.sites.element, dtype=str)[model.site]
        self.radius = vdw_radii(self.elements)
        self.metal = are_metals(self.elements)
        self.rows = np.flatnonzero(~are_hydrogens(self.elements))
        # Metals clash below the length of their bonds only, which is within this, too.
        light = self.rows[~self.metal[self.rows]]
        self.reach = max(2 * float(self.radius[light].max(initial=0.0)) - overlap, 0.0)

    def overlaps(self, a: np.ndarray, b: np.ndarray, distance: np.ndarray) -> np.ndarray:
        return np.asarray(self.radius[a] + self.radius[b] - distance)

    def clash(self, a: np.ndarray, b: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Whether pairs overlap, neither bonded nor metal and neighbour."""
        too_near = self.overlaps(a, b, distance) > self.overlap
        too_near &= ~bond_lengths(self.elements, a, b, distance)
        metal = self.metal[a] | self.metal[b]
        too_near &= ~metal | shorter_than_bonds(self.elements, a, b, distance)
        return np.asarray(too_near, dtype=bool)


_Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _within(search: _Search, *, observed: bool) -> _Pairs:
    model = search.model
    found = [(_NO_ROWS, _NO_ROWS, np.zeros(0))]
    for a, b, distance in near_pairs(model, search.rows, search.reach, observed=observed):
        kept = np.flatnonzero(search.clash(a, b, distance))
        kept = kept[residues_apart(model, a[kept], b[kept]) > 1]
        found.append((a[kept], b[kept], distance[kept]))
    a, b, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    apart = ~two_bonds_apart(model, a, b)
    a, b, distance = a[apart], b[apart], distance[apart]
    order = np.lexsort((b, a))
    return a[order], b[order], distance[order], np.full(len(a), "", dtype="U1")


def _between(search: _Search) -> _Pairs:
    model = search.model
    assert model.crystal is not None
    found = [(_NO_ROWS, _NO_ROWS, np.zeros(0), np.zeros(0, dtype="U1"))]
    pairs = mate_pairs(model.crystal, model.coord, search.rows, search.reach)
    for a, b, distance, text in pairs:
        kept = search.clash(a, b, distance)
        found.append((a[kept], b[kept], distance[kept], text[kept]))
    a, b, distance, text = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((text, b, a))
    return a[order], b[order], distance[order], text[order]


_NO_ROWS = np.zeros(0, dtype=np.int64)
