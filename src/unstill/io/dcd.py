"""DCD trajectories of CHARMM, NAMD, X-PLOR and OpenMM.

Fortran records of either byte order with markers of 4 or 8 bytes: a header, a
title, the number of atoms, then a frame in records for the cell (6 doubles,
optional), x, y and z (float32, Å), and a fourth dimension (optional). Frames
are counted from the size of the file, because headers are often wrong.

The cell holds A, γ, B, β, α, C with angles in degrees or as cosines; CHARMM
since version 25 stores the symmetric shape matrix instead.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from unstill.errors import FormatError
from unstill.io.frame_file import FrameIndex, SeekableFile, box_vectors
from unstill.io.reading import REMEDY

_HEADER = 84
_SHAPE_MATRIX_SINCE = 25


def open_dcd(path: Path) -> SeekableFile:
    """Index the frames of a DCD file.

    Raises
    ------
    FormatError
        If the header is damaged, or atoms are fixed (frames then hold only some atoms).
    """
    with path.open("rb") as stream:
        layout, first = _header(path, stream)
    size = path.stat().st_size
    n_frames, rest = divmod(size - first, layout.frame_bytes)
    broken = None
    if rest:
        broken = f"the file ends within a frame, at byte {size}"
    elif layout.announced > n_frames:
        broken = f"the header announces {layout.announced} frames"
    offsets = first + layout.frame_bytes * np.arange(n_frames, dtype=np.int64)
    return SeekableFile(path, FrameIndex(layout.n_atoms, offsets, broken), layout)


@dataclass(frozen=True)
class _Layout:
    """How the records of a frame lie in the file."""

    order: str
    marker: int
    n_atoms: int
    announced: int
    has_cell: bool
    has_fourth: bool
    version: int

    @property
    def frame_bytes(self) -> int:
        records = 3 + self.has_fourth
        cell = (48 + 2 * self.marker) * self.has_cell
        return cell + records * (4 * self.n_atoms + 2 * self.marker)

    def __call__(self, stream: IO[bytes], _: FrameIndex) -> tuple[np.ndarray, np.ndarray | None]:
        """Read the frame that begins where the stream stands."""
        raw = stream.read(self.frame_bytes)
        place = self.marker
        box = None
        if self.has_cell:
            stored = np.frombuffer(raw, f"{self.order}f8", count=6, offset=place)
            box = _box(stored.astype(float), self.version)
            place += 48 + 2 * self.marker
        coord = np.empty((self.n_atoms, 3), dtype=np.float32)
        for axis in range(3):
            coord[:, axis] = np.frombuffer(
                raw, f"{self.order}f4", count=self.n_atoms, offset=place
            )
            place += 4 * self.n_atoms + 2 * self.marker
        return coord, box


def _header(path: Path, stream: IO[bytes]) -> tuple[_Layout, int]:
    start = stream.read(16)
    order, marker = _markers(path, start)
    stream.seek(0)
    control = _record(path, stream, order, marker)
    numbers = struct.unpack(f"{order}20i", control[4:84])
    _record(path, stream, order, marker)
    counted = _record(path, stream, order, marker)
    (n_atoms,) = struct.unpack(f"{order}i", counted[:4])
    if n_atoms < 1:
        raise _damaged(path, f"{n_atoms} atoms")
    if numbers[8]:
        raise FormatError(
            f"{path.name} holds only the atoms that move",
            found=f"{numbers[8]} fixed atoms",
            fix="convert it to a trajectory of all atoms, for example with mdconvert",
        )
    version = numbers[19]
    # Flags of X-PLOR files (version 0) mean something else.
    has_cell, has_fourth = (bool(version and numbers[flag]) for flag in (10, 11))
    layout = _Layout(order, marker, n_atoms, numbers[0], has_cell, has_fourth, version)
    return layout, stream.tell()


def _markers(path: Path, start: bytes) -> tuple[str, int]:
    for order in "<>":
        for marker, code in ((4, "i"), (8, "q")):
            if len(start) < marker + 4:
                continue
            (length,) = struct.unpack(f"{order}{code}", start[:marker])
            if length == _HEADER and start[marker : marker + 4] in (b"CORD", b"VELD"):
                if start[marker : marker + 4] == b"VELD":
                    raise _damaged(path, "velocities instead of coordinates")
                return order, marker
    raise _damaged(path, "no DCD header")


def _record(path: Path, stream: IO[bytes], order: str, marker: int) -> bytes:
    code = f"{order}{'i' if marker == 4 else 'q'}"
    raw = stream.read(marker)
    length = struct.unpack(code, raw)[0] if len(raw) == marker else -1
    if not 0 <= length < 1 << 24:
        raise _damaged(path, "a header that is cut short")
    content = stream.read(length)
    if len(content) < length or stream.read(marker) != raw:
        raise _damaged(path, "a header that is cut short")
    return content


def _damaged(path: Path, found: str) -> FormatError:
    return FormatError(f"{path.name} is no DCD trajectory of coordinates", found=found, fix=REMEDY)


def _box(cell: np.ndarray, version: int) -> np.ndarray | None:
    a, gamma, b, beta, alpha, c = cell
    lengths, angles = np.array([a, b, c]), np.array([alpha, beta, gamma])
    if np.abs(angles).max() <= 1 and (version < _SHAPE_MATRIX_SINCE or not angles.any()):
        return box_vectors(lengths, np.degrees(np.arccos(angles)))
    if version >= _SHAPE_MATRIX_SINCE and not _are_degrees(angles):
        return _from_shape(cell)
    return box_vectors(lengths, angles)


def _are_degrees(angles: np.ndarray) -> bool:
    return bool(angles.min() > 20 and angles.max() < 160)


def _from_shape(cell: np.ndarray) -> np.ndarray | None:
    """Turn the symmetric shape matrix XX, XY, YY, XZ, YZ, ZZ, whose rows are the box vectors.

    The coordinates belong to this very frame, so the vectors are not turned.
    """
    xx, xy, yy, xz, yz, zz = cell
    shape = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return shape if np.linalg.det(shape) > 0 else None
