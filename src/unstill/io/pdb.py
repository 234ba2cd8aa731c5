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
from unstill.io.atom_table import AtomTable, crystal_from, ensemble_from_table, guess_element
from unstill.io.reading import REMEDY, parsing, unpacked

_WIDTH = 80
_COORD_END = 54
_FOUR_LETTER_RESIDUES = {b"TIP3", b"TIP4", b"TIP5", b"SPCE", b"POPC", b"POPE", b"DPPC", b"CHL1"}


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


def coordinates_of(lines: list[bytes], path: Path) -> np.ndarray:
    """``(n_atoms, 3)`` coordinates (Å) of ATOM and HETATM lines.

    Raises
    ------
    FormatError
        If a line is cut short or holds no number.
    """
    for number, line in enumerate(lines, start=1):
        if len(line) < _COORD_END:
            raise _cut_short(line, number, path)
    grid = _columns(lines)
    try:
        return np.stack(
            [_text(grid, start, start + 8).astype(float) for start in (30, 38, 46)], axis=-1
        )
    except ValueError:
        raise _unreadable(lines, path) from None


def _lines(path: Path) -> list[bytes]:
    content = unpacked(path)
    lines = content.splitlines()
    if lines and not content.endswith((b"\n", b"\r")):
        _check_last(lines, path)
    return lines


def _check_last(lines: list[bytes], path: Path) -> None:
    """Refuse a last line that breaks off within its numbers: 12.34 would be read from 12.345."""
    last = lines[-1]
    needed = {b"ATOM  ": 66, b"HETATM": 66, b"ANISOU": 70, b"CRYST1": 54}.get(last[:6], 0)
    if len(last) < needed:
        raise _cut_short(last, len(lines), path)


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


def _columns(lines: list[bytes]) -> np.ndarray:
    """Lines as an ``(n, 80)`` array of single bytes."""
    padded = np.array([line[:_WIDTH].ljust(_WIDTH) for line in lines], dtype=f"S{_WIDTH}")
    return padded.view("S1").reshape(len(lines), _WIDTH)


def _text(grid: np.ndarray, start: int, stop: int) -> np.ndarray:
    return np.ascontiguousarray(grid[:, start:stop]).view(f"S{stop - start}")[:, 0]


def _words(column: np.ndarray) -> np.ndarray:
    return np.char.strip(np.char.decode(column, "latin-1"))


def _numbers(column: np.ndarray, default: float) -> np.ndarray:
    stripped = np.char.strip(column)
    return np.where(stripped == b"", str(default).encode(), stripped).astype(float)


def _table(path: Path, atoms: list[bytes], model: list[int]) -> AtomTable:
    if not atoms:
        raise FormatError(
            f"{path.name} holds no atoms", found=path, fix="check that this is the right file"
        )
    coord = coordinates_of(atoms, path)
    grid = _columns(atoms)
    res_name, chain_id = _residue_and_chain(grid)
    padded_name = np.char.decode(_text(grid, 12, 16), "latin-1")
    return AtomTable(
        model=np.array(model),
        atom_name=np.char.strip(padded_name),
        altloc_id=_words(_text(grid, 16, 17)),
        res_name=res_name,
        chain_id=chain_id,
        res_id=_residue_numbers(_text(grid, 22, 26)),
        ins_code=_words(_text(grid, 26, 27)),
        hetero=_text(grid, 0, 6) == b"HETATM",
        element=_elements(_words(_text(grid, 76, 78)), padded_name, res_name),
        charge=_charges(_text(grid, 78, 80)),
        coord=coord,
        occupancy=_numbers(_text(grid, 54, 60), 1.0),
        b_factor=_numbers(_text(grid, 60, 66), 0.0),
        u_aniso=np.full((len(atoms), 6), np.nan),
    )


def _residue_and_chain(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residue names and chains; column 21 belongs to one or to the other by habit."""
    four = _text(grid, 17, 21)
    is_long = np.isin(four, list(_FOUR_LETTER_RESIDUES)) | (
        (grid[:, 20] != b" ") & (grid[:, 21] == b" ")
    )
    res_name = np.where(is_long, _words(four), _words(_text(grid, 17, 20)))
    chain_id = np.where(is_long, _words(_text(grid, 21, 22)), _words(_text(grid, 20, 22)))
    return res_name, chain_id


def _residue_numbers(column: np.ndarray) -> np.ndarray:
    values, inverse = np.unique(column, return_inverse=True)
    return np.array([_residue_number(value) for value in values], dtype=int)[inverse]


def _residue_number(text: bytes) -> int:
    bare = text.strip()
    if not bare:
        return 0
    if bare.lstrip(b"-").isdigit():
        return int(bare)
    # Hybrid-36: A000 follows 9999 and a000 follows ZZZZ.
    lower = bare[:1].islower()
    return int(bare, 36) - 10 * 36**3 + 10_000 + (26 * 36**3 if lower else 0)


def _charges(column: np.ndarray) -> np.ndarray:
    values, inverse = np.unique(column, return_inverse=True)
    return np.array([_charge(value.decode("latin-1")) for value in values], dtype=int)[inverse]


def _charge(text: str) -> int:
    digits = text.strip().strip("+-")
    if not digits.isdigit():
        return 0
    return -int(digits) if "-" in text else int(digits)


def _elements(column: np.ndarray, atom_name: np.ndarray, res_name: np.ndarray) -> np.ndarray:
    element = np.char.upper(column)
    blank = element == ""
    if blank.any():
        pairs = {pair: guess_element(*pair) for pair in set(zip(atom_name, res_name, strict=True))}
        guessed = np.array([pairs[pair] for pair in zip(atom_name, res_name, strict=True)])
        element = np.where(blank, guessed, element)
    return element


def _fill_aniso(u_aniso: np.ndarray, lines: list[bytes], owner: list[int], path: Path) -> None:
    if not lines:
        return
    if min(map(len, lines)) < 70:
        raise FormatError(
            f"{path.name} is cut short within an ANISOU record", found=path, fix=REMEDY
        )
    grid = _columns(lines)
    # The order U11 U22 U33 U12 U13 U23, in units of 1e-4 Å², is ours already.
    u_aniso[owner] = 1e-4 * np.stack(
        [_text(grid, start, start + 7).astype(float) for start in range(28, 70, 7)], axis=-1
    )


def _cut_short(line: bytes, number: int, path: Path) -> FormatError:
    return FormatError(
        f"{path.name} is cut short within an atom",
        found=f"line {number}: {line.decode('latin-1')!r}",
        fix=REMEDY,
    )


def _unreadable(lines: list[bytes], path: Path) -> FormatError:
    for number, line in enumerate(lines, start=1):
        try:
            [float(line[start : start + 8]) for start in (30, 38, 46)]
        except ValueError:
            shown = f"line {number}: {line.decode('latin-1')!r}"
            break
    return FormatError(f"coordinates cannot be read in {path.name}", found=shown, fix=REMEDY)
