"""Multiconformer models as biotite atoms, with their altlocs, and back."""

from __future__ import annotations

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble, Multiconformer
from unstill.ensembles.multiconformer import atoms_of_rows, states_from_labels
from unstill.errors import InputError


def to_biotite(model: Multiconformer) -> biotite.structure.AtomArray:
    """Return the rows as atoms, one a row.

    biotite's own writers leave out ``altloc_id``: atoms written by them stand in one place
    twice. Write with :func:`unstill.io.write_multiconformer` instead.

    Returns
    -------
    biotite.structure.AtomArray
        With the annotations ``altloc_id`` (``"."`` for none, as biotite reads it), ``occupancy``,
        ``b_factor``, ``state_id``, and the ``box`` of the crystal.
    """
    ensemble = atoms_of_rows(model)
    atoms = ensemble.atoms.copy()
    atoms.coord = model.coord.astype(np.float32)
    atoms.set_annotation("occupancy", model.occupancy.astype(float))
    atoms.set_annotation("b_factor", model.b_factor.astype(float))
    labels = np.asarray(model.altloc_id, dtype=str)
    atoms.set_annotation("altloc_id", np.where(labels == "", ".", labels))
    ids = np.array([state.id for state in model.states])
    atoms.set_annotation("state_id", ids[model.state])
    if model.crystal is not None:
        lengths, angles = model.crystal.unit_cell[:3], np.radians(model.crystal.unit_cell[3:])
        atoms.box = biotite.structure.vectors_from_unitcell(*lengths, *angles)
    return atoms


def from_biotite(
    atoms: biotite.structure.AtomArray, *, crystal: Crystal | None = None
) -> Multiconformer:
    """Return the model of atoms read with ``altloc="all"``.

    Parameters
    ----------
    atoms
        One atom a place. ``altloc_id``, ``occupancy`` and ``b_factor`` are used where there
        are such annotations.
    crystal
        biotite knows no space groups; give it here.

    Raises
    ------
    InputError
        If the atoms have no ``altloc_id`` and stand twice, or are a stack of models.
    """
    if isinstance(atoms, biotite.structure.AtomArrayStack):
        raise InputError(
            "a stack of models is an ensemble, not a model with altlocs",
            found=f"{atoms.stack_depth()} models",
            fix="give one model: atoms[0]",
        )
    known = set(atoms.get_annotation_categories())
    plain = atoms.copy()
    for name in ("occupancy", "b_factor"):
        if name in known:
            plain.del_annotation(name)
    ones = np.ones(len(plain))
    return states_from_labels(
        Ensemble(
            plain,
            np.asarray(atoms.coord, dtype=float)[None],
            occupancy=np.asarray(atoms.occupancy if "occupancy" in known else ones, float),
            b_factor=np.asarray(atoms.b_factor if "b_factor" in known else 0 * ones, float),
            crystal=crystal,
        )
    )
