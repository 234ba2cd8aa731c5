"""Which members have an atom in the same place, and which partitions are worth states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.ensemble import Ensemble
from unstill.shapes import Bool, Int

ABSENT = -1
"""Stands for the members that do not have an atom."""

_CHUNK = 8_000_000
"""Numbers that are compared at a time."""


@dataclass(frozen=True, eq=False)
class Partitions:
    """Partitions of the members, and which of them each atom follows.

    Parameters
    ----------
    first
        ``(n_partitions, n_members)``: of each member the first one in the same class,
        −1 where it is in none. A class is named by its first member.
    of_atom
        ``(n_atoms,)`` index of the partition of each atom.
    parent
        ``(n_partitions,)`` index of the coarser partition that each is nested in, −1 for none.
    """

    first: Int[np.ndarray, "n_partitions n_members"]
    of_atom: Int[np.ndarray, " n_atoms"]
    parent: Int[np.ndarray, " n_partitions"]

    def classes(self, partition: int) -> Int[np.ndarray, " n_classes"]:
        """First members of the classes of a partition, in order."""
        return np.flatnonzero(_is_class(self.first[partition]))


def partitions_of_members(
    place: Int[np.ndarray, "n_members n_atoms"], residue: Int[np.ndarray, " n_atoms"]
) -> Partitions:
    """Choose the partitions of members that become states.

    Every atom has a partition of its own: members that share its place. The
    *join* of a residue is the coarsest partition that refines those of all its
    atoms. A partition that saves fewer rows than it costs states (as where two
    members agree in one atom by accident of rounding) is given up for the join.

    A partition is nested in the finest one that is coarser and stands in one of
    its residues: side chains that move inside the states of the backbone.

    Parameters
    ----------
    place
        From :func:`places_of_atoms`.
    residue
        Number of the residue of each atom, from 0.

    Returns
    -------
    Partitions
        In the order of their atoms, coarse ones first inside a residue.
    """
    own, of_atom = np.unique(place.T, axis=0, return_inverse=True)
    join = _joins(place, residue)
    by_join = _joined(own, of_atom.reshape(-1), join, residue)
    chosen = np.where(by_join[:, None], join[residue], place.T)
    first, of_atom = np.unique(chosen, axis=0, return_inverse=True)
    of_atom = of_atom.reshape(-1)
    order = _in_order(first, of_atom, residue)
    first, of_atom = first[order], np.argsort(order)[of_atom]
    return Partitions(first, of_atom, _parents(first, of_atom, residue))


def places_of_atoms(ensemble: Ensemble) -> Int[np.ndarray, "n_members n_atoms"]:
    """Of each atom in each member, the first member that has it in the same place.

    The same place means equal coordinates, occupancy, B and U, to the last
    bit. A member where the occupancy is zero does not have the atom (−1),
    unless no member has it.
    """
    n_members, n_atoms = ensemble.n_members, ensemble.n_atoms
    found = np.empty((n_members, n_atoms), dtype=np.int32)
    for part, values in _columns(ensemble):
        found[:, part] = _first_equal(values)
    occupancy = np.broadcast_to(ensemble.occupancy, (n_members, n_atoms))
    missing = (occupancy == 0) & (occupancy != 0).any(axis=0)
    found[missing] = ABSENT
    return found


def _columns(ensemble: Ensemble) -> Iterator[tuple[slice, np.ndarray]]:
    """Bits of everything that makes a place, some atoms at a time."""
    n_members, n_atoms = ensemble.n_members, ensemble.n_atoms
    parts: list[tuple[np.ndarray, tuple[int, ...]]] = [
        (ensemble.coord, (3,)),
        (ensemble.occupancy[..., None], (1,)),
        (ensemble.b_factor[..., None], (1,)),
    ]
    if ensemble.u_aniso is not None:
        # All that is not a number must look alike.
        clean = np.where(np.isnan(ensemble.u_aniso), np.nan, ensemble.u_aniso)
        parts.append((clean, (6,)))
    wide = [np.broadcast_to(value, (n_members, n_atoms, *tail)) for value, tail in parts]
    step = max(1, _CHUNK // (n_members * sum(value.shape[-1] for value in wide)))
    for start in range(0, n_atoms, step):
        part = slice(start, min(start + step, n_atoms))
        joined = np.concatenate([value[:, part] for value in wide], axis=-1, dtype=float)
        # Adding 0.0 makes −0.0 equal 0.0.
        yield part, np.ascontiguousarray(joined + 0.0).view(np.uint64)


def _first_equal(values: np.ndarray) -> np.ndarray:
    """``(n_members, n_atoms)`` first member with the same bits, by a hash that is checked."""
    digest = _digest(values)
    order = np.argsort(digest, axis=0, kind="stable")
    in_order = np.take_along_axis(digest, order, axis=0)
    rank = np.arange(len(digest))[:, None]
    starts = np.ones(digest.shape, dtype=bool)
    starts[1:] = in_order[1:] != in_order[:-1]
    start = np.maximum.accumulate(np.where(starts, rank, 0), axis=0)
    first = np.empty(digest.shape, dtype=np.int32)
    np.put_along_axis(first, order, np.take_along_axis(order, start, axis=0), axis=0)
    same = (values == np.take_along_axis(values, first[..., None], axis=0)).all(axis=(0, 2))
    for atom in np.flatnonzero(~same):
        _, index, inverse = np.unique(
            values[:, atom], axis=0, return_index=True, return_inverse=True
        )
        first[:, atom] = index[inverse.reshape(-1)]
    return first


def _digest(values: np.ndarray) -> np.ndarray:
    """64 bits of each place; the mixing step of splitmix64 (doi:10.1145/2714064.2660195)."""
    digest = np.zeros(values.shape[:-1], dtype=np.uint64)
    for column in np.moveaxis(values, -1, 0):
        digest = (digest ^ column) + np.uint64(0x9E3779B97F4A7C15)
        digest = (digest ^ (digest >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        digest ^= digest >> np.uint64(31)
    return digest


def _joins(place: np.ndarray, residue: np.ndarray) -> np.ndarray:
    """``(n_residues, n_members)`` coarsest partition that refines those of all atoms."""
    n_residues = int(residue.max(initial=-1)) + 1
    found = np.empty((n_residues, len(place)), dtype=place.dtype)
    order = np.argsort(residue, kind="stable")
    ends = np.searchsorted(residue[order], np.arange(1, n_residues + 1))
    for number, atoms in enumerate(np.split(order, ends[:-1])):
        distinct = np.unique(place[:, atoms], axis=1)
        _, index, inverse = np.unique(distinct, axis=0, return_index=True, return_inverse=True)
        found[number] = index[inverse.reshape(-1)]
        found[number][(distinct == ABSENT).all(axis=1)] = ABSENT
    return found


def _joined(
    own: np.ndarray, of_atom: np.ndarray, join: np.ndarray, residue: np.ndarray
) -> Bool[np.ndarray, " n_atoms"]:
    """Which atoms follow the join of their residue instead of their own partition."""
    n_classes = _is_class(own).sum(axis=1)
    (number, where), pair, count = np.unique(
        np.stack([of_atom, residue]), axis=1, return_inverse=True, return_counts=True
    )
    wide = np.array(
        [
            int((own[n][_is_class(join[w])] != ABSENT).sum())
            for n, w in zip(number, where, strict=True)
        ]
    )
    rows = count * (wide - n_classes[number])
    saved = np.bincount(number, rows, minlength=len(own))
    is_join = (own[number] == join[where]).all(axis=1)
    everywhere = (own == 0).all(axis=1)
    needed = everywhere | (saved > n_classes)
    needed[number[is_join]] = True
    doubtful = ~needed[number]
    # States and rows of a residue, with the join and without it.
    n_residues = len(join)
    apart = np.bincount(where[doubtful], n_classes[number[doubtful]], minlength=n_residues)
    price = np.where(
        np.bincount(where[is_join], minlength=n_residues) > 0, 0, _is_class(join).sum(axis=1)
    )
    together = price + np.bincount(where[doubtful], rows[doubtful], minlength=n_residues)
    by_join: np.ndarray = doubtful & (together < apart)[where]
    return by_join[pair.reshape(-1)]


def _is_class(first: np.ndarray) -> np.ndarray:
    """Whether each member is the first of its class."""
    same: np.ndarray = first == np.arange(first.shape[-1])
    return same


def _in_order(first: np.ndarray, of_atom: np.ndarray, residue: np.ndarray) -> np.ndarray:
    start = np.full(len(first), len(of_atom))
    np.minimum.at(start, of_atom, np.arange(len(of_atom)))
    return np.lexsort((start, _is_class(first).sum(axis=1), residue[start]))


def _parents(first: np.ndarray, of_atom: np.ndarray, residue: np.ndarray) -> np.ndarray:
    parent = np.full(len(first), -1)
    size, held = _is_class(first).sum(axis=1), (first != ABSENT).sum(axis=1)
    near: dict[int, set[int]] = {}
    pairs = np.unique(np.stack([residue, of_atom]), axis=1).T.tolist()
    for where, number in pairs:
        near.setdefault(where, set()).add(number)
    others: dict[int, set[int]] = {}
    for together in {frozenset(group) for group in near.values()}:
        for number in together:
            others.setdefault(number, set()).update(together)
    everywhere = (first == 0).all(axis=1)
    for number, beside in others.items():
        coarser = [
            other
            for other in beside
            if not everywhere[other]
            and refines(first[number], first[other])
            and not refines(first[other], first[number])
        ]
        if coarser:
            parent[number] = max(coarser, key=lambda other: (size[other], -held[other], -other))
    return parent


def refines(fine: np.ndarray, coarse: np.ndarray) -> bool:
    """Whether each class of one partition lies inside a class of another.

    Examples
    --------
    >>> refines(np.array([0, 1, 2, 2]), np.array([0, 0, 2, 2]))
    True
    >>> refines(np.array([0, 0, 2, 2]), np.array([0, 1, 0, 1]))
    False
    """
    held = fine != ABSENT
    of_first = coarse[fine[held]]
    return bool((of_first != ABSENT).all() and (of_first == coarse[held]).all())
