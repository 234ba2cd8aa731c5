"""Columns of the atom lines of PDB files, and the text that goes into them.

Reference: wwPDB, *Atomic Coordinate Entry Format* 3.30,
https://www.wwpdb.org/documentation/file-format. Numbers that need more digits
than there are columns are hybrid-36 (https://cci.lbl.gov/hybrid_36).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError
from unstill.io.atom_table import guess_element
from unstill.io.reading import REMEDY

WIDTH = 80
_COORD_END = 54
_FOUR_LETTER_RESIDUES = {b"TIP3", b"TIP4", b"TIP5", b"SPCE", b"POPC", b"POPE", b"DPPC", b"CHL1"}


def coordinates_of(lines: list[bytes], path: Path) -> np.ndarray:
    """``(n_atoms, 3)`` coordinates (Å) of ATOM and HETATM lines.

    Raises
    ------
    FormatError
        If a line is cut short or holds no number.
    """
    for number, line in enumerate(lines, start=1):
        if len(line) < _COORD_END:
            raise cut_short(line, number, path)
    grid = line_columns(lines)
    try:
        return np.stack(
            [text_column(grid, start, start + 8).astype(float) for start in (30, 38, 46)], axis=-1
        )
    except ValueError:
        raise _unreadable(lines, path) from None


def check_last_line(lines: list[bytes], path: Path) -> None:
    """Refuse a last line that breaks off within its numbers: 12.34 would be read from 12.345."""
    last = lines[-1]
    needed = {b"ATOM  ": 66, b"HETATM": 66, b"ANISOU": 70, b"CRYST1": 54}.get(last[:6], 0)
    if len(last) < needed:
        raise cut_short(last, len(lines), path)


def line_columns(lines: list[bytes]) -> np.ndarray:
    """Lines as an ``(n, 80)`` array of single bytes."""
    padded = np.array([line[:WIDTH].ljust(WIDTH) for line in lines], dtype=f"S{WIDTH}")
    return padded.view("S1").reshape(len(lines), WIDTH)


def text_column(grid: np.ndarray, start: int, stop: int) -> np.ndarray:
    """``(n,)`` bytes of the columns from ``start`` to before ``stop``."""
    return np.ascontiguousarray(grid[:, start:stop]).view(f"S{stop - start}")[:, 0]


def word_column(column: np.ndarray) -> np.ndarray:
    """Text without blanks around it."""
    return np.char.strip(np.char.decode(column, "latin-1"))


def number_column(column: np.ndarray, default: float) -> np.ndarray:
    """Numbers; ``default`` where a column is blank."""
    stripped = np.char.strip(column)
    return np.where(stripped == b"", str(default).encode(), stripped).astype(float)


def residue_and_chain(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residue names and chains; column 21 belongs to one or to the other by habit."""
    four = text_column(grid, 17, 21)
    is_long = np.isin(four, list(_FOUR_LETTER_RESIDUES)) | (
        (grid[:, 20] != b" ") & (grid[:, 21] == b" ")
    )
    res_name = np.where(is_long, word_column(four), word_column(text_column(grid, 17, 20)))
    chain_id = np.where(
        is_long, word_column(text_column(grid, 21, 22)), word_column(text_column(grid, 20, 22))
    )
    return res_name, chain_id


def residue_numbers(column: np.ndarray) -> np.ndarray:
    """Residue numbers, hybrid-36 allowed; 0 where blank."""
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
    if not bare[:1].isalpha() or len(bare) != 4 or bare not in (bare.lower(), bare.upper()):
        raise ValueError(f"{text.decode('latin-1')!r} is no residue number")
    return int(bare, 36) - 10 * 36**3 + 10_000 + (26 * 36**3 if lower else 0)


def formal_charges(column: np.ndarray) -> np.ndarray:
    """Charges in electrons, from ``1+`` or ``2-``; 0 where there is none."""
    values, inverse = np.unique(column, return_inverse=True)
    return np.array([_charge(value.decode("latin-1")) for value in values], dtype=int)[inverse]


def _charge(text: str) -> int:
    digits = text.strip().strip("+-")
    if not digits.isdigit():
        return 0
    return -int(digits) if "-" in text else int(digits)


def element_column(column: np.ndarray, atom_name: np.ndarray, res_name: np.ndarray) -> np.ndarray:
    """Element symbols, upper case; guessed from the names where blank."""
    element = np.char.upper(column)
    blank = element == ""
    if blank.any():
        pairs = {pair: guess_element(*pair) for pair in set(zip(atom_name, res_name, strict=True))}
        guessed = np.array([pairs[pair] for pair in zip(atom_name, res_name, strict=True)])
        element = np.where(blank, guessed, element)
    return element


def cryst1_line(crystal: Crystal) -> str:
    """Text of the CRYST1 record."""
    lengths = "".join(f"{value:9.3f}" for value in crystal.unit_cell[:3])
    angles = "".join(f"{value:7.2f}" for value in crystal.unit_cell[3:])
    group = crystal.group
    # The archive writes H for rhombohedral groups on hexagonal axes.
    symbol = f"H{group.hm[1:]}" if group.ext == "H" else group.hm
    return f"CRYST1{lengths}{angles} {symbol:<11s}{crystal.n_operations:4d}"


def aligned_name(name: str, element: str) -> str:
    """Atom name in its four columns: one-letter elements begin in the second."""
    return f"{name:<4s}" if len(element) == 2 or len(name) == 4 else f" {name:<3s}"


def hybrid36(number: int, width: int) -> str:
    """Text of a number that may overflow its columns."""
    if number < 10**width:
        return f"{number:{width}d}"
    number -= 10**width
    block = 26 * 36 ** (width - 1)
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    lower, number = divmod(number, block)
    number += 10 * 36 ** (width - 1)
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text.lower() if lower else text


def cut_short(line: bytes, number: int, path: Path) -> FormatError:
    """Error for a line that ends within its numbers."""
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
