"""Which HDF5 file holds which frames: external links, virtual datasets, growing files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers bitshuffle, LZ4 and others with HDF5

from unstill.errors import FormatError
from unstill.io.reading import REMEDY

_LOCKING = "best-effort"
"""Some network file systems know no locks."""


@dataclass(frozen=True)
class Part:
    """A run of frames in one dataset.

    Parameters
    ----------
    path, dataset
        Where they are.
    start
        Place of the first of them in the dataset.
    n_frames
        How many are there now; 0 where the file does not exist yet.
    missing
        What must come before the others can be read, in words; empty if nothing is missing.
    promised
        How many there will be, as far as known.
    """

    path: str
    dataset: str
    start: int
    n_frames: int
    missing: str = ""
    promised: int = 0


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open for reading, also a file that is being written in SWMR mode."""
    file = open_handle(path)
    try:
        yield file
    finally:
        file.close()


def open_handle(path: Path) -> h5py.File:
    """Open a file; the caller closes it.

    Raises
    ------
    FormatError
        If it is damaged, cut short or locked by a writer.
    """
    try:
        if _in_swmr(path):
            return h5py.File(path, "r", libver="latest", swmr=True, locking=_LOCKING)
        return h5py.File(path, "r", locking=_LOCKING)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError) as error:
        raise FormatError(
            f"{path.name} cannot be opened as HDF5",
            found=f"{path}: {' '.join(str(error).split())[:200]}",
            fix=REMEDY + "; if it is still being written, wait for the writer",
        ) from error


def _in_swmr(path: Path) -> bool:
    """Whether a writer has the file open in SWMR mode, by the flags of its superblock.

    Only then: opened so, a file that was cut short is not noticed.
    """
    with path.open("rb") as stream:
        start = stream.read(12)
    return len(start) == 12 and start[8] == 3 and bool(start[11] & 4)


def frame_parts(file: h5py.File, group: h5py.Group) -> tuple[Part, ...]:
    """List the parts behind the images of an NXdata group, in order.

    ``data`` if it can be opened; ``data_000001`` and the following otherwise.
    """
    names = _data_names(group)
    parts: list[Part] = []
    for name in names:
        parts += _parts_of(file, group, name)
    return tuple(parts)


def available(parts: Sequence[Part]) -> int:
    """Count the frames before the first one that is not there."""
    n_frames = 0
    for part in parts:
        n_frames += part.n_frames
        if part.missing:
            break
    return n_frames


def first_dataset(group: h5py.Group) -> h5py.Dataset | None:
    """Return the first dataset of images that exists."""
    for name in _data_names(group):
        found = _resolve(group, name)
        if found is not None:
            return found
    return None


def written_frames(dataset: h5py.Dataset) -> int:
    """Count frames up to the last one with data; space that was only reserved does not count."""
    if dataset.ndim == 2:
        return 1
    n_frames = int(dataset.shape[0])
    step = int(dataset.chunks[0]) if dataset.chunks else 1
    if dataset.chunks is None or dataset.is_virtual or n_frames == 0:
        return n_frames
    chunks_a_frame = math.prod(
        math.ceil(size / chunk)
        for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    )
    n_chunks = math.ceil(n_frames / step) * chunks_a_frame
    stored = dataset.id.get_num_chunks()
    if stored >= n_chunks:
        return n_frames
    last = max((_chunk_start(dataset, i) for i in range(stored)), default=-step)
    return min(last + step, n_frames)


def is_written(dataset: h5py.Dataset, frame: int) -> bool:
    """Whether a frame was ever written."""
    if dataset.chunks is None or dataset.is_virtual:
        return True
    place = (frame, *(0 for _ in dataset.shape[1:]))
    return bool(dataset.id.get_chunk_info_by_coord(place).size)


def _chunk_start(dataset: h5py.Dataset, number: int) -> int:
    return int(dataset.id.get_chunk_info(number).chunk_offset[0])


def _data_names(group: h5py.Group) -> list[str]:
    numbered = sorted(
        (name for name in group if name.startswith("data_") and name[5:].isdigit()),
        key=lambda name: int(name[5:]),
    )
    whole = _resolve(group, "data") if "data" in group.keys() else None  # noqa: SIM118
    if whole is not None or not numbered:
        return ["data"] if "data" in group.keys() else []  # noqa: SIM118
    return numbered


def _resolve(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return a dataset; ``None`` for a link that leads nowhere."""
    try:
        found = group[name]
    except (KeyError, OSError):
        return None
    return found if isinstance(found, h5py.Dataset) and found.ndim >= 2 else None


def _parts_of(file: h5py.File, group: h5py.Group, name: str) -> list[Part]:
    dataset = _resolve(group, name)
    if dataset is None:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.ExternalLink):
            return []
        path = Path(file.filename).parent / link.filename
        return [Part(str(path), link.path, 0, 0, _why(path, link.path))]
    if dataset.is_virtual:
        return _virtual_parts(dataset)
    name, there = dataset.file.filename, written_frames(dataset)
    return [Part(name, dataset.name, 0, there, promised=there)]


def _why(path: Path, dataset: str) -> str:
    """Say why frames of a dataset are not there."""
    if not path.exists():
        return f"{path} is missing"
    try:
        with open_hdf5(path) as file:
            what = "lacks frames of" if dataset in file else "has no"
    except FormatError as error:
        return str(error.found)
    return f"{path} {what} dataset {dataset}"


def _virtual_parts(dataset: h5py.Dataset) -> list[Part]:
    """Follow a virtual dataset: runs of whole frames are read at their source."""
    n_frames = int(dataset.shape[0])
    sources = sorted(
        dataset.virtual_sources(), key=lambda source: _frames_of(source.vspace, n_frames)
    )
    if not all(
        _is_run(space, dataset.shape)
        for source in sources
        for space in (source.vspace, source.src_space)
    ):
        return [_mosaic(dataset, sources)]
    parts: list[Part] = []
    begin = 0
    for source in sources:
        first, stop = _frames_of(source.vspace, n_frames)
        if first != begin:
            raise FormatError(
                f"the virtual dataset {dataset.name} has frames from nowhere, or twice",
                found=f"{dataset.file.filename}: frames {begin} to {first - 1}",
                fix="write the master file anew",
            )
        begin = stop
        path = _source_path(dataset, source.file_name)
        start, _ = _frames_of(source.src_space, 0)
        there = _frames_at(path, source.dset_name, start, stop - first)
        lacking = "" if there == stop - first else _why(path, source.dset_name)
        parts.append(Part(str(path), source.dset_name, start, there, lacking, stop - first))
    return parts


def _mosaic(dataset: h5py.Dataset, sources: list[h5py.VDSmap]) -> Part:
    """Frames put together from pieces: HDF5 does it, once all pieces are there."""
    name, n_frames = dataset.file.filename, int(dataset.shape[0])
    for source in sources:
        path = _source_path(dataset, source.file_name)
        _, last = _frames_of(source.src_space, int(source.src_space.shape[0]))
        if _frames_at(path, source.dset_name, 0, last) < last:
            return Part(name, dataset.name, 0, 0, _why(path, source.dset_name), n_frames)
    return Part(name, dataset.name, 0, n_frames, promised=n_frames)


def _frames_at(path: Path, name: str, start: int, wanted: int) -> int:
    """Count the frames that are there now, of those wanted of a dataset."""
    if not path.exists():
        return 0
    with open_hdf5(path) as file:
        dataset = file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            return 0
        there = written_frames(dataset)
        if dataset.is_virtual:
            there = available(_virtual_parts(dataset))
        return min(max(there - start, 0), wanted)


def _is_run(space: h5py.h5s.SpaceID, shape: tuple[int, ...]) -> bool:
    """Whether a selection is a run of whole frames of the shape of a dataset."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return bool(space.shape[1:] == shape[1:])
    if not space.is_regular_hyperslab():
        return False
    start, stride, count, block = space.get_regular_hyperslab()
    gapless = all(
        n == 1 or step == size for n, step, size in zip(count, stride, block, strict=True)
    )
    taken = tuple(n * size for n, size in zip(count, block, strict=True))
    return gapless and not any(start[1:]) and taken[1:] == shape[1:] == space.shape[1:]


def _frames_of(space: h5py.h5s.SpaceID, n_frames: int) -> tuple[int, int]:
    """First frame of a selection and the one after its last; all of them if it is unlimited."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return 0, n_frames
    if not space.is_regular_hyperslab():
        first, last = space.get_select_bounds()
        return int(first[0]), int(last[0]) + 1
    start, stride, count, block = (int(values[0]) for values in space.get_regular_hyperslab())
    if h5py.h5s.UNLIMITED in (count, block):
        return start, n_frames
    return start, start + (count - 1) * stride + block


def _source_path(dataset: h5py.Dataset, name: str) -> Path:
    own = Path(dataset.file.filename)
    return own if name == "." else own.parent / name
