"""Maps as text: ``h k l intensity [sigma]``, one voxel a line.

h, k, l are fractional, or whole numbers of a supercell when the divisions
are given (lunus and xtraj write such lists with two decimals). Lines that
begin with ``#`` are comments; ours name the crystal and the box. Voxels that
are not listed are masked.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import check_metric, index_operations
from unstill.errors import FormatError, InputError
from unstill.io.atomic import atomic_path
from unstill.io.cell_check import check_same_cell, require_crystal
from unstill.io.map_notes import notes_of, read_notes
from unstill.io.point_list import (
    PointList,
    guess_divisions,
    has_friedel_pairs,
    map_of,
    points_of,
)
from unstill.io.reading import REMEDY
from unstill.maps import IntensityMap


def read_hkl_text(
    path: Path, *, crystal: Crystal | None = None, divisions: Triple | None = None
) -> IntensityMap:
    """Read a text list of intensities.

    Parameters
    ----------
    path
        Four or five columns, separated by blanks or commas.
    crystal
        Unit cell and space group, for files without our comments.
    divisions
        With these, whole numbers h, k, l are indices of the supercell. By
        default the least divisions that hold the fractional hkl.

    Returns
    -------
    IntensityMap
        A list without Friedel pairs is one half or one asymmetric unit, and
        is filled up by the Laue group.

    Raises
    ------
    UnknownCrystalError
        If neither the file nor the caller knows the crystal.
    FormatError
        If a line cannot be read, or an index stands twice.
    """
    path = Path(path)
    comments, table = _parsed(path)
    try:
        notes = read_notes(comments)
    except ValueError as error:
        raise FormatError(
            f"the comments of {path.name} make no sense", found=error, fix=REMEDY
        ) from error
    hkl = table[:, :3]
    if notes is not None:
        if crystal is not None:
            check_same_cell(path, notes.crystal, crystal)
        points = _points(table, notes.grid.index_of(hkl, tolerance=0.01))
        return map_of(path, points, notes.crystal, notes.grid.divisions, grid=notes.grid)
    crystal = require_crystal(path, crystal, "text lists")
    whole = bool(np.all(hkl == np.rint(hkl)))
    if divisions is None:
        divisions = (1, 1, 1) if whole else guess_divisions(path, hkl)
    scale = (1, 1, 1) if whole else divisions
    points = _points(table, HklGrid((0, 0, 0), (1, 1, 1), scale).index_of(hkl, tolerance=0.1))
    if has_friedel_pairs(points.index):
        return map_of(path, points, crystal, divisions)
    check_metric(crystal)
    operations = index_operations(crystal, divisions)
    return map_of(path, points, crystal, divisions, operations=operations)


def write_hkl_text(map: IntensityMap, path: Path) -> None:
    """Write every usable voxel as a line of text, to the last bit.

    Raises
    ------
    InputError
        If no voxel is usable.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    points = points_of(map)
    if len(points.index) == 0:
        raise InputError("the map has no usable voxel", found="all masked", fix="check the mask")
    hkl = points.index / np.array(map.grid.divisions)
    columns = [hkl, points.intensity[:, None]]
    if points.sigma is not None:
        columns.append(points.sigma[:, None])
    # 7 decimals tell thirds and elevenths apart; 17 digits hold every float64.
    formats = ["%.7f"] * 3 + ["%.17g" if map.intensity.dtype == np.float64 else "%.9g"] * (
        len(columns) - 1
    )
    names = "h k l intensity" + (" sigma" if points.sigma is not None else "")
    with atomic_path(Path(path)) as temporary, temporary.open("w") as stream:
        stream.writelines(f"# {line}\n" for line in [*notes_of(map), names])
        np.savetxt(stream, np.concatenate(columns, axis=1), fmt=formats)


def hkl_text_crystal(path: Path) -> Crystal | None:
    """Return the crystal that the comments name, if any."""
    with path.open("r", errors="replace") as stream:
        comments = [line for _, line in zip(range(50), stream, strict=False) if line[:1] == "#"]
    try:
        notes = read_notes(comments)
    except ValueError:
        return None
    return None if notes is None else notes.crystal


def looks_like_hkl_text(start: bytes) -> bool:
    """Whether the first lines of a file are comments or rows of four or five numbers."""
    try:
        lines = start.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return False
    rows = [line for line in lines[:-1] or lines if line.strip() and not line.startswith("#")]
    if not rows:
        return bool(lines)
    try:
        return len([float(word) for word in rows[0].replace(",", " ").split()]) in (4, 5)
    except ValueError:
        return False


def _parsed(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        text = path.read_text("ascii")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path.name} is no text list of intensities", found=error, fix=REMEDY
        ) from error
    comments = [line for line in text.splitlines() if line.startswith("#")]
    # A last line without its end may have lost digits, which no parser would notice.
    if text and not text.endswith("\n"):
        raise FormatError(
            f"{path.name} is cut short",
            found="a last line without its end",
            fix="copy the file again, or end the last line",
        )
    try:
        table = np.loadtxt(io.StringIO(text.replace(",", " ")), ndmin=2)
    except ValueError as error:
        raise FormatError(
            f"{path.name} is no text list of intensities",
            found=error,
            fix="give lines of h k l intensity [sigma]",
        ) from error
    if table.size == 0 or table.shape[1] not in (4, 5):
        raise FormatError(
            f"{path.name} is no text list of intensities",
            found=f"{0 if table.size == 0 else table.shape[1]} columns",
            fix="give lines of h k l intensity [sigma]",
        )
    if not np.isfinite(table[:, :3]).all():
        raise FormatError(
            f"{path.name} lists Miller indices that are no numbers", found="NaN", fix=REMEDY
        )
    return comments, table


def _points(table: np.ndarray, index: np.ndarray) -> PointList:
    return PointList(index, table[:, 3], table[:, 4] if table.shape[1] == 5 else None)
