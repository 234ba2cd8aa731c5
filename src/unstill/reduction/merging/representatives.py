"""The representative voxel of every row, and what kind of operation reaches it."""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel
from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import check_metric, index_operations
from unstill.errors import InputError
from unstill.shapes import Int, Integer

PROPER, IMPROPER, CENTRIC = 0, 1, 2
"""A rotation reaches the representative; only an inversion or mirror does; both do."""

_BITS = 21
_LIMIT = 1 << (_BITS - 1)
_AT_ONCE = 1 << 19


def representatives(
    operations: Int[np.ndarray, "n_operations 3 3"], index: Integer[np.ndarray, "n 3"]
) -> tuple[Integer[np.ndarray, "n 3"], Integer[np.ndarray, " n"]]:
    """Return the largest mate of every voxel, as ``crystal.symmetry.largest_mate`` does.

    One pass of a compiled loop: tables have millions of rows.

    Parameters
    ----------
    operations
        The group, H' = H @ R.
    index
        ``(n, 3)`` grid indices.

    Returns
    -------
    representative
        ``(n, 3)`` int32.
    kind
        ``(n,)`` uint8: 0 where a proper operation reaches it, 1 where only
        improper ones do, 2 where both do (centric).
    """
    improper = np.linalg.det(operations.astype(float)) < 0
    representative = np.empty((len(index), 3), dtype=np.int32)
    kind = np.empty(len(index), dtype=np.uint8)
    _largest(
        np.ascontiguousarray(operations, dtype=np.int64),
        improper,
        np.ascontiguousarray(index),
        representative,
        kind,
    )
    return representative, kind


def merging_operations(
    crystal: Crystal, divisions: Triple, *, symmetry: bool = True, friedel: bool = True
) -> Int[np.ndarray, "n_operations 3 3"]:
    """Operations that make voxels one.

    Parameters
    ----------
    crystal, divisions
        The lattice and its sampling.
    symmetry
        Rotations of the space group, or the identity alone (P 1).
    friedel
        Also (h, k, l) ≡ (−h, −k, −l).

    Raises
    ------
    InputError
        If the divisions do not allow the group, or the cell does not have it.
    """
    identity = np.eye(3, dtype=np.int64)
    if not symmetry:
        return np.stack([identity, -identity]) if friedel else identity[None]
    check_metric(crystal)
    operations = index_operations(crystal, divisions)
    if friedel:
        return operations
    rotations = {np.array(op.rot).tobytes() for op in crystal.group.operations().sym_ops}
    own = [op for op in operations if (24 * op).astype(np.int64).tobytes() in rotations]
    return np.stack(own)


def packed(index: Integer[np.ndarray, "n 3"]) -> Integer[np.ndarray, " n"]:
    """One int64 that orders as h, then k, then l do.

    Raises
    ------
    InputError
        If an index is beyond a million.
    """
    wide = index.astype(np.int64)
    if wide.size and np.abs(wide).max() >= _LIMIT:
        raise InputError(
            "a grid index is too large to be of a diffuse map",
            found=int(np.abs(wide).max()),
            fix=f"use divisions that keep indices below {_LIMIT}",
        )
    wide = wide + _LIMIT
    key: np.ndarray = (wide[:, 0] << (2 * _BITS)) | (wide[:, 1] << _BITS) | wide[:, 2]
    return key


def packed_representatives(
    operations: Int[np.ndarray, "n_operations 3 3"], index: Integer[np.ndarray, "n 3"]
) -> Integer[np.ndarray, " n"]:
    """Packed keys of the representatives of many voxels, with little working memory."""
    key = np.empty(len(index), dtype=np.int64)
    for begin in range(0, len(index), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        key[part] = packed(representatives(operations, index[part])[0])
    return key


def unpacked(key: Integer[np.ndarray, " n"]) -> Integer[np.ndarray, "n 3"]:
    """Grid indices (int32) of packed keys."""
    low = (1 << _BITS) - 1
    parts = [key >> (2 * _BITS), (key >> _BITS) & low, key & low]
    index: np.ndarray = (np.stack(parts, axis=-1) - _LIMIT).astype(np.int32)
    return index


@kernel
def _largest(
    operations: np.ndarray,
    improper: np.ndarray,
    index: np.ndarray,
    representative: np.ndarray,
    kind: np.ndarray,
) -> None:
    for row in range(len(index)):
        h, k, l = np.int64(index[row, 0]), np.int64(index[row, 1]), np.int64(index[row, 2])
        best_h, best_k, best_l = h, k, l
        proper, reflected = False, False
        for number in range(len(operations)):
            op = operations[number]
            a = h * op[0, 0] + k * op[1, 0] + l * op[2, 0]
            b = h * op[0, 1] + k * op[1, 1] + l * op[2, 1]
            c = h * op[0, 2] + k * op[1, 2] + l * op[2, 2]
            same = a == best_h and b == best_k and c == best_l
            larger = a > best_h or (a == best_h and (b > best_k or (b == best_k and c > best_l)))
            if larger:
                best_h, best_k, best_l = a, b, c
                proper, reflected = False, False
            if larger or same:
                reflected |= improper[number]
                proper |= not improper[number]
        representative[row, 0] = best_h
        representative[row, 1] = best_k
        representative[row, 2] = best_l
        kind[row] = 2 if proper and reflected else (1 if reflected else 0)
