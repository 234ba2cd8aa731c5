"""AMBER NetCDF trajectories, classic (NetCDF 3) and HDF5-based (NetCDF 4).

The classic header says where the record variables ``coordinates``,
``cell_lengths`` and ``cell_angles`` lie, so frames are read at their offsets
and a file that was cut short is noticed (the NetCDF library fills the missing
part with numbers). Lengths are Å by the AMBER convention
(https://ambermd.org/netcdf/nctraj.xhtml).
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
from unstill.io.frame_file import (
    FrameIndex,
    SeekableFile,
    box_vectors,
    file_fingerprint,
    unreadable_frame,
)
from unstill.io.reading import REMEDY, head, parsing

_TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2"}
_TYPES |= {9: ">u4", 10: ">i8", 11: ">u8"}
_STREAMING = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def open_netcdf(path: Path) -> SeekableFile | Hdf5Frames:
    """Index the frames of an AMBER NetCDF trajectory.

    Raises
    ------
    FormatError
        If the file is damaged, or holds no coordinates.
    """
    with parsing(path, "an AMBER NetCDF trajectory"):
        if head(path).startswith(b"\x89HDF"):
            return _open_hdf5(path)
        with path.open("rb") as stream:
            return _open_classic(path, stream)


@dataclass(frozen=True)
class _Variable:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int
    is_record: bool

    @property
    def record_bytes(self) -> int:
        n_items = int(np.prod(self.shape[1:], dtype=np.int64))
        return n_items * self.dtype.itemsize

    @property
    def padded_bytes(self) -> int:
        return (self.record_bytes + 3) // 4 * 4


class _Header:
    """Reads the classic header, item by item."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        magic = stream.read(4)
        if magic[:3] != b"CDF" or magic[3:] not in (b"\x01", b"\x02", b"\x05"):
            raise ValueError("no NetCDF header")
        version = magic[3]
        self._count, self._offset = (
            (">Q" if version == 5 else ">I"),
            (">I" if version == 1 else ">Q"),
        )
        self.n_records = self._number(self._count)
        self.dimensions = [(self._name(), self._number(self._count)) for _ in self._items()]
        self._skip_attributes()
        self.variables = [self._variable() for _ in self._items()]

    def _bytes(self, count: int) -> bytes:
        found = self._stream.read(count)
        if count > 1 << 24 or len(found) < count:
            raise ValueError("the header is cut short")
        return found

    def _number(self, code: str) -> int:
        return int(struct.unpack(code, self._bytes(struct.calcsize(code)))[0])

    def _items(self) -> range:
        self._number(">I")
        return range(self._number(self._count))

    def _name(self) -> str:
        length = self._number(self._count)
        return self._bytes((length + 3) // 4 * 4)[:length].decode()

    def _skip_attributes(self) -> None:
        for _ in self._items():
            self._name()
            width = np.dtype(_TYPES[self._number(">I")]).itemsize
            length = self._number(self._count) * width
            self._bytes((length + 3) // 4 * 4)

    def _variable(self) -> _Variable:
        name = self._name()
        n_dimensions = self._number(self._count)
        lengths = [self.dimensions[self._number(self._count)][1] for _ in range(n_dimensions)]
        self._skip_attributes()
        dtype = np.dtype(_TYPES[self._number(">I")])
        self._number(self._count)
        begin = self._number(self._offset)
        is_record = bool(lengths) and lengths[0] == 0
        return _Variable(name, tuple(lengths), dtype, begin, is_record)


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a record lie, from its begin."""

    coordinates: tuple[int, str]
    lengths: tuple[int, str] | None
    angles: tuple[int, str] | None

    def __call__(
        self, stream: IO[bytes], index: FrameIndex
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Read the frame that begins where the stream stands."""
        begin = stream.tell()

        def part(place: tuple[int, str], count: int) -> np.ndarray:
            stream.seek(begin + place[0])
            return np.frombuffer(stream.read(count * np.dtype(place[1]).itemsize), place[1])

        coord = part(self.coordinates, 3 * index.n_atoms).astype(np.float32)
        box = None
        if self.lengths is not None and self.angles is not None:
            box = box_vectors(part(self.lengths, 3).astype(float), part(self.angles, 3))
        return coord.reshape(-1, 3), box


def _open_classic(path: Path, stream: IO[bytes]) -> SeekableFile:
    header = _Header(stream)
    records = [variable for variable in header.variables if variable.is_record]
    named = {variable.name: variable for variable in records}
    coordinates = named.get("coordinates")
    if coordinates is None or len(coordinates.shape) != 3 or coordinates.shape[2] != 3:
        raise _no_coordinates(path, [variable.name for variable in header.variables])
    first = min(variable.begin for variable in records)
    # A single record variable is stored without padding.
    step = (
        coordinates.record_bytes
        if len(records) == 1
        else sum(variable.padded_bytes for variable in records)
    )
    size = path.stat().st_size
    # The padding of the very last record may be missing.
    last = max(variable.begin - first + variable.record_bytes for variable in records)
    whole = max((size - first - last) // step + 1, 0) if size >= first + last else 0
    announced = whole if header.n_records in _STREAMING else header.n_records
    broken = (
        f"the header announces {announced} frames, the file ends at byte {size}"
        if announced > whole
        else None
    )

    def place(name: str) -> tuple[int, str] | None:
        variable = named.get(name)
        return None if variable is None else (variable.begin - first, variable.dtype.str)

    offsets = first + step * np.arange(min(whole, announced), dtype=np.int64)
    layout = _Layout(
        (coordinates.begin - first, coordinates.dtype.str),
        place("cell_lengths"),
        place("cell_angles"),
    )
    return SeekableFile(path, FrameIndex(coordinates.shape[1], offsets, broken), layout)


@dataclass(frozen=True)
class Hdf5Frames:
    """A NetCDF 4 trajectory, read through HDF5."""

    path: Path
    n_atoms: int
    n_frames: int

    @contextmanager
    def open(self) -> Iterator[_Hdf5Reader]:
        """Open for reading."""
        import h5py

        with h5py.File(self.path, "r") as file:
            yield _Hdf5Reader(self.path, file)

    def fingerprint(self) -> dict[str, Any]:
        """Name, size and number of frames."""
        return file_fingerprint(self.path, self.n_frames)


class _Hdf5Reader:
    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        try:
            coord = self._file["coordinates"][number].astype(np.float32)
            box = None
            if "cell_lengths" in self._file and "cell_angles" in self._file:
                box = box_vectors(
                    self._file["cell_lengths"][number], self._file["cell_angles"][number]
                )
        except (OSError, KeyError, RuntimeError) as error:
            raise unreadable_frame(self._path, number, str(error)) from error
        return coord, box


def _open_hdf5(path: Path) -> Hdf5Frames:
    import h5py

    with h5py.File(path, "r") as file:
        found = file.get("coordinates")
        if found is None or found.ndim != 3 or found.shape[2] != 3:
            raise _no_coordinates(path, list(file))
        return Hdf5Frames(path, int(found.shape[1]), int(found.shape[0]))


def _no_coordinates(path: Path, names: list[str]) -> FormatError:
    return FormatError(
        f"{path.name} holds no coordinates of frames",
        found=f"variables {', '.join(names) or 'none'}",
        fix=f"give an AMBER trajectory; {REMEDY}",
    )
