r"""Main chains from torsions, and torsions that close them.

A main chain is N, CA, C of the residue before the loop, of the loop, and of the residue after
it; each atom follows from the three before it by a length, an angle and a torsion (Parsons et
al., 2005, https://doi.org/10.1002/jcc.20237). A loop is closed when the last three atoms meet
the ones that do not move. With J the derivatives of these nine coordinates to the torsions and
e what is missing, Newton's step of least weighted size is

.. math:: \delta\theta = W J^T (J W J^T + \epsilon)^{-1} e .

W lets ω turn less than φ and ψ. So few equations for so many angles leave the loop as it is as
far as closing allows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unstill.compiled import kernel
from unstill.shapes import Coord, Float

CLOSED = 0.005
"""Å root mean square over the three atoms that must be met."""
_MOST_STEPS = 60
_LARGEST_TURN = 0.3
_RIDGE = 1e-4


class Chain(NamedTuple):
    """What of a loop's geometry stays: lengths, angles, what hangs on the main chain.

    ``start`` ``(3, 3)`` N, CA, C of the residue before; ``target`` ``(3, 3)`` those of the
    residue after; ``length`` (Å), ``angle`` (radians) of each placed atom, ``(3 (n + 1),)``;
    ``oxygen`` ``(n + 1, 3)`` O of the residue before and of the loop in the frame of CA, C, N;
    ``beta`` ``(n, 3)`` CB in the frame of N, CA, C, and ``has_beta``; ``mobility`` of torsions.
    """

    start: np.ndarray
    target: np.ndarray
    length: np.ndarray
    angle: np.ndarray
    oxygen: np.ndarray
    beta: np.ndarray
    has_beta: np.ndarray
    mobility: np.ndarray


def close_loop(
    chain: Chain, torsions: Float[np.ndarray, " n_torsions"]
) -> tuple[Float[np.ndarray, " n_torsions"], Coord, float]:
    """Turn torsions as little as it takes for the chain to meet its target.

    Parameters
    ----------
    chain
        Geometry.
    torsions
        ``(3 (n + 1),)`` radians: ψ of the residue before, ω, φ, ψ, ω, φ … of the loop, and φ
        of the residue after.

    Returns
    -------
    torsions
        Radians.
    places
        ``(3 (n + 2), 3)`` main chain (Å).
    gap
        Root mean square distance (Å) that is left; more than ``CLOSED`` if it cannot be closed.
    """
    turned = np.array(torsions, dtype=float)
    places = np.empty((3 + len(turned), 3))
    gap = close(chain, turned, places)
    return turned, places, float(gap)


@kernel
def build(chain: Chain, torsions: np.ndarray, places: np.ndarray, first: int, last: int) -> None:
    """Place main-chain atoms ``first`` ≤ k < ``last``; those before must stand."""
    if first <= 3:
        places[:3] = chain.start
    for k in range(max(first, 3), last):
        place_next(places, k, chain.length[k - 3], chain.angle[k - 3], torsions[k - 3])


@kernel
def place_next(places: np.ndarray, k: int, length: float, angle: float, torsion: float) -> None:
    """Place atom k from the three before it."""
    bx, by, bz = places[k - 1] - places[k - 2]
    norm = np.sqrt(bx * bx + by * by + bz * bz)
    bx, by, bz = bx / norm, by / norm, bz / norm
    ax, ay, az = places[k - 2] - places[k - 3]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    norm = np.sqrt(nx * nx + ny * ny + nz * nz)
    nx, ny, nz = nx / norm, ny / norm, nz / norm
    mx, my, mz = ny * bz - nz * by, nz * bx - nx * bz, nx * by - ny * bx
    u = -length * np.cos(angle)
    v = length * np.sin(angle) * np.cos(torsion)
    w = length * np.sin(angle) * np.sin(torsion)
    places[k, 0] = places[k - 1, 0] + u * bx + v * mx + w * nx
    places[k, 1] = places[k - 1, 1] + u * by + v * my + w * ny
    places[k, 2] = places[k - 1, 2] + u * bz + v * mz + w * nz


@kernel
def in_frame(a: np.ndarray, b: np.ndarray, c: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Place (Å) from coordinates in the frame of three atoms: b the origin, x to c, z normal."""
    x = c - b
    x = x / np.sqrt((x * x).sum())
    z = np.cross(a - b, x)
    z = z / np.sqrt((z * z).sum())
    y = np.cross(z, x)
    found: np.ndarray = b + local[0] * x + local[1] * y + local[2] * z
    return found


def frame_coordinates(frame: Coord, place: Coord) -> Coord:
    """Return coordinates in the frame of :func:`in_frame`, of three atoms, from places."""
    a, b, c = frame
    x = (c - b) / np.linalg.norm(c - b)
    z = np.cross(a - b, x)
    z /= np.linalg.norm(z)
    local: np.ndarray = (place - b) @ np.array([x, np.cross(z, x), z]).T
    return local


@kernel
def close(chain: Chain, torsions: np.ndarray, places: np.ndarray) -> float:
    """Close the chain in place; the gap (Å) that is left."""
    n = len(torsions)
    build(chain, torsions, places, 0, n + 3)
    gap = _gap(chain, places)
    jacobian = np.empty((9, n))
    missing = np.empty(9)
    for _ in range(_MOST_STEPS):
        if gap <= CLOSED:
            break
        for t in range(n):
            tip, tail = places[t + 2], places[t + 1]
            ux, uy, uz = tip - tail
            norm = np.sqrt(ux * ux + uy * uy + uz * uz)
            ux, uy, uz = ux / norm, uy / norm, uz / norm
            for atom in range(3):
                rx, ry, rz = places[n + atom] - tip
                # The torsion of an atom does not move those before it.
                there = 1.0 if n + atom >= t + 3 else 0.0
                jacobian[3 * atom, t] = there * (uy * rz - uz * ry)
                jacobian[3 * atom + 1, t] = there * (uz * rx - ux * rz)
                jacobian[3 * atom + 2, t] = there * (ux * ry - uy * rx)
        for atom in range(3):
            for axis in range(3):
                missing[3 * atom + axis] = chain.target[atom, axis] - places[n + atom, axis]
        weighted = jacobian * chain.mobility
        normal = weighted @ jacobian.T
        ridge = _RIDGE * np.trace(normal) / 9
        for row in range(9):
            normal[row, row] += ridge
        step = weighted.T @ np.linalg.solve(normal, missing)
        largest = np.abs(step).max()
        if largest > _LARGEST_TURN:
            step *= _LARGEST_TURN / largest
        torsions += step
        build(chain, torsions, places, 0, n + 3)
        gap = _gap(chain, places)
    return float(gap)


@kernel
def _gap(chain: Chain, places: np.ndarray) -> float:
    off = places[len(places) - 3 :] - chain.target
    return float(np.sqrt((off * off).sum() / 3))
