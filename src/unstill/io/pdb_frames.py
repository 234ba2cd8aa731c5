"""Multi-model PDB files as trajectories, one model in memory at a time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from unstill.errors import FormatError, UnstillWarning
from unstill.io.frame_file import FrameIndex, SeekableFile
from unstill.io.pdb import pdb_crystal
from unstill.io.pdb_columns import coordinates_of
from unstill.io.reading import REMEDY

_ATOMS = (b"ATOM  ", b"HETATM")


def open_pdb_frames(path: Path) -> SeekableFile:
    """Index the models of a PDB file; CRYST1 gives the box of every frame.

    Raises
    ------
    FormatError
        If there is no whole model, or models hold different numbers of atoms.
    """
    offsets: list[int] = []
    counts: list[int] = []
    n_atoms, begin, place = 0, -1, 0
    cell: list[bytes] = []
    has_models = False
    with path.open("rb") as stream:
        for line in stream:
            record = line[:6]
            if record in _ATOMS:
                begin = place if begin < 0 else begin
                n_atoms += 1
            elif record == b"ENDMDL":
                offsets.append(begin)
                counts.append(n_atoms)
                n_atoms, begin = 0, -1
            elif record == b"CRYST1" and not cell:
                cell.append(line)
            has_models |= record.startswith(b"MODEL")
            place += len(line)
    broken = None
    if n_atoms and not has_models:
        offsets.append(begin)
        counts.append(n_atoms)
    elif n_atoms:
        broken = "the file ends within a model"
    if not offsets:
        raise FormatError(
            f"{path.name} holds no whole model", found=broken or "no atoms", fix=REMEDY
        )
    odd = next((i for i, count in enumerate(counts) if count != counts[0]), None)
    if odd is not None:
        raise FormatError(
            f"the models of {path.name} hold different atoms",
            found=f"{counts[odd]} atoms in model {odd + 1}, {counts[0]} in the first",
            fix="split the file, so that each file holds models of the same atoms",
        )
    index = FrameIndex(counts[0], np.array(offsets, dtype=np.int64), broken)
    return SeekableFile(path, index, _PdbModel(path, _box(cell, path)))


@dataclass(frozen=True)
class _PdbModel:
    path: Path
    box: np.ndarray | None

    def __call__(
        self, stream: IO[bytes], index: FrameIndex
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Read the model that begins where the stream stands."""
        lines: list[bytes] = []
        for line in stream:
            if line[:6] in _ATOMS:
                lines.append(line.rstrip(b"\r\n"))
            if len(lines) == index.n_atoms or line.startswith(b"ENDMDL"):
                break
        return coordinates_of(lines, self.path), self.box


def _box(cell: list[bytes], path: Path) -> np.ndarray | None:
    with warnings.catch_warnings():
        # A blank space group does not matter for a box.
        warnings.simplefilter("ignore", UnstillWarning)
        crystal = pdb_crystal(cell, path)
    return None if crystal is None else crystal.orthogonalization_matrix.T
