r"""Soft repulsion of atoms that move from those around them, mates by symmetry among them.

.. math:: E = \sum_{ij} \frac{\max(0,\ r_i + r_j - o_{ij} - d_{ij})^2}{2 s^2}

over pairs that more than three bonds part, in kT. The overlap o that is free is 0.4 Å, and
0.6 Å between N, O and S, which may share a hydrogen: where
:mod:`unstill.validation.clashscore` begins to count. Waters do not repel: they make way.
Mates stand where they stood when the round began.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from unstill.chemistry.radii import vdw_radii
from unstill.compiled import kernel
from unstill.crystal import Crystal
from unstill.crystal.supercell import symmetry_operations
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.shapes import Coord, Coords
from unstill.validation.clashscore import HYDROGEN_BOND_OVERLAP, OVERLAP

STEEPNESS = 0.12
"""Å: an overlap of so much beyond what is free costs half a kT."""
_MATES_WITHIN = 9.0
_ROOM = 8.0


class Contacts(NamedTuple):
    """Atoms of every member in cells, so that neighbours are found where they are now.

    ``places`` ``(n_members, n_atoms + n_mates, 3)`` Å; ``source`` the atom that each is a copy
    of; ``head`` first atom of every cell, ``following`` the next of the same cell, −1 at the
    end; ``origin``, ``cell`` (Å) and ``counts`` of the cells; ``radius``, ``polar`` of atoms;
    ``start``, ``excluded`` who does not repel; ``factor`` 1/2s² (kT/Å²).
    """

    places: np.ndarray
    source: np.ndarray
    head: np.ndarray
    following: np.ndarray
    origin: np.ndarray
    cell: float
    counts: np.ndarray
    radius: np.ndarray
    polar: np.ndarray
    start: np.ndarray
    excluded: np.ndarray
    factor: float


class ContactFinder:
    """What of the contacts does not change from round to round.

    Parameters
    ----------
    graph
        Residues and bonds.
    crystal
        Symmetry, for mates; ``None`` for a molecule alone.
    """

    def __init__(self, graph: ResidueGraph, crystal: Crystal | None = None) -> None:
        self._graph = graph
        self._radius = np.where(graph.is_water, -np.inf, vdw_radii(graph.element))
        self._polar = np.isin(graph.element, ["N", "O", "S"])
        self._mates = _Mates(graph.reference, crystal)

    def find(self, coord: Coords, softness: float = 0.0) -> Contacts:
        """Sort the atoms of all members into cells.

        Parameters
        ----------
        coord
            ``(n_members, n_atoms, 3)`` Å.
        softness
            Å that places are uncertain by: it is added to the 0.12 Å of the repulsion.
        """
        n_members, n_atoms, _ = coord.shape
        places = np.concatenate([coord.astype(float), self._mates.places(coord)], axis=1)
        largest = float(self._radius.max(initial=1.0))
        cell = max(2 * largest - OVERLAP, 1.0)
        origin = coord.reshape(-1, 3).min(axis=0) - _ROOM
        counts = np.ceil((coord.reshape(-1, 3).max(axis=0) + _ROOM - origin) / cell)
        counts = counts.astype(np.int64) + 1
        head = np.full((n_members, int(np.prod(counts))), -1, dtype=np.int32)
        following = np.full((n_members, places.shape[1]), -1, dtype=np.int32)
        start, excluded = self._graph.excluded
        found = Contacts(
            np.ascontiguousarray(places),
            np.concatenate([np.arange(n_atoms), self._mates.atom]).astype(np.int64),
            head,
            following,
            origin,
            cell,
            counts,
            self._radius,
            self._polar,
            start,
            excluded,
            0.5 / (STEEPNESS + softness) ** 2,
        )
        _fill_cells(found)
        return found


class _Mates:
    """Copies by symmetry that stand near the model."""

    def __init__(self, reference: Coord, crystal: Crystal | None) -> None:
        self._rotation = np.zeros((0, 3, 3))
        self._shift = np.zeros((0, 3))
        self.atom = np.zeros(0, dtype=int)
        if crystal is None:
            return
        tree = cKDTree(reference)
        frac = crystal.fractional(reference)
        centre = frac.mean(axis=0)
        reach = np.linalg.norm(reference - reference.mean(axis=0), axis=1).max()
        heights = 1 / np.linalg.norm(crystal.fractionalization_matrix, axis=1)
        wide = (2 * reach + _MATES_WITHIN) / heights
        rotations, shifts, atoms = [], [], []
        to, back = crystal.fractionalization_matrix, crystal.orthogonalization_matrix
        for rotation, translation in zip(*symmetry_operations(crystal), strict=True):
            image = frac @ rotation.T + translation
            off = centre - image.mean(axis=0)
            ranges = [
                np.arange(int(np.ceil(o - w)), int(np.floor(o + w)) + 1)
                for o, w in zip(off, wide, strict=True)
            ]
            for cell in np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3):
                same = np.array_equal(rotation, np.eye(3)) and not (translation + cell).any()
                if same:
                    continue
                placed = crystal.cartesian(image + cell)
                far = np.linalg.norm(placed - reference.mean(axis=0), axis=1)
                maybe = np.flatnonzero(far <= reach + _MATES_WITHIN)
                near = tree.query(placed[maybe], distance_upper_bound=_MATES_WITHIN)[0]
                chosen = maybe[np.isfinite(near)]
                rotations += [back @ rotation @ to] * len(chosen)
                shifts += [crystal.cartesian(translation + cell)] * len(chosen)
                atoms += chosen.tolist()
        if atoms:
            self._rotation, self._shift = np.array(rotations), np.array(shifts)
            self.atom = np.array(atoms, dtype=int)

    def places(self, coord: Coords) -> np.ndarray:
        moved = np.einsum("aij,maj->mai", self._rotation, coord[:, self.atom].astype(float))
        placed: np.ndarray = moved + self._shift
        return placed


@kernel
def repulsion_at(
    contacts: Contacts, member: int, atom: int, x: float, y: float, z: float, mark: np.ndarray
) -> float:
    """Energy (kT) of an atom at a place against all that are not marked."""
    own = contacts.radius[atom]
    if own < 0.0:
        return 0.0
    n_own = len(contacts.radius)
    places, following = contacts.places[member], contacts.following[member]
    head = contacts.head[member]
    n1, n2, n3 = contacts.counts
    i0 = min(max(int(np.floor((x - contacts.origin[0]) / contacts.cell)), 0), n1 - 1)
    j0 = min(max(int(np.floor((y - contacts.origin[1]) / contacts.cell)), 0), n2 - 1)
    k0 = min(max(int(np.floor((z - contacts.origin[2]) / contacts.cell)), 0), n3 - 1)
    total = 0.0
    for i in range(max(i0 - 1, 0), min(i0 + 2, n1)):
        for j in range(max(j0 - 1, 0), min(j0 + 2, n2)):
            for k in range(max(k0 - 1, 0), min(k0 + 2, n3)):
                other = head[(i * n2 + j) * n3 + k]
                while other >= 0:
                    source = contacts.source[other]
                    if other >= n_own or not mark[other]:
                        dx = places[other, 0] - x
                        dy = places[other, 1] - y
                        dz = places[other, 2] - z
                        total += pair_repulsion(
                            contacts, atom, source, dx * dx + dy * dy + dz * dz, other < n_own
                        )
                    other = following[other]
    return total


@kernel
def pair_repulsion(
    contacts: Contacts, atom: int, other: int, square: float, may_be_bonded: bool
) -> float:
    """Energy (kT) of two atoms at a squared distance (Å²)."""
    free = contacts.radius[atom] + contacts.radius[other]
    if contacts.polar[atom] and contacts.polar[other]:
        free -= HYDROGEN_BOND_OVERLAP
    else:
        free -= OVERLAP
    if free <= 0.0 or square >= free * free:
        return 0.0
    if may_be_bonded:
        for place in range(contacts.start[atom], contacts.start[atom + 1]):
            if contacts.excluded[place] == other:
                return 0.0
    overlap = free - np.sqrt(square)
    return float(contacts.factor * overlap * overlap)


@kernel
def move_in_cells(
    contacts: Contacts, member: int, atom: int, x: float, y: float, z: float
) -> None:
    """Put an atom at a place and into its cell."""
    place = contacts.places[member, atom]
    old = cell_of(contacts, place[0], place[1], place[2])
    new = cell_of(contacts, x, y, z)
    place[0], place[1], place[2] = x, y, z
    if old == new:
        return
    head, following = contacts.head[member], contacts.following[member]
    here = head[old]
    if here == atom:
        head[old] = following[atom]
    else:
        while following[here] != atom:
            here = following[here]
        following[here] = following[atom]
    following[atom] = head[new]
    head[new] = atom


@kernel
def cell_of(contacts: Contacts, x: float, y: float, z: float) -> int:
    """Cell of a place; beyond the box, the nearest."""
    n1, n2, n3 = contacts.counts
    i = min(max(int(np.floor((x - contacts.origin[0]) / contacts.cell)), 0), n1 - 1)
    j = min(max(int(np.floor((y - contacts.origin[1]) / contacts.cell)), 0), n2 - 1)
    k = min(max(int(np.floor((z - contacts.origin[2]) / contacts.cell)), 0), n3 - 1)
    return int((i * n2 + j) * n3 + k)


@kernel
def _fill_cells(contacts: Contacts) -> None:
    for member in range(len(contacts.places)):
        head, following = contacts.head[member], contacts.following[member]
        for atom in range(contacts.places.shape[1]):
            x, y, z = contacts.places[member, atom]
            cell = cell_of(contacts, x, y, z)
            following[atom] = head[cell]
            head[cell] = atom
