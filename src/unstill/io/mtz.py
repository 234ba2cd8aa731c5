"""MTZ files: diffuse maps in the supercell convention, and Bragg structure factors.

MTZ knows only whole Miller indices. A map with divisions n₁, n₂, n₃ is
therefore written as a crystal in P 1 whose cell is n₁a × n₂b × n₃c, H = n h;
columns ``I`` and ``SIGI`` (and ``NOBS``). The true cell, space group and box
stand in the history, so that our own files come back as they were. Maps that
obey Friedel's law are written as one half.
"""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.supercell import supercell
from unstill.crystal.symmetry import laue_operations
from unstill.errors import FormatError, InputError
from unstill.io.cell_check import check_same_cell, divisions_of_supercell
from unstill.io.map_notes import notes_of, read_notes
from unstill.io.mtz_file import crystal_of, new_mtz, whole_mtz, write_mtz
from unstill.io.point_list import PointList, has_friedel_pairs, map_of, points_of
from unstill.io.reading import parsing
from unstill.maps import IntensityMap

_FRIEDEL = -np.eye(3, dtype=int)[None]
_HALVED = "UNSTILL HALF of each Friedel pair one is listed"
_COLUMNS = ("I", "IDIFF", "ID", "IMEAN", "ICALC", "IOBS", "I-obs", "Intensity", "intensity")


def read_mtz_map(
    path: Path, *, crystal: Crystal | None = None, divisions: Triple | None = None
) -> IntensityMap:
    """Read a diffuse map from an MTZ file.

    The divisions are, in this order: those in the history of a file that
    unstill wrote, those given, the ratio of the file's cell to the given
    crystal's, or 1, 1, 1. One half of reciprocal space, or one asymmetric
    unit, is filled up by the file's symmetry.

    Parameters
    ----------
    path
        The file. The intensity is the column named I, IDIFF, …, else the
        first of type J; its sigma is SIG + name.
    crystal
        The unit cell and space group, if known.
    divisions
        Unit cells along a, b, c of the file's cell.

    Raises
    ------
    FormatError
        If the file is damaged or has no intensities.
    InputError
        If the file belongs to another crystal.
    """
    path = Path(path)
    with parsing(path, "an MTZ file"):
        mtz = whole_mtz(path)
        points = _points(path, mtz)
        notes = read_notes(mtz.history)
        stored = crystal_of(mtz)
    if notes is not None:
        if crystal is not None:
            check_same_cell(path, notes.crystal, crystal)
        return map_of(
            path,
            points,
            notes.crystal,
            notes.grid.divisions,
            grid=notes.grid,
            operations=_FRIEDEL if _HALVED in mtz.history else None,
        )
    if crystal is not None:
        divisions = divisions_of_supercell(path, stored, crystal, divisions)
    else:
        divisions = (1, 1, 1) if divisions is None else divisions
        crystal = _divided(stored, divisions)
    full = stored.space_group == "P 1" and has_friedel_pairs(points.index)
    operations = None if full else laue_operations(stored)
    return map_of(path, points, crystal, divisions, operations=operations)


def write_mtz_map(map: IntensityMap, path: Path) -> None:
    """Write a diffuse map as MTZ in the supercell convention (float32).

    Masked voxels are left out.

    Raises
    ------
    InputError
        If no voxel is usable.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    half = _half(map)
    points = points_of(half)
    if len(points.index) == 0:
        raise InputError("the map has no usable voxel", found="all masked", fix="check the mask")
    mtz = new_mtz(supercell(map.crystal, map.grid.divisions), "diffuse intensity map")
    columns = [points.index, points.intensity[:, None]]
    mtz.add_column("I", "J")
    if points.sigma is not None:
        mtz.add_column("SIGI", "Q")
        columns.append(points.sigma[:, None])
    if points.n_obs is not None:
        mtz.add_column("NOBS", "I")
        columns.append(points.n_obs[:, None])
    mtz.set_data(np.concatenate(columns, axis=1).astype(np.float32))
    # Told, not guessed on reading: a map may have one half masked.
    mtz.history = notes_of(map) + ([] if half is map else [_HALVED])
    write_mtz(mtz, path)


def write_bragg_mtz(crystal: Crystal, hkl: np.ndarray, f_calc: np.ndarray, path: Path) -> None:
    """Write calculated structure factors, columns ``FC`` (electrons) and ``PHIC`` (degrees).

    Indices are mapped to the asymmetric unit with their phases; systematic
    absences and further mates of a reflection are left out.

    Parameters
    ----------
    crystal
        The unit cell and space group.
    hkl
        ``(n, 3)`` whole Miller indices.
    f_calc
        ``(n,)`` complex structure factors per unit cell (electrons).
    path
        The file to write.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    present = ~crystal.group.operations().systematic_absences(hkl.astype(np.int32))
    mtz = new_mtz(crystal, "calculated structure factors")
    mtz.add_column("FC", "F")
    mtz.add_column("PHIC", "P")
    values = np.stack([np.abs(f_calc), np.degrees(np.angle(f_calc))], axis=-1)
    mtz.set_data(np.concatenate([hkl, values], axis=1)[present].astype(np.float32))
    mtz.ensure_asu()
    _, first = np.unique(mtz.make_miller_array(), axis=0, return_index=True)
    mtz.set_data(mtz.array[first])
    write_mtz(mtz, path)


def mtz_crystal(path: Path) -> Crystal:
    """Return the unit cell that an MTZ file of ours names, else the cell of the file.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    with parsing(path, "an MTZ file"):
        mtz = gemmi.read_mtz_file(str(path), with_data=False)
        notes = read_notes(mtz.history)
        return crystal_of(mtz) if notes is None else notes.crystal


def _divided(stored: Crystal, divisions: Triple) -> Crystal:
    a, b, c, alpha, beta, gamma = stored.unit_cell
    n1, n2, n3 = divisions
    return Crystal((a / n1, b / n2, c / n3, alpha, beta, gamma), stored.space_group)


def _points(path: Path, mtz: gemmi.Mtz) -> PointList:
    column = next(
        (
            mtz.column_with_label(name, type="J")
            for name in _COLUMNS
            if name in mtz.column_labels() and mtz.column_with_label(name, type="J")
        ),
        None,
    )
    if column is None:
        column = next(iter(mtz.columns_with_type("J")), None)
    if column is None:
        raise FormatError(
            f"{path.name} holds no intensities",
            found=f"columns {', '.join(mtz.column_labels())}",
            fix="give an MTZ file with an intensity column (type J)",
        )
    intensity = np.array(column, dtype=float)
    present = np.isfinite(intensity)

    def other(label: str) -> np.ndarray | None:
        if label not in mtz.column_labels():
            return None
        values: np.ndarray = np.array(mtz.column_with_label(label), dtype=float)[present]
        return values

    sigma = other(f"SIG{column.label}")
    n_obs = other("NOBS")
    return PointList(mtz.make_miller_array()[present], intensity[present], sigma, n_obs)


def _half(map: IntensityMap) -> IntensityMap:
    """Mask one of each Friedel pair, if the map obeys Friedel's law to the bit."""
    grid = map.grid
    centred = all(a + b == 1 for a, b in zip(grid.start, grid.stop, strict=True))
    arrays = (map.intensity, map.sigma, map.n_obs)
    flip = (slice(None, None, -1),) * 3
    if not centred or np.any(map.mask != map.mask[flip]):
        return map
    for array in arrays:
        if array is not None and np.any((array != array[flip])[map.measured]):
            return map
    # In C order of a centred box, the mates of the second half are the first half reversed.
    second = np.arange(grid.size).reshape(grid.shape) >= grid.size // 2
    return map.replace(mask=map.mask | ~second)
