r"""Metropolis over proposals of turns, each scored by what is near.

A proposal changes a few atoms of one member. Its energy changes by repulsion
(:mod:`unstill.guidance.moves.contacts`), by the loss of the density
(:mod:`unstill.guidance.moves.residual`), by springs, φ/ψ odds and torsional barriers of its
unit, and it is taken with the chance min(1, exp(−ΔE)). Turns are
rotations by angles from symmetric distributions that do not look at the place: the way back
is as likely as the way there, so that detailed balance holds for exp(−E).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unstill.compiled import kernel
from unstill.guidance.moves.contacts import (
    Contacts,
    move_in_cells,
    pair_repulsion,
    repulsion_at,
)
from unstill.guidance.moves.residual import (
    LocalDensity,
    coverage_at,
    gradient_at,
    pair_overlap,
)
from unstill.guidance.moves.turns import Proposals, TurnTable

_POOL_CELL = 4.0
"""Å, the reach of pairs."""


class Pool(NamedTuple):
    """Where atoms stood when the grid of the density was made, and where they went since.

    Node 2(member n + atom) is the old place, taken away; the next node is the new one.
    ``head``, ``following`` as in :class:`.contacts.Contacts`; ``used`` whether an atom moved;
    ``place``, ``covered``, ``factor`` (1, less for what is there in part) of nodes.
    """

    head: np.ndarray
    following: np.ndarray
    used: np.ndarray
    place: np.ndarray
    covered: np.ndarray
    factor: np.ndarray
    origin: np.ndarray
    counts: np.ndarray


def empty_pool(contacts: Contacts) -> Pool:
    """Return a pool for members that stand where the contacts have them."""
    n_members, n_atoms = len(contacts.places), len(contacts.radius)
    size = contacts.cell * contacts.counts
    counts = np.ceil(size / _POOL_CELL).astype(np.int64) + 1
    n_nodes = 2 * n_members * n_atoms
    return Pool(
        np.full(int(np.prod(counts)), -1, dtype=np.int64),
        np.full(n_nodes, -1, dtype=np.int64),
        np.zeros(n_nodes, dtype=np.bool_),
        np.zeros((n_nodes, 3)),
        np.zeros(n_nodes),
        np.ones(n_nodes),
        contacts.origin,
        counts,
    )


@kernel
def sweep(
    contacts: Contacts,
    density: LocalDensity,
    pool: Pool,
    table: TurnTable,
    proposals: Proposals,
    accepted: np.ndarray,
    change: np.ndarray,
) -> None:
    """Try all proposals in order, in place; note which were taken and by how much E changed."""
    most = 1
    for unit in range(len(table.unit_start) - 1):
        most = max(most, table.unit_start[unit + 1] - table.unit_start[unit])
    old, new = np.empty((most, 3)), np.empty((most, 3))
    known = np.empty((2, most))
    mark = np.zeros(len(contacts.radius), dtype=np.bool_)
    last_member, last_unit, inner = -1, -1, 0.0
    for number in range(len(proposals.member)):
        member, unit = proposals.member[number], proposals.unit[number]
        atoms = table.unit_atoms[table.unit_start[unit] : table.unit_start[unit + 1]]
        places = contacts.places[member]
        mark[atoms] = True
        if member != last_member or unit != last_unit:
            _know(contacts, density, pool, member, atoms, mark, known)
            inner = _inner(contacts, table, member, unit, atoms)
            last_member, last_unit = member, unit
        for i in range(len(atoms)):
            old[i] = places[atoms[i]]
        _turn_unit(table, places, unit, proposals.angle[number])
        for i in range(len(atoms)):
            new[i] = places[atoms[i]]
        energy = _inner(contacts, table, member, unit, atoms) - inner
        energy += _outer(contacts, density, pool, member, atoms, old, new, mark, known)
        taken = proposals.chance[number] < -energy
        accepted[number], change[number] = taken, energy
        for i in range(len(atoms)):
            places[atoms[i]] = old[i]
        if taken:
            _keep(contacts, density, pool, member, atoms, old, new)
            last_member = -1
        mark[atoms] = False


@kernel
def _know(
    contacts: Contacts,
    density: LocalDensity,
    pool: Pool,
    member: int,
    atoms: np.ndarray,
    mark: np.ndarray,
    known: np.ndarray,
) -> None:
    """Repulsion and gradient of atoms where they are."""
    for i in range(len(atoms)):
        x, y, z = contacts.places[member, atoms[i]]
        known[0, i] = repulsion_at(contacts, member, atoms[i], x, y, z, mark)
        known[1, i] = gradient_now(density, pool, atoms[i], x, y, z)


@kernel
def _turn_unit(table: TurnTable, places: np.ndarray, unit: int, angles: np.ndarray) -> None:
    first = table.first_turn[unit]
    for turn in range(first, table.first_turn[unit + 1]):
        angle = angles[turn - first]
        if angle != 0.0:
            turned = table.turn_atoms[table.turn_start[turn] : table.turn_start[turn + 1]]
            rotate(places, table.axis[turn, 0], table.axis[turn, 1], turned, angle)


@kernel
def _outer(
    contacts: Contacts,
    density: LocalDensity,
    pool: Pool,
    member: int,
    atoms: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    mark: np.ndarray,
    known: np.ndarray,
) -> float:
    """Change of repulsion from others and of the density's loss; ``known`` is of old places."""
    energy = 0.0
    amount = density.amount[member]
    for i in range(len(atoms)):
        if not _same(old[i], new[i]):
            x, y, z = new[i]
            energy += repulsion_at(contacts, member, atoms[i], x, y, z, mark) - known[0, i]
            if density.strength > 0.0:
                gradient = gradient_now(density, pool, atoms[i], x, y, z)
                energy += amount[atoms[i]] * (gradient - known[1, i])
    if density.strength > 0.0:
        energy += _square(density, amount, atoms, old, new)
    return energy


@kernel
def _keep(
    contacts: Contacts,
    density: LocalDensity,
    pool: Pool,
    member: int,
    atoms: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
) -> None:
    for i in range(len(atoms)):
        if not _same(old[i], new[i]):
            x, y, z = new[i]
            move_in_cells(contacts, member, atoms[i], x, y, z)
            if density.strength > 0.0:
                _note(pool, density, member, atoms[i], old[i], new[i])


@kernel
def rotate(places: np.ndarray, tail: int, tip: int, atoms: np.ndarray, angle: float) -> None:
    """Turn atoms about the axis from one atom to another, in place."""
    ox, oy, oz = places[tip]
    ux, uy, uz = ox - places[tail, 0], oy - places[tail, 1], oz - places[tail, 2]
    norm = np.sqrt(ux * ux + uy * uy + uz * uz)
    ux, uy, uz = ux / norm, uy / norm, uz / norm
    cos, sin = np.cos(angle), np.sin(angle)
    for atom in atoms:
        x, y, z = places[atom, 0] - ox, places[atom, 1] - oy, places[atom, 2] - oz
        along = (x * ux + y * uy + z * uz) * (1 - cos)
        places[atom, 0] = ox + x * cos + (uy * z - uz * y) * sin + ux * along
        places[atom, 1] = oy + y * cos + (uz * x - ux * z) * sin + uy * along
        places[atom, 2] = oz + z * cos + (ux * y - uy * x) * sin + uz * along


@kernel
def torsion_of(places: np.ndarray, a: int, b: int, c: int, d: int) -> float:
    """Torsion angle (radians) of four atoms."""
    bx, by, bz = (
        places[c, 0] - places[b, 0],
        places[c, 1] - places[b, 1],
        places[c, 2] - places[b, 2],
    )
    ax, ay, az = (
        places[b, 0] - places[a, 0],
        places[b, 1] - places[a, 1],
        places[b, 2] - places[a, 2],
    )
    cx, cy, cz = (
        places[d, 0] - places[c, 0],
        places[d, 1] - places[c, 1],
        places[d, 2] - places[c, 2],
    )
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    mx, my, mz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
    norm = np.sqrt(bx * bx + by * by + bz * bz)
    return float(np.arctan2(norm * (ax * mx + ay * my + az * mz), nx * mx + ny * my + nz * mz))


@kernel
def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(one[0] == other[0] and one[1] == other[1] and one[2] == other[2])


@kernel
def _inner(
    contacts: Contacts, table: TurnTable, member: int, unit: int, atoms: np.ndarray
) -> float:
    """Energy of a unit in itself: its atoms among each other, springs, odds and barriers."""
    places = contacts.places[member]
    total = 0.0
    for i in range(len(atoms)):
        for j in range(i):
            d = places[atoms[i]] - places[atoms[j]]
            total += pair_repulsion(
                contacts, atoms[i], atoms[j], d[0] * d[0] + d[1] * d[1] + d[2] * d[2], True
            )
    for n in range(table.spring_start[unit], table.spring_start[unit + 1]):
        d = places[table.spring_atoms[n, 0]] - places[table.spring_atoms[n, 1]]
        off = np.sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]) - table.spring[n, 0]
        total += 0.5 * table.spring[n, 1] * off * off
    for n in range(table.backbone_start[unit], table.backbone_start[unit + 1]):
        before, nitrogen, alpha, carbon, after, kind = table.backbone[n]
        phi = torsion_of(places, before, nitrogen, alpha, carbon)
        psi = torsion_of(places, nitrogen, alpha, carbon, after)
        total += odds_of(table.odds, kind, phi, psi)
    for turn in range(table.first_turn[unit], table.first_turn[unit + 1]):
        if table.barrier[turn] > 0.0:
            a, b, c, d4 = table.torsion[turn]
            total += table.barrier[turn] * (1 + np.cos(3 * torsion_of(places, a, b, c, d4)))
    return total


@kernel
def odds_of(odds: np.ndarray, kind: int, phi: float, psi: float) -> float:
    """−log density of φ, ψ (radians) of a kind, between the centres of the table's bins."""
    n = odds.shape[1]
    x = (phi / (2 * np.pi) + 0.5) * n - 0.5
    y = (psi / (2 * np.pi) + 0.5) * n - 0.5
    i, j = int(np.floor(x)), int(np.floor(y))
    u, v = x - i, y - j
    one = odds[kind]
    low = (1 - v) * one[i % n, j % n] + v * one[i % n, (j + 1) % n]
    high = (1 - v) * one[(i + 1) % n, j % n] + v * one[(i + 1) % n, (j + 1) % n]
    return float((1 - u) * low + u * high)


@kernel
def gradient_now(
    density: LocalDensity, pool: Pool, atom: int, x: float, y: float, z: float
) -> float:
    """∂L/∂occupancy of an atom at a place (Å), with all that was accepted since."""
    if density.strength <= 0.0:
        return 0.0
    total = gradient_at(density, atom, x, y, z)
    n_atoms = density.amount.shape[1]
    n1, n2, n3 = pool.counts
    i0, j0, k0 = _pool_cell(pool, x, y, z)
    pairs = 0.0
    for i in range(max(i0 - 1, 0), min(i0 + 2, n1)):
        for j in range(max(j0 - 1, 0), min(j0 + 2, n2)):
            for k in range(max(k0 - 1, 0), min(k0 + 2, n3)):
                node = pool.head[(i * n2 + j) * n3 + k]
                while node >= 0:
                    dx = pool.place[node, 0] - x
                    dy = pool.place[node, 1] - y
                    dz = pool.place[node, 2] - z
                    square = dx * dx + dy * dy + dz * dz
                    if square < _POOL_CELL * _POOL_CELL:
                        whose = node // 2
                        other = whose % n_atoms
                        share = density.amount[whose // n_atoms, other] * pool.factor[node]
                        share *= np.sqrt(pool.covered[node])
                        share *= pair_overlap(density, atom, other, square)
                        pairs += share if node % 2 else -share
                    node = pool.following[node]
    if pairs != 0.0:
        total += density.strength * np.sqrt(coverage_at(density, x, y, z)) * pairs
    return float(total)


@kernel
def _square(
    density: LocalDensity, amount: np.ndarray, atoms: np.ndarray, old: np.ndarray, new: np.ndarray
) -> float:
    """Half the squared change of the density, times its weight."""
    total = 0.0
    n = len(atoms)
    covered = np.empty((2, n))
    for i in range(n):
        covered[0, i] = np.sqrt(coverage_at(density, old[i, 0], old[i, 1], old[i, 2]))
        covered[1, i] = np.sqrt(coverage_at(density, new[i, 0], new[i, 1], new[i, 2]))
    for i in range(n):
        if _same(old[i], new[i]):
            continue
        for j in range(i + 1):
            if _same(old[j], new[j]):
                continue
            pair = 0.0
            for s in range(2):
                a = new[i] if s else old[i]
                for t in range(2):
                    b = new[j] if t else old[j]
                    d0, d1, d2 = a[0] - b[0], a[1] - b[1], a[2] - b[2]
                    found = pair_overlap(density, atoms[i], atoms[j], d0 * d0 + d1 * d1 + d2 * d2)
                    found *= covered[s, i] * covered[t, j]
                    pair += found if s == t else -found
            total += amount[atoms[i]] * amount[atoms[j]] * pair * (0.5 if i == j else 1.0)
    return float(density.strength * total)


@kernel
def _pool_cell(pool: Pool, x: float, y: float, z: float) -> tuple[int, int, int]:
    i = int(np.floor((x - pool.origin[0]) / _POOL_CELL))
    j = int(np.floor((y - pool.origin[1]) / _POOL_CELL))
    k = int(np.floor((z - pool.origin[2]) / _POOL_CELL))
    n1, n2, n3 = pool.counts
    return min(max(i, 0), n1 - 1), min(max(j, 0), n2 - 1), min(max(k, 0), n3 - 1)


@kernel
def _note(
    pool: Pool,
    density: LocalDensity,
    member: int,
    atom: int,
    old: np.ndarray,
    new: np.ndarray,
) -> None:
    """Write an atom's old place down, once, and its new place."""
    first = 2 * (member * density.amount.shape[1] + atom)
    if not pool.used[first]:
        put_node(pool, density, first, old)
    put_node(pool, density, first + 1, new)


@kernel
def put_node(pool: Pool, density: LocalDensity, node: int, place: np.ndarray) -> None:
    """Put a node at a place (Å), wherever it was."""
    if pool.used[node]:
        take_node(pool, node)
    x, y, z = place
    i, j, k = _pool_cell(pool, x, y, z)
    cell = (i * pool.counts[1] + j) * pool.counts[2] + k
    pool.place[node] = place
    pool.covered[node] = coverage_at(density, x, y, z)
    pool.factor[node] = 1.0
    pool.following[node] = pool.head[cell]
    pool.head[cell] = node
    pool.used[node] = True


@kernel
def take_node(pool: Pool, node: int) -> None:
    """Take a node out."""
    x, y, z = pool.place[node]
    i, j, k = _pool_cell(pool, x, y, z)
    cell = (i * pool.counts[1] + j) * pool.counts[2] + k
    here = pool.head[cell]
    if here == node:
        pool.head[cell] = pool.following[node]
    else:
        while pool.following[here] != node:
            here = pool.following[here]
        pool.following[here] = pool.following[node]
    pool.used[node] = False
