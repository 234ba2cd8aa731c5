"""What an mmCIF file holds besides the model, kept so that it can be written back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gemmi
import numpy as np

from unstill.errors import FormatError
from unstill.io.conformers.cif_parts import ANISO, ATOMS, MARKER, CifParts, has_marker, take_out
from unstill.io.conformers.token_columns import TokenColumn, TokenTable, plain
from unstill.io.reading import REMEDY

Category = dict[str, np.ndarray]
"""Columns as text, ``""`` where the value is unknown or inapplicable."""


@dataclass(frozen=True, eq=False)
class CarriedCif:
    """All tokens of an mmCIF file, the atoms apart.

    Parameters
    ----------
    document
        Text of everything but the lists of atoms, with markers in their places.
    loops
        The lists of atoms of all data blocks, by the number of their marker.
    block
        Index of the data block that the model was read from.
    atoms, aniso
        Number of its lists of atoms and of anisotropic displacements; ``aniso`` is −1
        where it has none.
    aniso_row
        ``(n_aniso,)`` atom line of each line of anisotropic displacements.
    encoding
        Of the file.
    """

    document: str
    loops: tuple[TokenTable, ...]
    block: int
    atoms: int
    aniso: int
    aniso_row: np.ndarray
    encoding: str = "utf-8"

    @property
    def atom_table(self) -> TokenTable:
        """The lines of atoms."""
        return self.loops[self.atoms]

    @property
    def aniso_table(self) -> TokenTable | None:
        """The lines of anisotropic displacements."""
        return None if self.aniso < 0 else self.loops[self.aniso]


def carried_from_parts(parts: CifParts, name: str) -> tuple[CarriedCif, gemmi.cif.Block]:
    """Find the first data block with atoms; what anisotropic lines belong to is worked out.

    Raises
    ------
    FormatError
        If there are no atoms, or a data block lists them twice.
    ValueError, RuntimeError
        From ``gemmi``, if the document is not CIF.
    """
    document = gemmi.cif.read_string(parts.document)
    loops = list(parts.loops)
    chosen = -1
    for index, block in enumerate(document):
        _take_out_rest(block, loops, name)
        if chosen < 0 and _find(block, loops, ATOMS) >= 0:
            chosen = index
    if chosen < 0:
        raise FormatError(
            f"{name} holds no atoms", found=name, fix="check that this is a coordinate file"
        )
    block = document[chosen]
    atoms, aniso = _find(block, loops, ATOMS), _find(block, loops, ANISO)
    rows = np.empty(0, dtype=int)
    if aniso >= 0:
        rows = _rows_of_ids(loops[atoms].column("id"), loops[aniso].column("id"), name)
    carried = CarriedCif(
        document.as_string(), tuple(loops), chosen, atoms, aniso, rows, parts.encoding
    )
    return carried, block


def category_reader(block: gemmi.cif.Block) -> Callable[[str], Category]:
    """Return a function that gives the columns of a category of a block by its name."""

    def category(name: str) -> Category:
        raw = block.get_mmcif_category(f"_{name}.", raw=True)
        return {key: np.array([plain(word) for word in words]) for key, words in raw.items()}

    return category


def _take_out_rest(block: gemmi.cif.Block, loops: list[TokenTable], name: str) -> None:
    for category in (ATOMS, ANISO):
        table = take_out(block, category, len(loops))
        if table is None:
            continue
        if _find(block, loops, category) >= 0:
            raise FormatError(
                f"a data block of {name} lists its atoms twice", found=category, fix=REMEDY
            )
        loops.append(table)


def _find(block: gemmi.cif.Block, loops: list[TokenTable], category: str) -> int:
    """Find the loop of a category in a block; −1 if it has none."""
    found = [
        number
        for number, table in enumerate(loops)
        if table.tags[0].partition(".")[0].lower() == category and has_marker(block, number)
    ]
    if len(found) > 1:
        raise FormatError(
            "a data block lists its atoms twice", found=f"{category} in {block.name}", fix=REMEDY
        )
    return found[0] if found else -1


def _rows_of_ids(ids: TokenColumn | None, wanted: TokenColumn | None, name: str) -> np.ndarray:
    """Atom line of each anisotropic line, by ``id``."""
    if wanted is None or ids is None:
        raise FormatError(
            f"anisotropic displacements of {name} belong to no atom", found="no id", fix=REMEDY
        )
    codes, words = ids.coded()
    wanted_codes, wanted_words = wanted.coded()
    number = {plain(word): place for place, word in enumerate(words)}
    row_of = np.full(len(words) + 1, -1)
    row_of[codes] = np.arange(len(codes))
    times = np.bincount(codes, minlength=len(words) + 1)
    place = np.array([number.get(plain(word), len(words)) for word in wanted_words], dtype=int)
    for bad, what in ((row_of[place] < 0, "no atom"), (times[place] > 1, "several atoms")):
        if bad.any():
            raise FormatError(
                f"anisotropic displacements of {name} belong to {what}",
                found=f"id {wanted_words[int(np.flatnonzero(bad)[0])]}",
                fix=REMEDY,
            )
    return np.asarray(row_of[place[wanted_codes]])


__all__ = [
    "MARKER",
    "CarriedCif",
    "Category",
    "carried_from_parts",
    "category_reader",
]
