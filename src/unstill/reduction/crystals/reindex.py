"""Rows and crystals under other indices."""

from __future__ import annotations

import warnings

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.reindexing import ReindexOperator, reindexed_crystal
from unstill.crystal.same_lattice import same_lattice
from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError, UnstillWarning
from unstill.maps.observations import Observations

_AXES = "hkl"


def reindex_observations(
    observations: Observations,
    operator: ReindexOperator,
    *,
    rows: np.ndarray | None = None,
) -> Observations:
    """Move rows to other indices, hkl' = hkl @ matrix.

    Parameters
    ----------
    observations
        The rows.
    operator
        The change of indices.
    rows
        ``(n,)`` bool or positions of the rows to move; all by default. All
        rows share one crystal, so that an operator that changes the cell by
        more than 1 % can only move all of them.

    Returns
    -------
    moved
        Rows in their old order; the crystal in the new axes if all moved.

    Raises
    ------
    InputError
        If the operator does not fit the divisions, or would change the cell
        of some rows and not of others.
    """
    if operator.is_identity:
        return observations
    matrix = index_matrix(operator, observations.divisions)
    crystal = moved_crystal(observations.crystal, operator)
    index = observations.index.copy()
    if rows is None:
        index = (index @ matrix).astype(index.dtype)
        return observations.replace(index=index, crystal=crystal)
    if not same_lattice(crystal, observations.crystal):
        raise InputError(
            f"{operator.name} changes the unit cell, and not all rows are moved",
            found=f"{observations.crystal.unit_cell} and {crystal.unit_cell}",
            fix="move all rows, or choose an operator that keeps the cell",
        )
    index[rows] = (index[rows] @ matrix).astype(index.dtype)
    return observations.replace(index=index)


def index_matrix(operator: ReindexOperator, divisions: Triple) -> np.ndarray:
    """Return the operator on grid indices, ``(3, 3)`` whole numbers.

    Raises
    ------
    InputError
        If it mixes or exchanges axes that are divided differently, or takes
        grid points off the grid.
    """
    matrix = operator.matrix
    whole: np.ndarray = np.rint(matrix).astype(np.int64)
    if not np.allclose(matrix, whole):
        raise InputError(
            f"{operator.name} takes grid points off the grid",
            found=f"divisions {divisions}",
            fix="use an operator with whole coefficients",
        )
    for old, new in zip(*np.nonzero(whole), strict=True):
        if divisions[old] != divisions[new]:
            raise InputError(
                f"{operator.name} takes {_AXES[old]} to {_AXES[new]}, which are divided "
                "differently",
                found=f"divisions {divisions}",
                fix="reduce with equal divisions of these axes",
            )
    return whole


def moved_crystal(crystal: Crystal, operator: ReindexOperator) -> Crystal:
    """Return the crystal in the new axes, with a space group of the same Laue group.

    An operator may shift the origin, so that the group has no name there.
    Intensities do not know the origin.
    """
    matrix = operator.matrix
    inverse = np.linalg.inv(matrix)
    laue = {operation.tobytes() for operation in laue_operations(crystal)}
    turned = np.rint(inverse @ laue_operations(crystal) @ matrix).astype(np.int64)
    if {np.ascontiguousarray(operation).tobytes() for operation in turned} != laue:
        return reindexed_crystal(crystal, operator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstillWarning)
        found = reindexed_crystal(crystal, operator)
    nameless = found.laue_group != crystal.laue_group
    return Crystal(found.unit_cell, crystal.space_group) if nameless else found
