"""Atoms taken out of a scene for a while: the density misses them, and they repel nobody."""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel
from unstill.guidance.moves.residual import LocalDensity, coverage_at, pair_overlap
from unstill.guidance.moves.scene import Scene
from unstill.guidance.moves.contacts import Contacts, move_in_cells
from unstill.guidance.moves.sweep import Pool, gradient_now, put_node, take_node
from unstill.shapes import Coord, Int


class Lifted:
    """Atoms of one member that are lifted out of a scene, until they are put down.

    Parameters
    ----------
    scene
        Changed by every call.
    member
        Number of the member.
    atoms
        Which are lifted.
    """

    def __init__(self, scene: Scene, member: int, atoms: Int[np.ndarray, " n"]) -> None:
        self.scene, self.member = scene, member
        self.atoms = np.asarray(atoms, dtype=np.int64)
        self.home = scene.contacts.places[member, self.atoms].copy()
        self.lift()

    @property
    def mark(self) -> np.ndarray:
        """``(n_atoms,)`` which atoms are lifted."""
        mark = np.zeros(len(self.scene.contacts.radius), dtype=np.bool_)
        mark[self.atoms] = True
        return mark

    def lift(self) -> None:
        """Take the atoms out of the density."""
        scene = self.scene
        if scene.density.strength > 0:
            _lift(scene.contacts, scene.density, scene.pool, self.member, self.atoms)

    def put(self, places: Coord) -> None:
        """Put the atoms down at places (Å)."""
        scene = self.scene
        _put_down(
            scene.contacts,
            scene.density,
            scene.pool,
            self.member,
            self.atoms,
            np.ascontiguousarray(places),
        )

    def loss(self, places: Coord) -> tuple[float, float]:
        """Linear and quadratic change of the loss if the atoms were put down at places (Å)."""
        scene = self.scene
        if scene.density.strength <= 0:
            return 0.0, 0.0
        linear, square = _added_loss(
            scene.density, scene.pool, self.member, self.atoms, np.ascontiguousarray(places)
        )
        return float(linear), float(square)


@kernel
def _lift(
    contacts: Contacts, density: LocalDensity, pool: Pool, member: int, atoms: np.ndarray
) -> None:
    n_atoms = len(contacts.radius)
    for atom in atoms:
        node = 2 * (member * n_atoms + atom)
        if not pool.used[node]:
            put_node(pool, density, node, contacts.places[member, atom])
        if pool.used[node + 1]:
            take_node(pool, node + 1)


@kernel
def _put_down(
    contacts: Contacts,
    density: LocalDensity,
    pool: Pool,
    member: int,
    atoms: np.ndarray,
    places: np.ndarray,
) -> None:
    n_atoms = len(contacts.radius)
    for i in range(len(atoms)):
        x, y, z = places[i]
        move_in_cells(contacts, member, atoms[i], x, y, z)
        if density.strength > 0.0:
            put_node(pool, density, 2 * (member * n_atoms + atoms[i]) + 1, places[i])


@kernel
def _added_loss(
    density: LocalDensity, pool: Pool, member: int, atoms: np.ndarray, places: np.ndarray
) -> tuple[float, float]:
    linear, square = 0.0, 0.0
    amount = density.amount[member]
    n = len(atoms)
    covered = np.empty(n)
    for i in range(n):
        x, y, z = places[i]
        covered[i] = np.sqrt(coverage_at(density, x, y, z))
        linear += amount[atoms[i]] * gradient_now(density, pool, atoms[i], x, y, z)
        for j in range(i + 1):
            d = places[i] - places[j]
            pair = pair_overlap(density, atoms[i], atoms[j], (d * d).sum())
            pair *= covered[i] * covered[j] * amount[atoms[i]] * amount[atoms[j]]
            square += pair * (0.5 if i == j else 1.0)
    return linear, density.strength * square
