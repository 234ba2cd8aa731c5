"""A stack of MTZ files, amplitude and phase, one a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.same_lattice import same_lattice
from unstill.crystal.supercell import supercell
from unstill.errors import InputError
from unstill.io.cell_check import cell_text, divisions_of_supercell
from unstill.io.mtz_file import new_mtz, write_mtz
from unstill.io.mtz_phased import Labels, PhasedMtz, read_phased_header, read_phased_mtz
from unstill.maps.members import Member
from unstill.shapes import Complex, Integer


def open_mtz_stack(
    paths: Sequence[Path],
    *,
    crystal: Crystal,
    divisions: Triple | None = None,
    columns: Labels | None = None,
) -> MtzStack:
    """Open MTZ files of calculated structure factors, one a frame, as members.

    The cell of the files is a supercell of the crystal in P 1, or the unit
    cell; whatever their space group, it is expanded to P 1. All files have
    the cell, the columns and, in any order, the reflections of the first;
    0 0 0 need not be there. Cells and columns are checked now, reflections as
    the files are read.

    Parameters
    ----------
    paths
        The files, in the order of the frames.
    crystal
        The true *unit* cell and space group, as of the measured map.
    divisions
        Unit cells along a, b, c of the files' cell; by default the ratio of the cells.
    columns
        Labels of amplitude (type F, in electrons per cell of the file) and
        phase (type P, degrees); by default FC, PHIC and what else is usual,
        or the first of each type.

    Raises
    ------
    FormatError
        If a file is damaged, or has no amplitudes or no phases.
    InputError
        If no file is given, or one belongs to another crystal or has other
        columns than the first.
    """
    files = tuple(Path(path) for path in paths)
    if not files:
        raise InputError("no MTZ file was given", found="none", fix="give one file a frame")
    first = read_phased_mtz(files[0], columns)
    divisions = divisions_of_supercell(files[0], first.crystal, crystal, divisions)
    stack = MtzStack(files, crystal, divisions, first.index, first.crystal, first.columns)
    for path in files[1:]:
        stack.check_cell(path, read_phased_header(path, first.columns)[0])
    return stack


@dataclass(frozen=True, eq=False)
class MtzStack:
    """MTZ files as members; one file is in memory at a time.

    Parameters
    ----------
    paths
        The files.
    crystal
        The *unit* cell and its space group.
    divisions
        Unit cells along a, b, c of the supercell.
    index
        ``(n_points, 3)`` Miller indices of the supercell, in lexicographic order.
    cell
        Cell and space group of the first file.
    columns
        Labels of amplitude and phase.
    """

    paths: tuple[Path, ...]
    crystal: Crystal
    divisions: Triple
    index: np.ndarray
    cell: Crystal
    columns: Labels

    @property
    def n_members(self) -> int:
        """Number of files."""
        return len(self.paths)

    def members(self) -> Iterator[Member]:
        """Yield the frames in order.

        Raises
        ------
        InputError
            If a file has another cell, or more or fewer reflections, than the first.
        """
        for path in self.paths:
            found = read_phased_mtz(path, self.columns)
            self.check_cell(path, found.crystal)
            self._check_points(path, found)
            yield Member(found.f, found.f.real**2 + found.f.imag**2)

    def describe(self) -> dict[str, Any]:
        """Which files and columns."""
        return {
            "format": "MTZ stack",
            "n_files": len(self.paths),
            "first": str(self.paths[0]),
            "last": str(self.paths[-1]),
            "columns": list(self.columns),
            "unit_cell": list(self.cell.unit_cell),
            "space_group": self.cell.space_group,
        }

    def check_cell(self, path: Path, own: Crystal) -> None:
        """Refuse a file of another cell than the first.

        Raises
        ------
        InputError
            If it is.
        """
        if not same_lattice(own, self.cell):
            raise InputError(
                f"wrong cell: {path.name} is of another cell than {self.paths[0].name}",
                found=f"{cell_text(own)} and {cell_text(self.cell)}",
                fix="give frames of one supercell",
            )

    def _check_points(self, path: Path, found: PhasedMtz) -> None:
        if np.array_equal(found.index, self.index):
            return
        n_both = len(np.unique(np.concatenate([self.index, found.index]), axis=0))
        raise InputError(
            f"{path.name} holds other reflections than {self.paths[0].name}",
            found=f"{n_both - len(found.index)} missing and {n_both - len(self.index)} more, "
            f"where the first file has {len(self.index)} (one of each Friedel pair)",
            fix="write all frames with the same reflections and leave no number out",
        )


def write_frame_mtz(
    crystal: Crystal,
    divisions: Triple,
    index: Integer[np.ndarray, "points 3"],
    f: Complex[np.ndarray, " points"],
    path: Path,
) -> None:
    """Write the structure factors of one frame, columns ``FC`` and ``PHIC`` (float32).

    The file is in the supercell convention: P 1, the cell that of the
    supercell, whole indices.

    Parameters
    ----------
    crystal
        The *unit* cell.
    divisions
        Unit cells along a, b, c of the supercell.
    index
        ``(n, 3)`` Miller indices of the supercell.
    f
        ``(n,)`` complex structure factors (electrons per supercell).
    path
        The file to write.

    Raises
    ------
    InputError
        If the indices are not as many as the structure factors.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    index, f = np.asarray(index), np.asarray(f)
    if index.shape != (len(f), 3) or f.ndim != 1:
        raise InputError(
            "the indices do not fit the structure factors",
            found=f"{index.shape} indices, {f.shape} structure factors",
            fix="give one H, K, L each",
        )
    mtz = new_mtz(supercell(crystal, divisions), "structure factors of a frame")
    mtz.add_column("FC", "F")
    mtz.add_column("PHIC", "P")
    values = np.stack([np.abs(f), np.degrees(np.angle(f))], axis=-1)
    mtz.set_data(np.concatenate([index, values], axis=1).astype(np.float32))
    write_mtz(mtz, path)
