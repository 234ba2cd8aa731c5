"""What all MTZ files of ours share: read whole, merged, with the cell as it was typed."""

from __future__ import annotations

from pathlib import Path

import gemmi

from unstill.crystal import Crystal
from unstill.errors import FormatError
from unstill.io.atomic import atomic_path
from unstill.io.reading import REMEDY


def whole_mtz(path: Path) -> gemmi.Mtz:
    """Read a merged MTZ file, refused if its end is missing.

    Raises
    ------
    FormatError
        If the file is cut short or holds unmerged observations.
    """
    # gemmi does without the end of the headers, and then the history is missing.
    if b"MTZENDOFHEADERS" not in path.read_bytes():
        raise FormatError(f"{path.name} is cut short", found="no end of the headers", fix=REMEDY)
    mtz = gemmi.read_mtz_file(str(path))
    if "M/ISYM" in mtz.column_labels():
        raise FormatError(
            f"{path.name} holds unmerged observations",
            found="a column M/ISYM",
            fix="merge them first",
        )
    return mtz


def crystal_of(mtz: gemmi.Mtz) -> Crystal:
    """Return the cell and space group of the file itself."""
    cell = mtz.get_cell()
    # float32 in the file: 63.43 is 63.4300003 there.
    a, b, c, alpha, beta, gamma = (float(f"{value:.7g}") for value in cell.parameters)
    group = mtz.spacegroup
    return Crystal((a, b, c, alpha, beta, gamma), "P 1" if group is None else group.xhm())


def new_mtz(crystal: Crystal, title: str) -> gemmi.Mtz:
    """Return an MTZ file in memory that has no columns but H, K, L."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.title = f"unstill {title}"
    mtz.spacegroup = crystal.group
    mtz.set_cell_for_all(crystal.cell)
    mtz.add_dataset("unstill")
    mtz.set_cell_for_all(crystal.cell)
    return mtz


def write_mtz(mtz: gemmi.Mtz, path: Path) -> None:
    """Write an MTZ file.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    mtz.update_reso()
    content = mtz.write_to_bytes()
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(content)
