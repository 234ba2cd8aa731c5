"""GROMACS trajectories: XTC (compressed) and TRR.

Both are sequences of XDR frames (big-endian), each behind a header with a
magic number, so the whole frames of a file are found by hopping from header
to header; the hop that leaves the file tells of a file that was cut short.
Lengths are nm in the file and Å here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from unstill.errors import FormatError
from unstill.io.frame_file import FrameIndex, SeekableFile, file_fingerprint, unreadable_frame
from unstill.units import ANGSTROM_PER_NM

_XTC_MAGIC = {1995: 4, 2023: 8}
"""Magic number → bytes of the length of the compressed block (2023: very large systems)."""
_XTC_HEADER, _XTC_PLAIN = 52, 9
_TRR_MAGIC = 1993
_LONGEST_HEADER = 100


def open_xtc(path: Path) -> XtcFile:
    """Index the frames of an XTC file.

    Raises
    ------
    FormatError
        If the file does not begin with a frame.
    """
    with path.open("rb") as stream:
        return XtcFile(path, _scan(path, stream, _xtc_step, "an XTC trajectory"))


def open_trr(path: Path) -> SeekableFile:
    """Index the frames of a TRR file (single or double precision).

    Frames without coordinates (velocities or forces only) do not count.

    Raises
    ------
    FormatError
        If the file does not begin with a frame.
    """
    with path.open("rb") as stream:
        index = _scan(path, stream, _trr_step, "a TRR trajectory")
    return SeekableFile(path, index, _decode_trr)


@dataclass(frozen=True)
class XtcFile:
    """An XTC file; mdtraj decompresses the coordinates."""

    path: Path
    index: FrameIndex

    @property
    def n_atoms(self) -> int:
        """Atoms a frame."""
        return self.index.n_atoms

    @property
    def n_frames(self) -> int:
        """Whole frames."""
        return len(self.index.offsets)

    @contextmanager
    def open(self) -> Iterator[_XtcReader]:
        """Open for reading."""
        from mdtraj.formats import XTCTrajectoryFile

        with XTCTrajectoryFile(str(self.path)) as file:
            yield _XtcReader(self.path, file)

    def fingerprint(self) -> dict[str, Any]:
        """Name, size and number of frames."""
        return file_fingerprint(self.path, self.n_frames)


class _XtcReader:
    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file, self._next = path, file, 0

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        try:
            if number != self._next:
                self._file.seek(number)
            coord, _, _, box = self._file.read(1)
        except (RuntimeError, OSError, ValueError) as error:
            raise unreadable_frame(self._path, number, str(error)) from error
        if len(coord) != 1:
            raise unreadable_frame(self._path, number, "it holds nothing")
        self._next = number + 1
        return coord[0] * np.float32(ANGSTROM_PER_NM), _box(None if box is None else box[0])


def _box(vectors: np.ndarray | None) -> np.ndarray | None:
    # mdtraj gives no box at all in place of one of zeros.
    return None if vectors is None or not np.any(vectors) else vectors * ANGSTROM_PER_NM


@dataclass(frozen=True)
class _Step:
    """One frame in the hop through a file."""

    n_atoms: int
    end: int
    has_coordinates: bool = True


def _scan(path: Path, stream: IO[bytes], step: Any, kind: str) -> FrameIndex:
    size = path.stat().st_size
    offsets: list[int] = []
    n_atoms = 0
    place = 0
    broken: str | None = None
    while place < size:
        found = step(stream, place, size)
        if found is None or found.end > size:
            short = found is not None or size - place < _LONGEST_HEADER
            broken = (
                f"the file ends within a frame, at byte {size}"
                if short
                else f"no frame begins at byte {place}"
            )
            break
        if offsets and found.n_atoms != n_atoms:
            broken = f"the number of atoms changes from {n_atoms} to {found.n_atoms}"
            break
        if found.has_coordinates:
            n_atoms = found.n_atoms
            offsets.append(place)
        place = found.end
    if not offsets and place == 0:
        raise FormatError(
            f"{path.name} holds no whole frame, or is not {kind}",
            found=broken or f"{path}: {size} bytes",
            fix="check that this is the right file, or copy it again",
        )
    return FrameIndex(n_atoms, np.array(offsets, dtype=np.int64), broken)


def _xtc_step(stream: IO[bytes], place: int, size: int) -> _Step | None:
    stream.seek(place)
    head = stream.read(_XTC_HEADER + 4)
    if len(head) < _XTC_HEADER + 4:
        return None
    magic, n_atoms = struct.unpack(">2i", head[:8])
    (stored,) = struct.unpack(">i", head[52:56])
    if magic not in _XTC_MAGIC or n_atoms < 1 or stored != n_atoms:
        return None
    if n_atoms <= _XTC_PLAIN:
        return _Step(n_atoms, place + 56 + 12 * n_atoms)
    # precision, smallest and largest integers, index of the small size: 8 words, then bytes.
    width = _XTC_MAGIC[magic]
    stream.seek(place + 56 + 32)
    raw = stream.read(width)
    if len(raw) < width:
        return None
    n_bytes = int.from_bytes(raw, "big")
    return _Step(n_atoms, place + 56 + 32 + width + (n_bytes + 3) // 4 * 4)


def _trr_header(stream: IO[bytes]) -> tuple[tuple[int, ...], int] | None:
    """Thirteen integers of a TRR header and its length; ``None`` if there is no header."""
    start = stream.read(12)
    if len(start) < 12:
        return None
    magic, _, length = struct.unpack(">3i", start)
    if magic != _TRR_MAGIC or not 0 < length < 256:
        return None
    padded = (length + 3) // 4 * 4
    rest = stream.read(padded + 52)
    if len(rest) < padded + 52:
        return None
    return struct.unpack(">13i", rest[padded:]), 12 + padded + 52


def _trr_layout(numbers: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """Atoms, bytes a number, bytes before the coordinates, bytes of the frame body."""
    sizes, n_atoms = numbers[:10], numbers[10]
    box_size, x_size, v_size, f_size = sizes[2], sizes[7], sizes[8], sizes[9]
    if n_atoms < 1 or min(sizes) < 0:
        return None
    width = next(
        (
            total // count
            for total, count in ((box_size, 9), (x_size, 3 * n_atoms), (v_size, 3 * n_atoms))
            if total
        ),
        f_size // (3 * n_atoms),
    )
    if width not in (4, 8) or x_size not in (0, 3 * n_atoms * width):
        return None
    # Time and lambda come first, then box, virial and pressure, then the coordinates.
    before = 2 * width + sum(sizes[:7])
    return n_atoms, width, before, before + sum(sizes[7:])


def _trr_step(stream: IO[bytes], place: int, size: int) -> _Step | None:
    stream.seek(place)
    header = _trr_header(stream)
    layout = None if header is None else _trr_layout(header[0])
    if header is None or layout is None:
        return None
    return _Step(layout[0], place + header[1] + layout[3], has_coordinates=header[0][7] > 0)


def _decode_trr(stream: IO[bytes], _: FrameIndex) -> tuple[np.ndarray, np.ndarray | None]:
    header = _trr_header(stream)
    layout = None if header is None else _trr_layout(header[0])
    assert header is not None
    assert layout is not None
    n_atoms, width, before, _body = layout
    kind = f">f{width}"
    raw = stream.read(before)
    box = None
    if header[0][2]:
        place = 2 * width + header[0][0] + header[0][1]
        vectors = np.frombuffer(raw, kind, count=9, offset=place).astype(np.float64)
        box = _box(vectors.reshape(3, 3))
    coord = np.frombuffer(stream.read(3 * n_atoms * width), kind).astype(np.float32)
    return coord.reshape(n_atoms, 3) * np.float32(ANGSTROM_PER_NM), box
