"""Which half of the data a row belongs to: at random, or by Friedel's law.

Both are properties of a row and never of its place in the table, so that the
halves are the same whatever the order, the workers or the blocks.
"""

from __future__ import annotations

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import index_operations
from unstill.maps.observations import Observations
from unstill.reduction.merging.representatives import CENTRIC, representatives
from unstill.shapes import Integer

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def random_half(observations: Observations, seed: int = 0) -> Integer[np.ndarray, " n"]:
    """Half 0 or 1 of every row, a hash of (seed, sweep, block, index).

    Parameters
    ----------
    observations
        The rows.
    seed
        Another seed gives other halves.

    Returns
    -------
    half
        ``(n,)`` uint8.

    References
    ----------
    Steele, G. L., Lea, D. & Flood, C. H. (2014). Fast splittable pseudorandom
    number generators. *OOPSLA '14*, 453–472. https://doi.org/10.1145/2660193.2660195
    """
    h, k, l = np.moveaxis(observations.index, -1, 0)
    return hashed_half(seed, observations.sweep, observations.block, h, k, l)


def hashed_half(seed: int, *columns: np.ndarray) -> Integer[np.ndarray, " n"]:
    """Half 0 or 1 (uint8) from integers: one bit of their splitmix64 hash."""
    state = np.full(len(columns[0]), seed & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)
    state = splitmix64(state)
    for column in columns:
        state = splitmix64(state ^ column.astype(np.int64).view(np.uint64))
    half: np.ndarray = (state >> np.uint64(63)).astype(np.uint8)
    return half


def friedel_half(
    crystal: Crystal,
    index: Integer[np.ndarray, "n 3"],
    divisions: Triple = (1, 1, 1),
    *,
    centric: Integer[np.ndarray, " n"] | None = None,
) -> Integer[np.ndarray, " n"]:
    """Half 0 of voxels that a proper rotation takes to their representative, else half 1.

    The two halves of one representative are Friedel mates (or mates by a
    mirror of the Laue group), measured apart.

    Parameters
    ----------
    crystal
        Its space group gives the Laue group.
    index
        ``(n, 3)`` grid indices as measured.
    divisions
        Grid points a reciprocal-lattice vector.
    centric
        ``(n,)`` half of the voxels that are their own Friedel mates by
        symmetry, which proper and improper operations reach alike; give
        :func:`random_half`. 0 by default.

    Returns
    -------
    half
        ``(n,)`` uint8.

    Raises
    ------
    InputError
        If the divisions do not allow the Laue group.

    Examples
    --------
    >>> crystal = Crystal((48.5, 48.5, 63.4, 90.0, 90.0, 90.0), "P 41")
    >>> friedel_half(crystal, np.array([[1, 2, 3], [-2, 1, 3], [-1, -2, -3]])).tolist()
    [0, 0, 1]
    """
    operations = index_operations(crystal, divisions)
    _, kind = representatives(operations, index)
    return resolved(kind, centric)


def resolved(
    kind: Integer[np.ndarray, " n"], centric: Integer[np.ndarray, " n"] | None
) -> Integer[np.ndarray, " n"]:
    """Friedel half from the kind of operation; what is centric takes the given half."""
    other = np.uint8(0) if centric is None else centric
    half: np.ndarray = np.where(kind == CENTRIC, other, kind).astype(np.uint8)
    return half


def splitmix64(state: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (uint64) one to one: a step of splitmix64, modulo 2⁶⁴."""
    state = state + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed
