"""Other ways to index the same lattice: operators and the candidates among them.

Where the lattice has more symmetry than the crystal (4/m in a tetragonal
lattice, 3 in a hexagonal one, ...), two data sets can be indexed in ways that
no cell dimension tells apart. The candidates are the coset representatives of
the point group of the lattice over the Laue group.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gemmi
import numpy as np

from unstill.crystal.crystal import Crystal
from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError, UnstillWarning
from unstill.shapes import Matrix3

MAX_OBLIQUITY = 3.0
"""Largest angle (degrees) between a direct and a reciprocal axis that counts as a twofold axis."""

UnitCell = tuple[float, float, float, float, float, float]

_Rows = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class ReindexOperator:
    """A change of indices, hkl' = hkl @ matrix.

    Parameters
    ----------
    rows
        The matrix as nested tuples (hashable); see :attr:`matrix`.
    name
        The new h, k, l in terms of the old, for example ``"k,h,-l"``.

    Examples
    --------
    >>> swap = parse_operator("k,h,-l")
    >>> (np.array([1, 2, 3]) @ swap.matrix).tolist()
    [2.0, 1.0, -3.0]
    """

    rows: _Rows
    name: str

    @property
    def matrix(self) -> Matrix3:
        """``(3, 3)`` matrix acting on row vectors from the right."""
        return np.array(self.rows, dtype=float)

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return bool(np.array_equal(self.matrix, np.eye(3)))

    @property
    def inverse(self) -> ReindexOperator:
        """The operator that undoes this one."""
        return operator_of(np.linalg.inv(self.matrix))


IDENTITY = ReindexOperator(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), "h,k,l")
"""h,k,l: nothing changes."""


def parse_operator(name: str) -> ReindexOperator:
    """Return the operator that a triplet such as ``"k,h,-l"`` means.

    Raises
    ------
    InputError
        If it is not a triplet of h, k, l, or changes the volume of the cell.

    Examples
    --------
    >>> parse_operator("-h-k, k, -l").name
    '-h-k,k,-l'
    """
    fix = "give the new h, k, l in terms of the old, for example k,h,-l"
    try:
        matrix = np.array(gemmi.Op(name.replace(" ", "")).rot) / gemmi.Op.DEN
    except (RuntimeError, ValueError) as error:
        raise InputError("not a reindexing operator", found=repr(name), fix=fix) from error
    if not {"h", "k", "l"} & set(name):
        raise InputError("not a reindexing operator of h, k, l", found=repr(name), fix=fix)
    volume = abs(float(np.linalg.det(matrix)))
    if not np.isclose(volume, 1):
        raise InputError(
            "a reindexing operator must keep the volume of the cell",
            found=f"{name!r}, which scales it by {volume:g}",
            fix=fix,
        )
    return operator_of(matrix)


def operator_of(matrix: Matrix3) -> ReindexOperator:
    """Name a matrix that acts on row vectors hkl from the right."""
    numerators = np.rint(np.asarray(matrix) * gemmi.Op.DEN).astype(int)
    triplet = gemmi.Op("h,k,l")
    triplet.rot = numerators.tolist()
    rows = tuple((float(a), float(b), float(c)) for a, b, c in numerators / gemmi.Op.DEN)
    return ReindexOperator(rows, triplet.triplet())


def candidate_operators(
    crystal: Crystal, partner: Crystal | None = None, *, max_obliquity: float = MAX_OBLIQUITY
) -> tuple[ReindexOperator, ...]:
    """Return the indexings that the metric of the lattice cannot tell apart.

    Coset representatives of the point group of the lattice (its metric within
    ``max_obliquity``) over the Laue group; of each coset the simplest proper
    rotation. The identity comes first.

    Parameters
    ----------
    crystal
        Cell and Laue group of the map that will be reindexed.
    partner
        Crystal of the map that it is compared with. Operators that differ by
        a Laue operation of the partner give the same agreement, so that only
        one of them is returned (double cosets). By default all cosets.
    max_obliquity
        In degrees; larger values accept lattices that are less symmetric
        (Le Page, 1982, https://doi.org/10.1107/S0021889882011959).

    Examples
    --------
    >>> cell = (48.5, 48.5, 63.4, 90.0, 90.0, 90.0)
    >>> [operator.name for operator in candidate_operators(Crystal(cell, "P 41"))]
    ['h,k,l', 'k,h,-l']
    >>> [operator.name for operator in candidate_operators(Crystal(cell, "P 41 21 2"))]
    ['h,k,l']
    """
    own = _units(laue_operations(crystal))
    other = own[:1] if partner is None else _units(laue_operations(partner))
    remaining = {_key(op): op for op in lattice_operations(crystal, max_obliquity=max_obliquity)}
    # A Laue group that the metric itself does not have (wrong cell) must not hide the identity.
    remaining |= {_key(op): op for op in own}
    found: list[ReindexOperator] = []
    start = own[0]
    while remaining:
        coset = _coset(own, start, other)
        found.append(IDENTITY if not found else operator_of(_simplest(coset) / gemmi.Op.DEN))
        for op in coset:
            remaining.pop(_key(op), None)
        start = _simplest(remaining.values()) if remaining else start
    return tuple(found)


def lattice_operations(crystal: Crystal, *, max_obliquity: float = MAX_OBLIQUITY) -> np.ndarray:
    """Point group of the lattice on row vectors hkl, in units of 1/24.

    ``(n, 3, 3)`` integers: centred cells can have lattice operations with
    fractional entries, and 24 is the common denominator that gemmi uses.
    """
    return _lattice_group(crystal.unit_cell, crystal.group.centring_type(), max_obliquity)


def reindexed_crystal(crystal: Crystal, operator: ReindexOperator) -> Crystal:
    """Return the crystal described in the new axes, a' = Σ a_i M_ij.

    The cell follows the matrix; symmetry-equivalent descriptions keep the cell
    exactly. The space group is the same group of operations in the new axes;
    where it has no name there, the crystal is declared P 1, which is less but
    not wrong, with an :class:`~unstill.errors.UnstillWarning`.
    """
    if operator.is_identity:
        return crystal
    basis = crystal.orthogonalization_matrix @ operator.matrix
    return Crystal(_cell_of(basis, crystal), _group_of(crystal, operator))


@lru_cache(maxsize=64)
def _lattice_group(
    unit_cell: tuple[float, ...], centring: str, max_obliquity: float
) -> np.ndarray:
    proper = gemmi.find_lattice_symmetry(gemmi.UnitCell(*unit_cell), centring, max_obliquity)
    rotations = np.array([op.rot for op in proper.sym_ops])
    both = np.concatenate([rotations, -rotations])
    both.setflags(write=False)
    return both


def _coset(left: np.ndarray, middle: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
    products = np.einsum("aij,jk,bkl->abil", left, middle, right) // gemmi.Op.DEN**2
    return list(products.reshape(-1, 3, 3))


def _simplest(operations: Iterable[np.ndarray]) -> np.ndarray:
    """Prefer proper rotations, few and small terms, few minus signs; then a fixed order."""

    def rank(op: np.ndarray) -> tuple[object, ...]:
        improper = np.linalg.det(op.astype(float)) < 0
        off_diagonal = int(np.count_nonzero(op - np.diag(np.diag(op))))
        return (
            improper,
            int(np.abs(op).sum()),
            int(np.count_nonzero(op < 0)),
            off_diagonal,
            op.T.ravel().tolist()[::-1],
        )

    return min(operations, key=rank)


def _units(operations: np.ndarray) -> np.ndarray:
    return operations * gemmi.Op.DEN


def _key(operation: np.ndarray) -> bytes:
    return np.ascontiguousarray(operation, dtype=np.int64).tobytes()


def _cell_of(basis: np.ndarray, before: Crystal) -> UnitCell:
    lengths = np.linalg.norm(basis, axis=0)
    unit = basis / lengths
    pairs = ((1, 2), (0, 2), (0, 1))
    angles = [np.degrees(np.arccos(np.clip(unit[:, i] @ unit[:, j], -1, 1))) for i, j in pairs]
    a, b, c, alpha, beta, gamma = (round(float(value), 6) for value in (*lengths, *angles))
    cell = (a, b, c, alpha, beta, gamma)
    unchanged = np.allclose(cell, before.unit_cell, rtol=0, atol=2e-5)
    return before.unit_cell if unchanged else cell


def _group_of(crystal: Crystal, operator: ReindexOperator) -> str:
    # h' = h M makes x' = M⁻¹ x, so that R becomes M⁻¹ R M and t becomes M⁻¹ t.
    inverse = operator.inverse.matrix
    moved = []
    for op in crystal.group.operations():
        triplet = gemmi.Op()
        rotation = inverse @ np.array(op.rot) @ operator.matrix
        triplet.rot = np.rint(rotation).astype(int).tolist()
        triplet.tran = np.rint(inverse @ np.array(op.tran)).astype(int).tolist()
        moved.append(triplet.wrap())
    # The stubs of gemmi leave out that there may be none.
    group: Any = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(moved))
    if group is None:
        warnings.warn(
            f"{crystal.space_group} has no name in the axes {operator.name}; declared P 1",
            UnstillWarning,
            stacklevel=3,
        )
        return "P 1"
    return str(group.xhm())
