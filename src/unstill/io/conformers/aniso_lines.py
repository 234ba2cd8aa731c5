"""Tokens of the lines of anisotropic displacements."""

from __future__ import annotations

import numpy as np

from unstill.ensembles import Multiconformer
from unstill.io.conformers.atom_columns import TENSOR, aniso_kind, tensors
from unstill.io.conformers.atom_lines import Cells, Written, mixed
from unstill.io.conformers.carried_cif import CarriedCif
from unstill.io.conformers.number_text import NumberText


def aniso_columns(
    model: Multiconformer,
    items: dict[str, Written],
    atom_columns: dict[str, Cells],
    carried: CarriedCif | None,
    source: np.ndarray,
    numbers: NumberText,
) -> tuple[np.ndarray, dict[str, Cells]]:
    """Return the rows that have such a line, in order, and its columns by their tags.

    Lines of the file stay as they are where atom and tensor did not change.
    """
    if model.u_aniso is None:
        return np.empty(0, dtype=int), {}
    rows = np.flatnonzero(~np.isnan(model.u_aniso).any(axis=1))
    table = None if carried is None else carried.aniso_table
    line = np.full(model.n_rows, -1)
    kind, scale = "U", 1.0
    same = np.zeros(model.n_rows, dtype=bool)
    if carried is not None and table is not None and len(table):
        of_source = np.full(len(carried.atom_table), -1)
        of_source[carried.aniso_row] = np.arange(len(table))
        line = np.where(source >= 0, of_source[np.maximum(source, 0)], -1)
        kind, scale = aniso_kind(table)
        old = tensors(table, "the file")
        same = (line >= 0) & (old[np.maximum(line, 0)] == model.u_aniso).all(axis=1)
    rows = rows[np.argsort(np.where(line[rows] >= 0, line[rows], len(line)), kind="stable")]
    own = _own_items(model, items, atom_columns, same, (kind, scale), numbers)
    if table is None:
        names = ("id", "type_symbol", *(f"U{index}" for index in TENSOR))
        return rows, {f"_atom_site_anisotrop.{name}": own[name.lower()].cells for name in names}
    return rows, {
        tag: mixed(column, np.where(same, line, -1) if written is None else line, written)
        for tag, column, written in (
            (tag, column, own.get(tag.partition(".")[2].lower()))
            for tag, column in zip(table.tags, table.columns, strict=True)
        )
    }


def _own_items(
    model: Multiconformer,
    items: dict[str, Written],
    atom_columns: dict[str, Cells],
    same: np.ndarray,
    unit: tuple[str, float],
    numbers: NumberText,
) -> dict[str, Written]:
    assert model.u_aniso is not None
    kind, scale = unit
    values = model.u_aniso / scale
    found: dict[str, Written] = {}
    for place, index in enumerate(TENSOR):

        def cells(rows: np.ndarray, place: int = place) -> list[str]:
            return numbers.displacements(values[rows, place])

        found[f"{kind}{index}".lower()] = Written(cells, same)
    of_atoms = {tag.partition(".")[2].lower(): cells for tag, cells in atom_columns.items()}
    for item, written in items.items():
        # What the line repeats of its atom follows the atom.
        text = of_atoms.get(item.lower(), written.cells)
        for name in (item, f"pdbx_{item}"):
            found.setdefault(name.lower(), Written(text, written.same))
    return found
