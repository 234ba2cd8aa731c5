"""All symmetry mates of an ensemble, and supercells of them."""

from __future__ import annotations

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.supercell import lattice_translations, supercell, symmetry_operations
from unstill.ensembles.ensemble import Ensemble
from unstill.errors import InputError
from unstill.shapes import Float

_TENSOR = np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])
"""Where U11, U22, U33, U12, U13, U23 stand in the 3 × 3 tensor."""


def expand_to_cell(ensemble: Ensemble) -> Ensemble:
    """Return the full content of one unit cell, in P 1.

    Every operation x' = R x + t of the space group is applied to every atom,
    altlocs included; occupancies and B factors go along, and anisotropic
    displacements turn, U' = M U Mᵀ with M = A R A⁻¹. Mates are not moved back
    into the cell, so molecules stay whole; for whole Miller indices this
    makes no difference. An atom on a special position is repeated by every
    operation, as its occupancy, which counts its share, intends.

    Parameters
    ----------
    ensemble
        With a crystal.

    Returns
    -------
    Ensemble
        All atoms of the first operation (the identity), then of the second,
        and so on; the annotation ``operation`` says which. Chain names are kept.

    Raises
    ------
    InputError
        If the ensemble has no crystal.

    Examples
    --------
    >>> import biotite.structure, numpy as np
    >>> from unstill import Crystal, Ensemble
    >>> atoms = biotite.structure.AtomArray(1)
    >>> crystal = Crystal((10, 10, 20, 90, 90, 90), "P 41")
    >>> cell = expand_to_cell(Ensemble(atoms, np.array([[[1.0, 2.0, 0.0]]]), crystal=crystal))
    >>> cell.n_atoms, cell.coord[0, 3].round(3).tolist()
    (4, [2.0, -1.0, 15.0])
    """
    crystal = _crystal_of(ensemble)
    rotations, translations = symmetry_operations(crystal)
    # Cartesian form of every operation: x' = M x + A t.
    matrix = crystal.orthogonalization_matrix @ rotations @ crystal.fractionalization_matrix
    shift = translations @ crystal.orthogonalization_matrix.T
    turned = np.einsum("oij,maj->moai", matrix, ensemble.coord)
    turned += shift[None, :, None, :]
    n_operations = len(rotations)
    expanded = _repeated(
        ensemble,
        turned.reshape(ensemble.n_members, -1, 3),
        _turned_u(ensemble.u_aniso, matrix),
        n_operations,
    )
    operation = np.repeat(np.arange(n_operations), ensemble.n_atoms)
    expanded.atoms.set_annotation("operation", operation)
    return expanded.replace(crystal=Crystal(crystal.unit_cell, "P 1"))


def build_supercell(ensemble: Ensemble, divisions: Triple) -> Ensemble:
    """Return n₁ × n₂ × n₃ unit cells with all their atoms, in P 1.

    Parameters
    ----------
    ensemble
        With a crystal; the asymmetric unit is expanded first
        (:func:`expand_to_cell`).
    divisions
        Unit cells along a, b and c.

    Returns
    -------
    Ensemble
        Cell after cell, the last axis fastest; the annotation ``cell_index``
        counts them, ``operation`` says which symmetry mate an atom belongs
        to. Its crystal is the supercell in P 1.

    Raises
    ------
    InputError
        If the ensemble has no crystal, or a division is not positive.
    """
    crystal = _crystal_of(ensemble)
    cell = expand_to_cell(ensemble)
    big = supercell(crystal, divisions)
    origins = crystal.cartesian(lattice_translations(divisions).astype(float))
    coord = cell.coord[:, None] + origins[None, :, None, :]
    u_aniso = cell.u_aniso
    built = _repeated(
        cell,
        coord.reshape(cell.n_members, -1, 3),
        None if u_aniso is None else np.concatenate([u_aniso] * len(origins), axis=-2),
        len(origins),
    )
    built.atoms.set_annotation("cell_index", np.repeat(np.arange(len(origins)), cell.n_atoms))
    return built.replace(crystal=big)


def _crystal_of(ensemble: Ensemble) -> Crystal:
    if ensemble.crystal is None:
        raise InputError(
            "the ensemble has no crystal",
            found="neither unit cell nor space group",
            fix="give --unit-cell and --space-group, or a file with CRYST1",
        )
    return ensemble.crystal


def _repeated(
    ensemble: Ensemble,
    coord: Float[np.ndarray, "n_members n_copies_atoms 3"],
    u_aniso: Float[np.ndarray, "... 6"] | None,
    n_copies: int,
) -> Ensemble:
    atoms = ensemble.atoms[np.tile(np.arange(ensemble.n_atoms), n_copies)]
    return ensemble.replace(
        atoms=atoms,
        coord=coord,
        occupancy=np.concatenate([ensemble.occupancy] * n_copies, axis=-1),
        b_factor=np.concatenate([ensemble.b_factor] * n_copies, axis=-1),
        u_aniso=u_aniso,
    )


def _turned_u(
    u_aniso: Float[np.ndarray, "... 6"] | None, matrix: Float[np.ndarray, "n_operations 3 3"]
) -> Float[np.ndarray, "... 6"] | None:
    if u_aniso is None:
        return None
    turned = np.einsum("oij,...ajk,olk->...oail", matrix, u_aniso[..., _TENSOR], matrix)
    flat = turned.reshape(*u_aniso.shape[:-2], -1, 3, 3)
    return np.stack(
        [flat[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))], -1
    )
