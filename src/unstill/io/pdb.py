"""PDB files, read by their columns so that the order of atoms is that of the file.

Altlocs stay separate atoms with their own occupancies; ANISOU records are
kept; models become members. The order matters because the file may be the
topology of a trajectory.

Reference: wwPDB, *Atomic Coordinate Entry Format* 3.30,
https://www.wwpdb.org/documentation/file-format.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import FormatError, UnstillWarning
from unstill.io.atom_table import AtomTable, crystal_from, ensemble_from_table
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


def read_pdb(path: Path, *, keep_virtual: bool = False) -> Ensemble:
    """Read a PDB file (``.gz`` allowed).

    Returns
    -------
    Ensemble
        One member a MODEL; ``crystal`` is ``None`` where CRYST1 is missing or
        a placeholder. ``altloc_id`` is ``""`` for atoms without alternatives.

    Raises
    ------
    FormatError
        If a line is cut short or a number cannot be read, or the models differ.
    InputError
        If an element or the space group is unknown.
    """
    path = Path(path)
    with parsing(path, "a PDB file"):
        lines = _lines(path)
        atoms, aniso, owner, model = _sorted_out(lines, path)
        table = _table(path, atoms, model)
        _fill_aniso(table.u_aniso, aniso, owner, path)
        crystal = pdb_crystal(lines, path)
    return ensemble_from_table(table, path, crystal, keep_virtual=keep_virtual)


def pdb_crystal(lines: list[bytes], path: Path) -> Crystal | None:
    """Return the crystal of the CRYST1 record; ``None`` if missing or a placeholder."""
    record = next((line for line in lines if line.startswith(b"CRYST1")), None)
    if record is None:
        return None
    text = record.decode("latin-1")
    spans = ((6, 15), (15, 24), (24, 33), (33, 40), (40, 47), (47, 54))
    cell = [float(text[start:stop]) for start, stop in spans]
    symbol = text[55:66].strip()
    if not symbol and max(cell[:3]) > 1:
        warnings.warn(
            f"{path.name} names no space group in CRYST1; P 1 is assumed",
            UnstillWarning,
            stacklevel=2,
        )
    return crystal_from(cell, symbol or "P 1")


def _lines(path: Path) -> list[bytes]:
    content = unpacked(path)
    lines = content.splitlines()
    if lines and not content.endswith((b"\n", b"\r")):
        check_last_line(lines, path)
    return lines


def _sorted_out(
    lines: list[bytes], path: Path
) -> tuple[list[bytes], list[bytes], list[int], list[int]]:
    """ATOM lines, ANISOU lines, the atom each of these belongs to, the model of each atom."""
    atoms: list[bytes] = []
    aniso: list[bytes] = []
    owner: list[int] = []
    model: list[int] = []
    current = 1
    seen_model = False
    for line in lines:
        record = line[:6]
        if record in (b"ATOM  ", b"HETATM"):
            atoms.append(line)
            model.append(current)
        elif record == b"ANISOU":
            if not atoms or line[12:27] != atoms[-1][12:27]:
                raise FormatError(
                    f"an ANISOU record of {path.name} does not follow its atom",
                    found=line[:27].decode("latin-1"),
                    fix=REMEDY,
                )
            aniso.append(line)
            owner.append(len(atoms) - 1)
        elif record.startswith(b"MODEL"):
            # Numbers may repeat; what counts is that another model begins.
            current += seen_model
            seen_model = True
        elif record.startswith(b"END") and not record.startswith(b"ENDMDL"):
            break
    return atoms, aniso, owner, model


def _table(path: Path, atoms: list[bytes], model: list[int]) -> AtomTable:
    if not atoms:
        raise FormatError(
            f"{path.name} holds no atoms", found=path, fix="check that this is the right file"
        )
    coord = coordinates_of(atoms, path)
    grid = line_columns(atoms)
    res_name, chain_id = residue_and_chain(grid)
    padded_name = np.char.decode(text_column(grid, 12, 16), "latin-1")
    return AtomTable(
        model=np.array(model),
        atom_name=np.char.strip(padded_name),
        altloc_id=word_column(text_column(grid, 16, 17)),
        res_name=res_name,
        chain_id=chain_id,
        res_id=residue_numbers(text_column(grid, 22, 26)),
        ins_code=word_column(text_column(grid, 26, 27)),
        hetero=text_column(grid, 0, 6) == b"HETATM",
        element=element_column(word_column(text_column(grid, 76, 78)), padded_name, res_name),
        charge=formal_charges(text_column(grid, 78, 80)),
        coord=coord,
        occupancy=number_column(text_column(grid, 54, 60), 1.0),
        b_factor=number_column(text_column(grid, 60, 66), 0.0),
        u_aniso=np.full((len(atoms), 6), np.nan),
    )


def _fill_aniso(u_aniso: np.ndarray, lines: list[bytes], owner: list[int], path: Path) -> None:
    if not lines:
        return
    if min(map(len, lines)) < 70:
        raise FormatError(
            f"{path.name} is cut short within an ANISOU record", found=path, fix=REMEDY
        )
    grid = line_columns(lines)
    # The order U11 U22 U33 U12 U13 U23, in units of 1e-4 Å², is ours already.
    u_aniso[owner] = 1e-4 * np.stack(
        [text_column(grid, start, start + 7).astype(float) for start in range(28, 70, 7)], axis=-1
    )
