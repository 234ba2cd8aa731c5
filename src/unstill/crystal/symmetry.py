"""Laue symmetry of fractional Miller coordinates, in integers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import gemmi
import numpy as np

from unstill.crystal.crystal import Crystal
from unstill.crystal.displacement import cartesian_rotation
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.shapes import HklIndex, Int, Integer

_AXES = "hkl"


def laue_operations(crystal: Crystal) -> Int[np.ndarray, "n_operations 3 3"]:
    """Operations of the Laue group on Miller coordinates, h' = h @ R.

    The rotations of the space group and their negatives (Friedel's law), each
    once, the identity first. Row-vector convention: R is the rotation of the
    real-space operation x' = R x + t.

    Returns
    -------
    operations
        ``(n, 3, 3)`` integers; n is the order of the Laue group (2 to 48).

    Examples
    --------
    >>> laue_operations(Crystal((48.5, 48.5, 63.4, 90.0, 90.0, 90.0), "P 41")).shape
    (8, 3, 3)
    """
    return _operations_of(crystal.space_group)


def check_metric(crystal: Crystal) -> None:
    """Refuse a space group that the unit cell does not have.

    Averaging over such a group, declared by mistake, would mix points that
    differ in resolution.

    Raises
    ------
    InputError
        If an operation changes lengths by more than 1 % in this cell.
    """
    for operation in laue_operations(crystal):
        cartesian_rotation(crystal, operation.astype(float))


def has_symmetry_of(model: Crystal, observed: Crystal) -> bool:
    """Tell whether the Laue group of the model holds that of the map."""
    of_model = {operation.tobytes() for operation in laue_operations(model)}
    return {operation.tobytes() for operation in laue_operations(observed)} <= of_model


def index_operations(crystal: Crystal, divisions: Triple) -> Int[np.ndarray, "n_operations 3 3"]:
    """Laue operations on the grid indices H = hkl × divisions, H' = H @ R.

    Raises
    ------
    InputError
        If an operation mixes two axes that are divided differently: the mates of
        a grid point are then not grid points.
    """
    operations = laue_operations(crystal)
    mixed = np.any(operations != 0, axis=0)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        if divisions[i] != divisions[j] and (mixed[i, j] or mixed[j, i]):
            raise InputError(
                f"the Laue group {crystal.laue_group} ({crystal.space_group}) mixes "
                f"{_AXES[i]} and {_AXES[j]}, which are divided differently",
                found=f"divisions {tuple(divisions)}",
                fix="resample to equal divisions of these axes, or declare a lower symmetry",
            )
    return operations


def map_to_asu(
    crystal: Crystal, index: HklIndex, divisions: Triple = (1, 1, 1)
) -> Integer[np.ndarray, "*points 3"]:
    """Return the representative of the Laue orbit of each grid index.

    The representative is the lexicographically largest member of the orbit (h,
    then k, then l). These points form a convex wedge of 1/n of reciprocal
    space, in every setting of every space group; it need not be the wedge that
    other programs choose.

    Parameters
    ----------
    crystal
        Its space group gives the Laue group.
    index
        ``(..., 3)`` grid indices H; Miller indices where ``divisions`` are 1.
    divisions
        Grid points a reciprocal-lattice vector, hkl = H / divisions.

    Returns
    -------
    representative
        ``(..., 3)`` grid indices, of the type of ``index``.

    Raises
    ------
    InputError
        If the divisions do not allow the Laue group.

    Examples
    --------
    >>> tetragonal = Crystal((48.5, 48.5, 63.4, 90.0, 90.0, 90.0), "P 41")
    >>> map_to_asu(tetragonal, np.array([[0, -3, 2], [0, 3, -2]])).tolist()
    [[3, 0, 2], [3, 0, 2]]
    """
    return largest_mate(index_operations(crystal, divisions), index)


def largest_mate(
    operations: Int[np.ndarray, "n_operations 3 3"], index: HklIndex
) -> Integer[np.ndarray, "*points 3"]:
    """Return the lexicographically largest of the mates of each grid index.

    Points have the same one if a group of operations takes them to each other.

    Parameters
    ----------
    operations
        The group, H' = H @ R.
    index
        ``(..., 3)`` grid indices H.
    """
    index = np.asarray(index)
    best = index.reshape(-1, 3).astype(np.int64)
    best_key = _sort_key(best, bound := _bound(operations, best))
    for mates in _mates(operations, best.copy()):
        key = _sort_key(mates, bound)
        better = key > best_key
        best[better], best_key[better] = mates[better], key[better]
    representative: np.ndarray = best.astype(index.dtype).reshape(index.shape)
    return representative


def orbit(
    crystal: Crystal, index: Integer[np.ndarray, "3"], divisions: Triple = (1, 1, 1)
) -> Integer[np.ndarray, "mates 3"]:
    """All distinct Laue mates of one grid index, lexicographically sorted.

    Examples
    --------
    >>> orbit(Crystal((48.5, 48.5, 63.4, 90.0, 90.0, 90.0), "P 41"), np.array([0, 0, 2])).tolist()
    [[0, 0, -2], [0, 0, 2]]
    """
    mates: np.ndarray = np.unique(np.asarray(index) @ index_operations(crystal, divisions), axis=0)
    return mates


def orbit_size(
    crystal: Crystal, index: HklIndex, divisions: Triple = (1, 1, 1)
) -> Int[np.ndarray, "*points"]:
    """Count the distinct Laue mates of each grid index.

    The order of the Laue group over the number of its operations that leave
    the point where it is.
    """
    operations = index_operations(crystal, divisions)
    index = np.asarray(index)
    fixed = np.zeros(index.shape[:-1], dtype=np.int64)
    for mates in _mates(operations, index):
        fixed = fixed + np.all(mates == index, axis=-1)
    size: np.ndarray = np.asarray(len(operations) // fixed)
    return size


def _mates(operations: np.ndarray, index: np.ndarray) -> Iterator[np.ndarray]:
    # Integer matrix products are slow in numpy; sums over the few non-zero entries are not.
    columns = [index[..., axis].astype(np.int64) for axis in range(3)]
    for operation in operations:
        mates = np.zeros(index.shape, dtype=np.int64)
        for i, j in zip(*np.nonzero(operation), strict=True):
            mates[..., j] += operation[i, j] * columns[i]
        yield mates


def _bound(operations: np.ndarray, index: np.ndarray) -> int:
    largest = int(np.abs(index).max(initial=0))
    return largest * int(np.abs(operations).sum(axis=1).max()) + 1


def _sort_key(index: np.ndarray, bound: int) -> np.ndarray:
    """One integer that orders as h, k, l do; indices stay below ``bound`` in size."""
    span = 2 * bound + 1
    key: np.ndarray = (index[..., 0] * span + index[..., 1]) * span + index[..., 2]
    return key


@lru_cache(maxsize=600)
def _operations_of(space_group: str) -> np.ndarray:
    group = gemmi.SpaceGroup(space_group).operations()
    rotations = np.array([op.rot for op in group.sym_ops]) // gemmi.Op.DEN
    both = np.concatenate([rotations, -rotations])
    # A dictionary keeps the order (identity first) and drops what inversion repeats.
    unique = np.array(list({operation.tobytes(): operation for operation in both}.values()))
    unique.setflags(write=False)
    return unique
