"""What the tokens of atom lines mean: identities as numbers of words, and coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.io.atom_table import guess_element, known_element
from unstill.io.conformers.token_columns import TokenTable, plain
from unstill.io.reading import REMEDY
from unstill.units import EIGHT_PI_SQUARED

ITEMS = {
    "chain_id": ("auth_asym_id", "label_asym_id"),
    "res_id": ("auth_seq_id", "label_seq_id"),
    "ins_code": ("pdbx_PDB_ins_code",),
    "res_name": ("auth_comp_id", "label_comp_id"),
    "atom_name": ("auth_atom_id", "label_atom_id"),
    "hetero": ("group_PDB",),
    "element": ("type_symbol",),
    "charge": ("pdbx_formal_charge",),
    "altloc_id": ("label_alt_id",),
    "label_asym_id": ("label_asym_id",),
    "label_seq_id": ("label_seq_id",),
    "entity_id": ("label_entity_id",),
    "model": ("pdbx_PDB_model_num",),
    "state": ("pdbx_heterogeneity_id",),
}
"""Items of ``_atom_site`` that say what our annotations say; the first known one counts."""

TENSOR = ("[1][1]", "[2][2]", "[3][3]", "[1][2]", "[1][3]", "[2][3]")


@dataclass(frozen=True, eq=False)
class WordColumn:
    """A column of words, each kept once.

    Parameters
    ----------
    codes
        ``(n_rows,)`` index of each row's word.
    words
        The distinct words, in no order; ``""`` for unknown.
    """

    codes: np.ndarray
    words: np.ndarray

    def text(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Words of some rows."""
        return np.asarray(self.words[self.codes[rows]])


def word_column(table: TokenTable, annotation: str) -> WordColumn:
    """Words of an annotation; where the first item is unknown, the next one counts."""
    codes = np.zeros(len(table), dtype=np.int64)
    words = [""]
    strips = annotation in ("altloc_id", "ins_code")
    for item in ITEMS[annotation]:
        column = table.column(item)
        if column is None:
            continue
        own, tokens = column.coded()
        found = [plain(token) for token in tokens]
        if strips:
            # A blank is no label, and no insertion.
            found = ["" if word.strip() in ("", ".", "?") else word.strip() for word in found]
        unknown = np.array([word == "" for word in words])
        codes = np.where(unknown[codes], own.astype(np.int64) + len(words), codes)
        words = [*words, *found]
    distinct, place = np.unique(np.array(words), return_inverse=True)
    return WordColumn(place.reshape(-1)[codes], distinct)


def integers(column: WordColumn, name: str) -> np.ndarray:
    """Return ``(n_rows,)`` whole numbers; 0 where unknown.

    Raises
    ------
    FormatError
        If a word is no whole number.
    """
    try:
        numbers = [float(word) if word else 0.0 for word in column.words.tolist()]
        values = np.array([int(number) for number in numbers], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{name} is not a whole number", found=error, fix=REMEDY) from error
    return np.asarray(values[column.codes])


def coordinates(table: TokenTable, name: str) -> np.ndarray:
    """Return ``(n_rows, 3)`` coordinates in Å.

    Raises
    ------
    FormatError
        If one is missing.
    """
    columns = [table.column(f"Cartn_{axis}") for axis in "xyz"]
    if any(column is None for column in columns):
        raise FormatError(
            f"{name} has no coordinates",
            found=f"items {', '.join(table.tags)}",
            fix="give a file with _atom_site.Cartn_x, y and z",
        )
    return np.stack(
        [
            column.floats(f"Cartn_{axis} of {name}")
            for axis, column in zip("xyz", columns, strict=True)
            if column is not None
        ],
        axis=-1,
    )


def occupancies(table: TokenTable, name: str) -> np.ndarray:
    """Return ``(n_rows,)`` occupancies; 1 where the file says none."""
    column = table.column("occupancy")
    if column is None:
        return np.ones(len(table))
    return column.floats(f"occupancy of {name}", 1.0)


def b_factors(table: TokenTable, name: str) -> np.ndarray:
    """Return ``(n_rows,)`` B in Å² (8π²U where the file gives U); 0 where the file says none."""
    column = table.column("B_iso_or_equiv")
    if column is not None:
        return column.floats(f"B factor of {name}", 0.0)
    column = table.column("U_iso_or_equiv")
    if column is not None:
        return np.asarray(EIGHT_PI_SQUARED * column.floats(f"U of {name}", 0.0))
    return np.zeros(len(table))


def aniso_kind(table: TokenTable) -> tuple[str, float]:
    """``U`` or ``B``, and what turns its values into U (Å²)."""
    return ("U", 1.0) if table.column("U[1][1]") is not None else ("B", 1 / EIGHT_PI_SQUARED)


def tensors(table: TokenTable, name: str) -> np.ndarray:
    """Return ``(n_lines, 6)`` U11, U22, U33, U12, U13, U23 in Å².

    Raises
    ------
    FormatError
        If an item is missing or no number.
    """
    kind, scale = aniso_kind(table)
    found = []
    for index in TENSOR:
        column = table.column(f"{kind}{index}")
        if column is None:
            raise FormatError(
                f"anisotropic displacements of {name} are not complete",
                found=f"no {kind}{index}",
                fix=REMEDY,
            )
        found.append(column.floats(f"{kind}{index} of {name}"))
    return np.asarray(scale * np.stack(found, axis=-1))


def elements(table: TokenTable, atom_name: WordColumn, res_name: WordColumn) -> WordColumn:
    """Element symbols, upper case; guessed from the names where the file has none.

    Raises
    ------
    InputError
        If a symbol names no element.
    """
    column = word_column(table, "element")
    words = np.char.upper(column.words)
    missing = np.flatnonzero(words[column.codes] == "")
    codes = column.codes.copy()
    if missing.size:
        names = list(zip(atom_name.text(missing), res_name.text(missing), strict=True))
        guess = {pair: guess_element(str(pair[0]), str(pair[1])).upper() for pair in set(names)}
        all_words = [*words.tolist(), *guess.values()]
        place = {pair: number for number, pair in enumerate(guess, start=len(words))}
        codes[missing] = [place[pair] for pair in names]
        words = np.array(all_words)
    for code in np.unique(codes).tolist():
        symbol = str(words[code])
        if symbol != "VS" and not known_element(symbol):
            row = int(np.flatnonzero(codes == code)[0])
            raise InputError(
                "unknown element",
                found=f"{symbol!r} at {res_name.text()[row]}/{atom_name.text()[row]} "
                f"(atom {row + 1})",
                fix="correct the element column, or remove the atom",
            )
    return WordColumn(codes, words)
