"""Atoms taken out of a scene for a while: the density misses them, and they repel nobody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.compiled import kernel
from unstill.guidance.moves.contacts import (
    Contacts,
    move_in_cells,
    pair_repulsion,
    repulsion_at,
)
from unstill.guidance.moves.residual import LocalDensity, coverage_at, pair_overlap
from unstill.guidance.moves.scene import Scene
from unstill.guidance.moves.sweep import Pool, gradient_now, put_node
from unstill.shapes import Coord, Float, Int


class Lifted:
    """The same atoms of all members, out of the density until they are put back.

    Parameters
    ----------
    scene
        Changed by every call.
    atoms
        Which are lifted.
    members
        Of which members; all by default.
    leave
        Share of their density that stays.
    """

    def __init__(
        self,
        scene: Scene,
        atoms: Int[np.ndarray, " n"],
        *,
        members: Sequence[int] | None = None,
        leave: float = 0.0,
    ) -> None:
        self.scene = scene
        self.atoms = np.asarray(atoms, dtype=np.int64)
        self.home = scene.contacts.places[:, self.atoms].copy()
        self.members = range(len(self.home)) if members is None else members
        self.left = leave
        if leave < 1.0:
            self.leave(leave)

    @property
    def mark(self) -> np.ndarray:
        """``(n_atoms,)`` which atoms are lifted."""
        mark = np.zeros(len(self.scene.contacts.radius), dtype=np.bool_)
        mark[self.atoms] = True
        return mark

    def leave(self, share: float) -> None:
        """Leave a share of the atoms' density where they are, 0 to 1, and take the rest out."""
        self.left = share
        scene = self.scene
        if scene.density.strength > 0:
            for member in self.members:
                _lift(scene.density, scene.pool, member, self.atoms, self.home[member], share)

    def put(self, member: int, places: Coord) -> None:
        """Put the atoms of a member down at places (Å), on top of what was left."""
        scene = self.scene
        _put_down(
            scene.contacts,
            scene.density,
            scene.pool,
            member,
            self.atoms,
            np.ascontiguousarray(places),
        )

    def back(self) -> None:
        """Put everything back where it was."""
        for member in self.members:
            self.put(member, self.home[member])

    def settle(self, member: int, places: Coord) -> None:
        """Put everything back, but the atoms of one member at new places (Å)."""
        self.back()
        self.put(member, places)

    def repulsion(self, member: int, places: Coord) -> float:
        """Energy (kT) of a member's atoms at places (Å) among themselves and with others."""
        return float(
            _repulsion(
                self.scene.contacts, member, self.atoms, np.ascontiguousarray(places), self.mark
            )
        )

    def loss(self, member: int, places: Coord) -> tuple[float, float]:
        """Linear and quadratic change of the loss if a member's atoms came to places (Å)."""
        scene = self.scene
        if scene.density.strength <= 0:
            return 0.0, 0.0
        linear, square = _added_loss(
            scene.density, scene.pool, member, self.atoms, np.ascontiguousarray(places)
        )
        return float(linear), float(square)

    def occupancies(self, group: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n_groups"]:
        """Factor on the occupancy of each group of atoms, over all members, that fits best.

        Parameters
        ----------
        group
            ``(n,)`` number of the group of each atom, from 0.
        """
        return self.left + self.corrections(group)

    def corrections(self, group: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n_groups"]:
        """Return what to add to the factor on the occupancy of each group."""
        n_groups = int(group.max()) + 1
        scene = self.scene
        if scene.density.strength <= 0:
            return np.full(n_groups, 1.0 - self.left)
        linear, square = np.zeros(n_groups), np.zeros((n_groups, n_groups))
        _normal_equations(
            scene.density,
            scene.pool,
            self.atoms,
            self.home,
            group.astype(np.int64),
            linear,
            square,
        )
        ridge = 1e-3 * np.trace(square) / n_groups
        fitted: np.ndarray = np.linalg.solve(square + ridge * np.eye(n_groups), -linear)
        return fitted


@kernel
def _lift(
    density: LocalDensity,
    pool: Pool,
    member: int,
    atoms: np.ndarray,
    places: np.ndarray,
    share: float,
) -> None:
    n_atoms = density.amount.shape[1]
    for i in range(len(atoms)):
        node = 2 * (member * n_atoms + atoms[i])
        if not pool.used[node]:
            put_node(pool, density, node, places[i])
        put_node(pool, density, node + 1, places[i])
        pool.factor[node + 1] = share


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


@kernel
def _normal_equations(
    density: LocalDensity,
    pool: Pool,
    atoms: np.ndarray,
    home: np.ndarray,
    group: np.ndarray,
    linear: np.ndarray,
    square: np.ndarray,
) -> None:
    n_members, n = home.shape[:2]
    covered = np.empty((n_members, n))
    for m in range(n_members):
        for i in range(n):
            x, y, z = home[m, i]
            covered[m, i] = np.sqrt(coverage_at(density, x, y, z)) * density.amount[m, atoms[i]]
            gradient = gradient_now(density, pool, atoms[i], x, y, z)
            linear[group[i]] += density.amount[m, atoms[i]] * gradient
    for m in range(n_members):
        for i in range(n):
            for o in range(n_members):
                for j in range(n):
                    if abs(home[m, i, 0] - home[o, j, 0]) > 4.0:
                        continue
                    d = home[m, i] - home[o, j]
                    pair = pair_overlap(density, atoms[i], atoms[j], (d * d).sum())
                    square[group[i], group[j]] += (
                        density.strength * pair * covered[m, i] * covered[o, j]
                    )


@kernel
def _repulsion(
    contacts: Contacts, member: int, atoms: np.ndarray, places: np.ndarray, mark: np.ndarray
) -> float:
    total = 0.0
    for i in range(len(atoms)):
        x, y, z = places[i]
        total += repulsion_at(contacts, member, atoms[i], x, y, z, mark)
        for j in range(i):
            d = places[i] - places[j]
            total += pair_repulsion(contacts, atoms[i], atoms[j], (d * d).sum(), True)
    return float(total)
