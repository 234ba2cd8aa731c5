"""Contacts that are too short, within a model and with its symmetry mates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from unstill.chemistry.radii import are_hydrogens, are_metals, vdw_radii
from unstill.chemistry.restraints import GeometryRestraints
from unstill.crystal import Crystal
from unstill.shapes import Coord, Float, Int

_ALLOWED = 0.25
"""Å by which van der Waals spheres may overlap."""
_NEAR_IN_CHAIN = 0.5
"""Å that atoms three bonds apart may overlap beyond that."""
_POLAR = 2.6
"""Å between nitrogen and oxygen, which may share a hydrogen."""
_POLAR_HYDROGEN = 1.7
_REACH = 4.2
_MARGIN = 8.0


@dataclass(frozen=True, eq=False)
class Contacts:
    """What does not change between denoisings: how near atoms may come, and which mates exist."""

    radius: Float[np.ndarray, " n"]
    polar: np.ndarray
    hydrogen: np.ndarray
    bonded: np.ndarray
    softer: np.ndarray
    reference: Coord
    turns: Float[np.ndarray, "operations 3 3"]
    shifts: Float[np.ndarray, "operations 3"]
    image_atom: Int[np.ndarray, " images"]
    image_operation: Int[np.ndarray, " images"]

    @classmethod
    def of(
        cls,
        restraints: GeometryRestraints,
        held: Int[np.ndarray, "m 2"],
        element: np.ndarray,
        reference: Coord,
        crystal: Crystal | None,
    ) -> Contacts:
        """Prepare; ``held`` are pairs whose distance is restrained."""
        n = len(reference)
        symbols = np.char.upper(np.asarray(element, dtype=str))
        metal = are_metals(symbols)
        # Metals coordinate at distances that van der Waals radii forbid.
        radius = np.where(metal, 0.4, vdw_radii(symbols))
        near = _neighbours(restraints)
        bonded = {(a, b) for a in range(n) for b in near[a]}
        apart_one = {(a, c) for a in range(n) for b in near[a] for c in near[b]}
        apart_two = {(a, d) for a, c in apart_one for d in near[c]}
        # The network joins atoms that may still collide.
        fixed = {
            (int(a), int(b)) for a, b in np.concatenate([held[len(held) :], restraints.bonds])
        }
        excluded = bonded | apart_one | fixed
        excluded |= {(int(r[0]), int(r[3])) for r in restraints.planar}
        images = _images(reference, crystal)
        return cls(
            radius,
            np.isin(symbols, ["N", "O", "F"]),
            are_hydrogens(symbols),
            _keys(excluded, n),
            _keys(apart_two - excluded, n),
            reference,
            *images,
        )

    def least(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Distance (Å) at which atoms begin to repel."""
        least = self.radius[a] + self.radius[b] - _ALLOWED
        both = self.polar[a] & self.polar[b]
        bridge = (self.hydrogen[a] & self.polar[b]) | (self.polar[a] & self.hydrogen[b])
        least = np.where(both, _POLAR, np.where(bridge, _POLAR_HYDROGEN, least))
        return np.asarray(least)


@dataclass(frozen=True, eq=False)
class Near:
    """Pairs of one member that may touch, mates as (atom, atom, operation)."""

    pairs: Int[np.ndarray, "m 2"]
    least: Float[np.ndarray, " m"]
    mates: Int[np.ndarray, "k 3"]
    mate_least: Float[np.ndarray, " k"]
    turns: Float[np.ndarray, "operations 3 3"]
    shifts: Float[np.ndarray, "operations 3"]

    def energy(self, y: Coord, variance: float) -> float:
        """U of the contacts (kT); that of a pair of mates is shared by its two copies."""
        apart = np.linalg.norm(y[self.pairs[:, 0]] - y[self.pairs[:, 1]], axis=1)
        within = np.clip(self.least - apart, 0, None)
        a, b, o = self.mates.T
        image = np.einsum("kij,kj->ki", self.turns[o], y[b]) + self.shifts[o]
        across = np.clip(self.mate_least - np.linalg.norm(y[a] - image, axis=1), 0, None)
        return float(0.5 * ((within**2).sum() + 0.5 * (across**2).sum()) / variance)


def find_contacts(contacts: Contacts, y: Coord) -> Near:
    """Find the pairs of a member that are near; in an order that its bits do not depend on."""
    n, c = len(y), contacts
    images = np.einsum("kij,kj->ki", c.turns[c.image_operation], y[c.image_atom])
    images += c.shifts[c.image_operation]
    pairs = cKDTree(np.concatenate([y, images])).query_pairs(_REACH, output_type="ndarray")
    pairs = np.sort(pairs.reshape(-1, 2), axis=1).astype(np.int64)
    pairs = pairs[np.argsort(pairs[:, 0] * (n + len(images)) + pairs[:, 1])]
    own = pairs[pairs[:, 1] < n]
    key = own[:, 0] * n + own[:, 1]
    own, key = own[~_among(key, c.bonded)], key[~_among(key, c.bonded)]
    least = c.least(own[:, 0], own[:, 1]) - np.where(_among(key, c.softer), _NEAR_IN_CHAIN, 0.0)
    ref = c.reference
    # What the model itself has is no collision.
    least = np.minimum(least, np.linalg.norm(ref[own[:, 0]] - ref[own[:, 1]], axis=1))
    across = pairs[(pairs[:, 0] < n) & (pairs[:, 1] >= n)]
    image = across[:, 1] - n
    atom, operation = c.image_atom[image], c.image_operation[image]
    mate_least = c.least(across[:, 0], atom)
    there = np.einsum("kij,kj->ki", c.turns[operation], ref[atom]) + c.shifts[operation]
    mate_least = np.minimum(mate_least, np.linalg.norm(ref[across[:, 0]] - there, axis=1))
    mates = np.stack([across[:, 0], atom, operation], axis=1)
    return Near(own, least, mates, mate_least, c.turns, c.shifts)


def _among(keys: np.ndarray, table: np.ndarray) -> np.ndarray:
    if len(table) == 0:
        return np.zeros(len(keys), dtype=bool)
    place = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return np.asarray(table[place] == keys)


def _keys(pairs: set[tuple[int, int]], n: int) -> np.ndarray:
    return np.array(sorted({min(p) * n + max(p) for p in pairs if p[0] != p[1]}), dtype=np.int64)


def _neighbours(restraints: GeometryRestraints) -> list[list[int]]:
    near: list[list[int]] = [[] for _ in range(restraints.n_atoms)]
    for a, b in restraints.bonds.tolist():
        near[a].append(b)
        near[b].append(a)
    return near


def _images(
    reference: Coord, crystal: Crystal | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Operations (cartesian) and the atoms whose images come near the model."""
    none = np.empty(0, dtype=np.int64)
    turns, shifts, atoms, operations = [], [], [none], [none]
    if crystal is not None and len(reference):
        tree = cKDTree(reference)
        low, high = reference.min(axis=0) - _MARGIN, reference.max(axis=0) + _MARGIN
        fractional = crystal.fractional(reference)
        orth, frac = crystal.orthogonalization_matrix, crystal.fractionalization_matrix
        corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
        box = crystal.fractional(corners)
        for op in crystal.group.operations():
            matrix = np.array(op.rot, dtype=float) / op.DEN
            move = np.array(op.tran, dtype=float) / op.DEN
            turned = fractional @ matrix.T + move
            first = np.floor(box.min(axis=0) - turned.max(axis=0)).astype(int)
            last = np.ceil(box.max(axis=0) - turned.min(axis=0)).astype(int)
            for cell in np.ndindex(*(last - first + 1)):
                whole = np.array(cell) + first
                if np.allclose(matrix, np.eye(3)) and np.allclose(move + whole, 0):
                    continue
                image = (turned + whole) @ orth.T
                inside = np.flatnonzero(((image > low) & (image < high)).all(axis=1))
                if len(inside) == 0:
                    continue
                apart, _ = tree.query(image[inside], distance_upper_bound=_MARGIN)
                inside = inside[np.isfinite(apart)]
                if len(inside) == 0:
                    continue
                atoms.append(inside)
                operations.append(np.full(len(inside), len(turns)))
                turns.append(orth @ matrix @ frac)
                shifts.append(orth @ (move + whole))
    return (
        np.array(turns).reshape(-1, 3, 3),
        np.array(shifts).reshape(-1, 3),
        np.concatenate(atoms).astype(np.int64),
        np.concatenate(operations).astype(np.int64),
    )
