"""Multiconformer models from mmCIF: every altloc, every category, the hierarchy of states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unstill.ensembles import Multiconformer
from unstill.ensembles.multiconformer import StateTree
from unstill.errors import FormatError
from unstill.io.conformers.atom_columns import word_column
from unstill.io.conformers.atom_rows import AtomRows, atom_rows
from unstill.io.conformers.carried_cif import (
    CarriedCif,
    Category,
    carried_from_parts,
    category_reader,
)
from unstill.io.conformers.cif_parts import read_cif_parts
from unstill.io.conformers.hierarchy_categories import (
    HIERARCHY,
    MEMBER,
    read_frames,
    read_members,
    read_rules,
    read_states,
    read_weights,
    states_of_rows,
    with_occupancies,
)
from unstill.io.conformers.label_states import label_states
from unstill.io.mmcif import cif_crystal
from unstill.io.reading import parsing


def read_mmcif_conformers(path: Path) -> Multiconformer:
    """Read an mmCIF file (``.gz`` allowed) with all its altlocs, models and states.

    A file with ``_pdbx_heterogeneity_hierarchy`` gives a stated tree; otherwise
    states are read off altlocs and models, as ``states_from_labels`` does.
    Everything else that the file holds is kept in ``carried``.

    Raises
    ------
    FormatError
        If the file is damaged, cut short or holds no atoms.
    InputError
        If an atom stands twice in one place, or the hierarchy makes no tree.
    """
    path = Path(path)
    with parsing(path, "an mmCIF file"):
        carried, block = carried_from_parts(read_cif_parts(path), path.name)
        return model_of_carried(carried, category_reader(block), path)


def model_of_carried(
    carried: CarriedCif, category: Callable[[str], Category], path: Path
) -> Multiconformer:
    """Build the model of what a file holds."""
    rows = atom_rows(carried, path.name)
    known = _stated(carried, rows, category) or _labelled(rows, category, path.name)
    return Multiconformer(
        rows.sites,
        rows.site,
        coord=rows.coord,
        b_factor=rows.b_factor,
        altloc_id=rows.altloc.text(),
        u_aniso=rows.u_aniso,
        crystal=cif_crystal(category),
        carried=carried,
        source_row=np.arange(len(rows.site)),
        provenance={"source": str(path)},
        **known,
    )


def _stated(
    carried: CarriedCif, rows: AtomRows, category: Callable[[str], Category]
) -> dict[str, Any] | None:
    """States as the hierarchy of a file has them; ``None`` without one."""
    column = word_column(carried.atom_table, "state")
    if not category(HIERARCHY):
        if (column.words != "").any():
            raise FormatError(
                "atoms are said to be in states, and there is no tree of states",
                found=f"_atom_site.pdbx_heterogeneity_id without _{HIERARCHY}",
                fix="add the hierarchy, or remove the item",
            )
        return None
    states = read_states(category)
    tree = StateTree(states)
    state = states_of_rows(column.words, column.codes, tree)
    return {
        "state": state,
        "occupancy": rows.occupancy,
        "states": with_occupancies(states, state, rows.occupancy),
        "rules": read_rules(category),
        "members": read_members(category, tree),
        "stated": True,
    }


def _labelled(rows: AtomRows, category: Callable[[str], Category], name: str) -> dict[str, Any]:
    """States read off altlocs and models."""
    weights = read_weights(category, len(rows.models), name)
    frames = read_frames(category(MEMBER))
    if frames is not None and len(frames) != len(rows.models):
        frames = None
    # Members that were written as models may lack what is partial.
    told = len(category(MEMBER).get("id", ())) == len(rows.models)
    states, state, members = label_states(rows, weights, frames, name, may_differ=told)
    several = len(rows.models) > 1
    return {
        "state": state,
        "occupancy": rows.occupancy * weights[rows.model] if several else rows.occupancy,
        "states": states,
        "members": members,
        "stated": False,
    }
