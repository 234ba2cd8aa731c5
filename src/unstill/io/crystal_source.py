"""Who knows the crystal of a file that carries none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.io.ccp4 import ccp4_crystal
from unstill.io.hkl_text import hkl_text_crystal, looks_like_hkl_text
from unstill.io.lunus_lat import looks_like_lat
from unstill.io.mdx2 import mdx2_crystal
from unstill.io.mtz import mtz_crystal
from unstill.io.nexus import is_own_hdf5, read_crystal_group
from unstill.io.reading import head, parsing
from unstill.io.structure_files import looks_like_structure, read_structure


def resolve_crystal(
    unit_cell: str | Sequence[float] | None = None,
    space_group: str | None = None,
    model_path: Path | None = None,
    partner_path: Path | None = None,
) -> Crystal | None:
    """Return the crystal that the user names, or that a model or a partner map knows.

    What is given by hand wins over the model, and the model over the partner;
    a cell or a space group given alone is completed from these.

    Parameters
    ----------
    unit_cell
        ``"a,b,c,alpha,beta,gamma"`` (Å, degrees), or six numbers; three
        numbers mean right angles.
    space_group
        Hermann–Mauguin symbol or number.
    model_path
        Coordinates with a cell.
    partner_path
        Another map or coordinate file of the same verb.

    Returns
    -------
    Crystal or None
        ``None`` if nobody knows.

    Raises
    ------
    InputError
        If the cell or space group is impossible, or only one of the two is known.

    Examples
    --------
    >>> resolve_crystal("48.5,48.5,63.4", "P 41").unit_cell
    (48.5, 48.5, 63.4, 90.0, 90.0, 90.0)
    """
    cell = None if unit_cell is None else parse_unit_cell(unit_cell)
    if cell is not None and space_group is not None:
        return Crystal(cell, space_group)
    known = _first_known(model_path, partner_path)
    if known is not None:
        return Crystal(cell or known.unit_cell, space_group or known.space_group)
    if cell is not None or space_group is not None:
        given, missing = ("cell", "space-group") if cell else ("space group", "unit-cell")
        raise InputError(
            "a crystal needs a unit cell and a space group",
            found=f"only the {given}",
            fix=f"give --{missing} too, or --model",
        )
    return None


def read_crystal(path: Path) -> Crystal | None:
    """Return the crystal that a map or coordinate file carries, ``None`` if it carries none.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    path = Path(path)
    start = head(path)
    if looks_like_structure(path):
        return read_structure(path).crystal
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5_crystal(path)
    if start.startswith(b"MTZ "):
        return mtz_crystal(path)
    if start[208:212] == b"MAP ":
        return ccp4_crystal(path)
    if not looks_like_lat(path) and looks_like_hkl_text(start):
        return hkl_text_crystal(path)
    return None


def parse_unit_cell(
    text: str | Sequence[float],
) -> tuple[float, float, float, float, float, float]:
    """Six numbers from ``a,b,c,alpha,beta,gamma``; three mean right angles.

    Raises
    ------
    InputError
        If there are not three or six numbers.
    """
    try:
        words = text.replace(",", " ").split() if isinstance(text, str) else text
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) == 3:
        numbers += [90.0, 90.0, 90.0]
    if len(numbers) != 6:
        raise InputError(
            "the unit cell cannot be read",
            found=repr(text),
            fix="give --unit-cell a,b,c,alpha,beta,gamma in angstroms and degrees",
        )
    a, b, c, alpha, beta, gamma = numbers
    return a, b, c, alpha, beta, gamma


def _first_known(*paths: Path | None) -> Crystal | None:
    for path in paths:
        found = None if path is None else read_crystal(path)
        if found is not None:
            return found
    return None


def _hdf5_crystal(path: Path) -> Crystal | None:
    if not is_own_hdf5(path):
        return mdx2_crystal(path)
    with parsing(path, "an unstill file"), h5py.File(path, "r") as file:
        return read_crystal_group(file["entry/crystal"])
