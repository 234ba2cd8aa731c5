"""Write multiconformer models as mmCIF: what a file held stays, token by token."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import gemmi
import numpy as np

from unstill.ensembles import Multiconformer
from unstill.io.atomic import atomic_path
from unstill.io.conformers.aniso_lines import aniso_columns
from unstill.io.conformers.atom_lines import Cells, atom_items, item_columns
from unstill.io.conformers.carried_cif import CarriedCif, category_reader
from unstill.io.conformers.cif_parts import MARKER, has_marker, marker
from unstill.io.conformers.cif_tables import put_table
from unstill.io.conformers.number_text import NumberText
from unstill.io.conformers.token_columns import TokenTable
from unstill.io.conformers.written_hierarchy import put_hierarchy
from unstill.io.mmcif import cif_crystal
from unstill.io.stated_provenance import CATEGORY, provenance_items
from unstill.provenance import Provenance

_RUN = 20_000
_PLACE = re.compile(rf"(?:loop_\n)?{re.escape(MARKER)}(\d+)\s+0\n", re.IGNORECASE)


def write_mmcif_conformers(
    model: Multiconformer,
    path: Path,
    *,
    digits: int | None = 3,
    provenance: Provenance | Mapping[str, Any] | None = None,
) -> None:
    """Write mmCIF (gzipped where the name ends with ``.gz``).

    A stated tree is written as ``_pdbx_heterogeneity_hierarchy``,
    ``_pdbx_state_coexistence`` and ``_atom_site.pdbx_heterogeneity_id``, altlocs as
    ``_atom_sites_alt``, and occupancies of states, members and weights as
    ``_unstill_state``, ``_unstill_member`` and ``_unstill_member_state``. All
    else that the model was read with is written as it was, and so is every
    number that did not change.

    Parameters
    ----------
    model
        To be written.
    path
        Of the file.
    digits
        Decimals of coordinates that are new (see ``NumberText``); ``None`` for the
        shortest text that reads back as the same float64.
    provenance
        How the model came to be; goes to ``_unstill_provenance``.

    Raises
    ------
    InputError
        If a member is in a state and not in its parent.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    path = Path(path)
    carried = model.carried if isinstance(model.carried, CarriedCif) else None
    table = None if carried is None else carried.atom_table
    source = _sources(model, table)
    numbers = NumberText(digits)
    items = atom_items(model, table, source, numbers)
    atoms = item_columns(items, table, source, stated=model.stated)
    rows, aniso = aniso_columns(model, items, atoms, carried, source, numbers)
    document, places = _document(model, path, carried, bool(aniso), provenance)
    loops = dict(enumerate(carried.loops)) if carried is not None else {}
    everything = np.arange(model.n_rows)
    with atomic_path(path) as temporary, _opened(temporary, carried) as stream:
        at = 0
        text = document.as_string()
        for found in _PLACE.finditer(text):
            stream.write(text[at : found.start()])
            at = found.end()
            number = int(found[1])
            if number == places[0]:
                _write_loop(
                    stream, atoms, everything, as_pairs=table is not None and table.as_pairs
                )
            elif number == places[1]:
                of_file = None if carried is None else carried.aniso_table
                _write_loop(stream, aniso, rows, as_pairs=of_file is not None and of_file.as_pairs)
            else:
                other = loops[number]
                _write_loop(
                    stream, _own_cells(other), np.arange(len(other)), as_pairs=other.as_pairs
                )
        stream.write(text[at:])


def _sources(model: Multiconformer, table: TokenTable | None) -> np.ndarray:
    if table is None:
        return np.full(model.n_rows, -1)
    source = np.asarray(model.source_row)
    return np.where((source >= 0) & (source < len(table)), source, -1)


def _document(
    model: Multiconformer,
    path: Path,
    carried: CarriedCif | None,
    has_aniso: bool,
    provenance: Provenance | Mapping[str, Any] | None,
) -> tuple[gemmi.cif.Document, tuple[int, int]]:
    """Return everything but the atoms, and the numbers of the markers in their places."""
    if carried is None:
        document = gemmi.cif.Document()
        name = "".join(c if c.isalnum() and c.isascii() else "_" for c in path.name.split(".")[0])
        block = document.add_new_block(name or "model")
        places = (0, 1 if has_aniso else -1)
    else:
        document = gemmi.cif.read_string(carried.document)
        block = document[carried.block]
        aniso = carried.aniso
        if aniso < 0 and has_aniso:
            aniso = len(carried.loops)
        places = (carried.atoms, aniso)
    _put_crystal(block, model)
    put_hierarchy(block, model)
    if provenance is not None:
        items = provenance_items(provenance)
        columns = {item: [token] for item, token in items.items()}
        put_table(block, CATEGORY, columns, key=("program",))
    for number in places:
        if number >= 0 and not has_marker(block, number):
            block.init_loop("", [marker(number)]).add_row(["0"])
    return document, places


def _put_crystal(block: gemmi.cif.Block, model: Multiconformer) -> None:
    crystal = model.crystal
    if crystal is None or cif_crystal(category_reader(block)) == crystal:
        return
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for name, value in zip(names, crystal.unit_cell, strict=True):
        block.set_pair(f"_cell.{name}", repr(float(value)))
    block.set_pair("_symmetry.space_group_name_H-M", gemmi.cif.quote(crystal.space_group))


def _own_cells(table: TokenTable) -> dict[str, Cells]:
    return dict(zip(table.tags, (column.tokens for column in table.columns), strict=True))


def _opened(path: Path, carried: CarriedCif | None) -> IO[str]:
    encoding = "utf-8" if carried is None else carried.encoding
    if path.suffix == ".gz":
        return gzip.open(path, "wt", encoding=encoding, compresslevel=6, newline="\n")
    return path.open("w", encoding=encoding, newline="\n")


def _write_loop(
    stream: IO[str], columns: dict[str, Cells], rows: np.ndarray, *, as_pairs: bool
) -> None:
    if not len(rows):
        return
    if as_pairs and len(rows) == 1:
        for tag, cells in columns.items():
            stream.write(f"{tag} {_safe(cells(rows))[0]}\n")
        return
    stream.write("loop_\n" + "".join(f"{tag}\n" for tag in columns))
    for run in _runs(rows):
        tokens = [_safe(cells(run)) for cells in columns.values()]
        stream.write("\n".join(map(" ".join, zip(*tokens, strict=True))))
        stream.write("\n")


def _runs(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _RUN):
        yield rows[start : start + _RUN]


def _safe(tokens: list[str]) -> list[str]:
    """Text fields begin and end lines of their own."""
    if "\n" not in "".join(tokens):
        return tokens
    return [f"\n{token}\n" if "\n" in token else token for token in tokens]
