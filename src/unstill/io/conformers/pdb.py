"""Multiconformer models from PDB files: every altloc, every model, the records around them.

Reference: wwPDB, *Atomic Coordinate Entry Format* 3.30,
https://www.wwpdb.org/documentation/file-format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import biotite.structure
import numpy as np

from unstill.ensembles import Multiconformer
from unstill.errors import FormatError, InputError
from unstill.io.atom_table import known_element
from unstill.io.conformers.atom_columns import WordColumn
from unstill.io.conformers.atom_rows import AtomRows, first_rows, numbered_words
from unstill.io.conformers.carried_pdb import CarriedPdb
from unstill.io.conformers.label_states import label_states
from unstill.io.pdb import pdb_crystal
from unstill.io.pdb_columns import (
    check_last_line,
    coordinates_of,
    element_column,
    formal_charges,
    line_columns,
    number_column,
    residue_and_chain,
    residue_numbers,
    text_column,
    word_column,
)
from unstill.io.reading import REMEDY, parsing, unpacked

_ATOMS = (b"ATOM  ", b"HETATM")
_NOT_CARRIED = (b"CRYST1", b"MODEL ", b"ENDMDL", b"MASTER", b"CONECT", b"TER   ", b"NUMMDL")


def read_pdb_conformers(path: Path) -> Multiconformer:
    """Read a PDB file (``.gz`` allowed) with all its altlocs and models.

    States are read off altlocs and models, one state a residue and label.
    Records around the atoms are kept in ``carried``.

    Raises
    ------
    FormatError
        If a line is cut short, a number cannot be read, or there are no atoms.
    InputError
        If an atom stands twice under one label, or an element or the space group is unknown.
    """
    path = Path(path)
    with parsing(path, "a PDB file"):
        content = unpacked(path)
        lines = content.splitlines()
        if lines and not content.endswith((b"\n", b"\r")):
            check_last_line(lines, path)
        records = _sorted_out(lines, path)
        rows, segment = _rows(records, path)
        crystal = pdb_crystal(lines, path)
    n_models = len(rows.models)
    weights = np.full(n_models, 1.0 / n_models)
    states, state, members = label_states(rows, weights, None, path.name)
    return Multiconformer(
        rows.sites,
        rows.site,
        state,
        rows.coord,
        rows.occupancy * weights[rows.model] if n_models > 1 else rows.occupancy,
        rows.b_factor,
        rows.altloc.text(),
        states,
        u_aniso=rows.u_aniso,
        members=members,
        crystal=crystal,
        stated=False,
        carried=CarriedPdb(
            tuple(records.head),
            tuple(records.tail),
            tuple(records.bonds),
            np.array([line[6:11].decode("latin-1").strip() for line in records.atoms]),
            frozenset(records.chain_end),
            segment,
        ),
        source_row=np.arange(len(rows.site)),
        provenance={"source": str(path)},
    )


@dataclass
class _Records:
    """Lines of a file by what they are."""

    atoms: list[bytes] = field(default_factory=list)
    model: list[int] = field(default_factory=list)
    aniso: list[bytes] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    bonds: list[tuple[str, ...]] = field(default_factory=list)
    chain_end: set[int] = field(default_factory=set)


def _sorted_out(lines: list[bytes], path: Path) -> _Records:
    found = _Records()
    current, holds = 0, True
    for number, line in enumerate(lines, start=1):
        record = line[:6].ljust(6)
        if record in _ATOMS:
            # Atoms after END, or after ENDMDL without MODEL, are of another model.
            current += holds
            holds = False
            found.atoms.append(line)
            found.model.append(current)
        elif record == b"ANISOU":
            if not found.atoms or line[12:27] != found.atoms[-1][12:27]:
                raise FormatError(
                    f"an ANISOU record of {path.name} does not follow its atom",
                    found=f"line {number}: {line[:27].decode('latin-1')!r}",
                    fix=REMEDY,
                )
            found.aniso.append(line)
            found.owner.append(len(found.atoms) - 1)
        elif record in (b"MODEL ", b"ENDMDL", b"END   "):
            holds = True
        elif record == b"TER   ":
            found.chain_end.add(len(found.atoms) - 1)
        elif record == b"CONECT":
            words = [line[at : at + 5].decode("latin-1").strip() for at in range(6, 31, 5)]
            found.bonds.append(tuple(word for word in words if word))
        elif record not in _NOT_CARRIED:
            text = line.decode("latin-1").rstrip()
            if text:
                (found.tail if found.atoms else found.head).append(text)
    if not found.atoms:
        raise FormatError(
            f"{path.name} holds no atoms", found=path, fix="check that this is the right file"
        )
    return found


def _rows(records: _Records, path: Path) -> tuple[AtomRows, np.ndarray]:
    """Rows of the atom lines, and their segments."""
    lines = records.atoms
    coord = coordinates_of(lines, path)
    grid = line_columns(lines)
    res_name, chain_id = residue_and_chain(grid)
    padded_name = np.char.decode(text_column(grid, 12, 16), "latin-1")
    words = {
        "chain_id": _coded(chain_id),
        "ins_code": _coded(word_column(text_column(grid, 26, 27))),
        "res_name": _coded(res_name),
        "atom_name": _coded(np.char.strip(padded_name)),
    }
    res_id = residue_numbers(text_column(grid, 22, 26))
    number = WordColumn(res_id - res_id.min(), np.empty(0))
    residue = numbered_words(words["chain_id"], number, words["ins_code"])
    site = numbered_words(WordColumn(residue, np.empty(0)), words["res_name"], words["atom_name"])
    first = first_rows(site)
    sites = biotite.structure.AtomArray(len(first))
    for annotation, column in words.items():
        sites.set_annotation(annotation, column.text(first))
    element = element_column(word_column(text_column(grid, 76, 78)), padded_name, res_name)
    _check_elements(element, sites, site)
    sites.set_annotation("res_id", res_id[first])
    sites.set_annotation("hetero", text_column(grid, 0, 6)[first] == b"HETATM")
    sites.set_annotation("charge", formal_charges(text_column(grid, 78, 80))[first])
    sites.set_annotation("element", element[first])
    sites.coord = coord[first].astype(np.float32)
    model = np.array(records.model) - 1
    rows = AtomRows(
        sites,
        site,
        residue,
        model,
        tuple(str(place + 1) for place in range(int(model.max()) + 1)),
        _coded(word_column(text_column(grid, 16, 17))),
        coord,
        number_column(text_column(grid, 54, 60), 1.0),
        number_column(text_column(grid, 60, 66), 0.0),
        _u_aniso(records, path),
    )
    return rows, word_column(text_column(grid, 72, 76))


def _check_elements(
    element: np.ndarray, sites: biotite.structure.AtomArray, site: np.ndarray
) -> None:
    for symbol in np.unique(element).tolist():
        # VS is the massless site of a water model.
        if symbol != "VS" and not known_element(symbol):
            row = int(np.flatnonzero(element == symbol)[0])
            raise InputError(
                "unknown element",
                found=f"{symbol!r} at {sites.res_name[site[row]]}/{sites.atom_name[site[row]]} "
                f"(atom {row + 1})",
                fix="correct the element column, or remove the atom",
            )


def _coded(column: np.ndarray) -> WordColumn:
    words, codes = np.unique(column, return_inverse=True)
    return WordColumn(codes.reshape(-1), words)


def _u_aniso(records: _Records, path: Path) -> np.ndarray | None:
    if not records.aniso:
        return None
    for line in records.aniso:
        if len(line) < 70:
            raise FormatError(
                f"{path.name} is cut short within an ANISOU record",
                found=line.decode("latin-1"),
                fix=REMEDY,
            )
    grid = line_columns(records.aniso)
    found = np.full((len(records.atoms), 6), np.nan)
    # The order U11 U22 U33 U12 U13 U23, in units of 1e-4 Å², is ours already.
    found[records.owner] = 1e-4 * np.stack(
        [text_column(grid, start, start + 7).astype(float) for start in range(28, 70, 7)], axis=-1
    )
    return found
