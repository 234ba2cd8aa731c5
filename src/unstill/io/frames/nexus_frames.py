"""Frames in HDF5: NXmx files, Eiger masters with their data files, data files alone.

All bits set marks a pixel without a measurement, one less an overload, as
Dectris writes it; so does a count above ``saturation_value``. Pixels that
``pixel_mask`` names are invalid. Frames whose file is not there yet do not
count; :meth:`NexusFrames.refresh` looks again.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.experiment import INVALID, Detector, FrameHeader
from unstill.io.frames.hdf5_parts import (
    Part,
    available,
    first_dataset,
    frame_parts,
    open_hdf5,
)
from unstill.io.frames.hdf5_reader import Hdf5Reader
from unstill.io.frames.image_files import check_index
from unstill.io.frames.nexus_header import NexusHeader, find, number, read_nexus_header
from unstill.io.frames.panel_layout import PanelLayout, panel_layout
from unstill.io.reading import REMEDY, parsing

KIND = "an HDF5 file of images"


@dataclass(eq=False)
class NexusFrames:
    """Frames in HDF5 files; a ``FrameSource``.

    Files are opened when needed, and stay behind when the source is pickled.

    Parameters
    ----------
    path
        The master file.
    parts
        Runs of frames, in order.
    promised
        Number of frames that the master announces.
    layout
        How images are cut into panels.
    heading
        What the file says of the frames.
    reader
        Reads single frames.
    skip, limit
        Frames to leave out at the beginning; most frames to use.
    first_number
        Number of the first image in the file; above 1 for a data file that is not the first.
    """

    path: Path
    parts: tuple[Part, ...]
    promised: int
    layout: PanelLayout
    heading: NexusHeader
    reader: Hdf5Reader
    skip: int = 0
    limit: int | None = None
    first_number: int = 1

    @property
    def n_frames(self) -> int:
        """Number of frames there are now."""
        there = available(self.parts) - self.skip
        return max(there if self.limit is None else min(there, self.limit), 0)

    @property
    def image_numbers(self) -> tuple[int, ...]:
        """Numbers of the frames of a later data file; empty where they count from 1."""
        if self.first_number == 1:
            return ()
        start = self.first_number + self.skip
        return tuple(range(start, start + self.n_frames))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every panel."""
        return self.layout.shapes

    @property
    def missing(self) -> str:
        """Why the first frame that is not there is missing; empty if all are there."""
        return next((part.missing for part in self.parts if part.missing), "")

    def header(self, index: int) -> FrameHeader:
        """Return what the file says of one frame."""
        self._check(index)
        return self.heading.frame(index + self.skip)

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the pixel values of one frame, a panel each."""
        self._check(index)
        part, place = self._locate(index + self.skip)
        with parsing(Path(part.path), KIND):
            counts = self.reader.read(part, place)
        if counts is None:
            warnings.warn(
                f"frame {index} of {self.path.name} was never written; it counts as a frame "
                "without a measurement",
                UnstillWarning,
                stacklevel=2,
            )
            return tuple(np.full(shape, INVALID, dtype=np.int32) for shape in self.shapes)
        return self.layout.cut(Path(part.path), counts)

    def refresh(self) -> int:
        """Open the files anew and look for frames that came since."""
        before = self.n_frames
        # What a process has open keeps its old length.
        self.reader.close()
        with parsing(self.path, KIND), open_hdf5(self.path) as file:
            found, promised, heading = _contents(file, self.layout.raw_shape)
        if available(found) - self.skip >= before:
            self.parts, self.promised, self.heading = found, promised, heading
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        """Paths of the master and the data files that are there."""
        paths = [str(self.path), *(part.path for part in self.parts if part.n_frames)]
        return tuple(dict.fromkeys(paths))

    def _check(self, index: int) -> None:
        limit = self.promised - self.skip if self.limit is None else self.limit
        if self.missing and self.n_frames <= index < limit:
            raise InputError(
                f"frame {index} of {self.path.name} cannot be read",
                found=self.missing,
                fix="copy that file beside the master file, or wait for it with --follow",
            )
        check_index(index, self.n_frames)

    def _locate(self, frame: int) -> tuple[Part, int]:
        for part in self.parts:
            if frame < part.n_frames:
                return part, part.start + frame
            frame -= part.n_frames
        raise AssertionError("checked before")


def open_nexus(
    path: Path,
    detector: Detector | None = None,
    *,
    image_range: tuple[int, int] | None = None,
    growing: bool = False,
) -> NexusFrames:
    """Open an NXmx file, an Eiger master or one of its data files.

    Parameters
    ----------
    path
        The file.
    detector
        Its panels are cut from the images; ``None`` takes the images as they are.
    image_range
        First and last image to use, both included; counted from 1, or from the
        number that a data file gives its first image.
    growing
        Whether frames are still being written; no warning then of those not there.

    Raises
    ------
    FormatError
        If it is damaged, holds no images, or no file with images is there.
    InputError
        If the images do not fit the detector, or a mask is missing.
    """
    with parsing(path, KIND), open_hdf5(path) as file:
        raw_shape = _raw_shape(path, file, detector, growing=growing)
        parts, promised, heading = _contents(file, raw_shape)
        saturation = number(_detector(_entry(file)), "saturation_value")
        mask = _mask(path, _detector(_entry(file)), raw_shape)
        first_number = _first_number(path, parts, file)
    first, last = image_range or (first_number, 0)
    if image_range and last < first_number:
        # The experiment was made from this file alone, and counts its frames from 1.
        first_number = 1
    begin = max(first, first_number)
    source = NexusFrames(
        path,
        parts,
        promised,
        panel_layout(raw_shape, detector),
        heading,
        Hdf5Reader(raw_shape, saturation, mask),
        skip=begin - first_number,
        limit=max(last - begin + 1, 0) if image_range else None,
        first_number=first_number,
    )
    wanted = promised if source.limit is None else source.limit
    if not growing and source.n_frames < wanted:
        warnings.warn(
            f"{path.name} announces {wanted} frames and {source.n_frames} are there"
            + (f"; {source.missing}" if source.missing else ""),
            UnstillWarning,
            stacklevel=3,
        )
    return source


def _first_number(path: Path, parts: tuple[Part, ...], file: h5py.File) -> int:
    """Return the number of the first image of a data file without its master; else 1."""
    if len(parts) != 1 or Path(parts[0].path) != path:
        return 1
    low = file[parts[0].dataset].attrs.get("image_nr_low", 1)
    known = np.size(low) and np.asarray(low).dtype.kind in "iu"
    return max(int(np.ravel(low)[0]), 1) if known else 1


def _contents(
    file: h5py.File, raw_shape: tuple[int, ...]
) -> tuple[tuple[Part, ...], int, NexusHeader]:
    entry = _entry(file)
    parts = frame_parts(file, _data_group(file))
    heading = read_nexus_header(entry, _detector(entry), (raw_shape[-1], raw_shape[-2]))
    announced = heading.common.other.get("nimages", 0) * heading.common.other.get("ntrigger", 1)
    return parts, max(int(announced), sum(part.promised for part in parts)), heading


def _raw_shape(
    path: Path, file: h5py.File, detector: Detector | None, *, growing: bool
) -> tuple[int, ...]:
    """Shape of one image: of the data, or as announced while there are none."""
    group = _data_group(file)
    dataset = first_dataset(group)
    if dataset is not None:
        shape: tuple[int, ...] = dataset.shape
        return shape if len(shape) == 2 else shape[1:]
    missing = next((part.missing for part in frame_parts(file, group)), "")
    if not missing:
        raise FormatError(
            f"{path.name} holds no images",
            found=f"{path}: groups {', '.join(sorted(file)) or 'none'}",
            fix="give an NXmx file or an Eiger master with /entry/data",
        )
    if not growing:
        raise FormatError(
            f"the images of {path.name} are in files that cannot be read",
            found=missing,
            fix="copy the data files beside the master file, or wait for them with --follow",
        )
    group = _detector(_entry(file))
    rows = number(group, "detectorSpecific/y_pixels_in_detector")
    columns = number(group, "detectorSpecific/x_pixels_in_detector")
    if rows and columns:
        return int(rows), int(columns)
    if detector is not None and len(detector.panels) == 1:
        return detector.panels[0].shape
    raise FormatError(
        f"{path.name} does not say how large its images are, and none is there yet",
        found=missing,
        fix="wait until the first data file is there",
    )


def _entry(file: h5py.File) -> h5py.Group:
    groups = [item for item in file.values() if isinstance(item, h5py.Group)]
    entries = [group for group in groups if _nx_class(group) == "NXentry"]
    if entries:
        return entries[0]
    return next((group for group in groups if group.name == "/entry"), file)


def _data_group(file: h5py.File) -> h5py.Group:
    entry = _entry(file)
    groups = [find(entry, name) for name in entry]
    marked = [item for item in groups if isinstance(item, h5py.Group)]
    plots = [group for group in marked if _nx_class(group) == "NXdata"]
    for place in (find(entry, "data"), *plots):
        if isinstance(place, h5py.Group) and _has_data(place):
            return place
    own = [group for group in _detectors(entry) if _has_data(group)]
    if len(own) > 1:
        raise FormatError(
            f"the images of {Path(file.filename).name} come from several detectors",
            found=", ".join(group.name for group in own),
            fix="write them as one dataset (frame, panel, slow, fast) in /entry/data",
        )
    return own[0] if own else entry


def _has_data(group: h5py.Group) -> bool:
    return any(name == "data" or name.startswith("data_0") for name in group)


def _detector(entry: h5py.Group) -> h5py.Group | None:
    found = _detectors(entry)
    return found[0] if found else None


def _detectors(entry: h5py.Group) -> list[h5py.Group]:
    instrument = find(entry, "instrument")
    if not isinstance(instrument, h5py.Group):
        return []
    groups = {name: find(instrument, name) for name in instrument}
    return [
        group
        for name, group in groups.items()
        if isinstance(group, h5py.Group)
        and (_nx_class(group) == "NXdetector" or name == "detector")
    ]


def _nx_class(group: h5py.Group) -> str:
    value = group.attrs.get("NX_class", "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _mask(
    path: Path, detector: h5py.Group | None, raw_shape: tuple[int, ...]
) -> np.ndarray | None:
    """Pixels that the file says not to use; ``None`` if there are none."""
    for name in ("pixel_mask", "detectorSpecific/pixel_mask"):
        dataset = find(detector, name)
        if isinstance(dataset, h5py.Dataset):
            break
        link = None if detector is None else detector.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise InputError(
                f"the pixel mask of {path.name} is in a file that is not there",
                found=f"{path.parent / link.filename} is missing",
                fix="copy it beside the master file",
            )
    else:
        return None
    if dataset.size != np.prod(raw_shape):
        raise InputError(
            f"the pixel mask of {path.name} does not fit its images",
            found=f"mask of shape {dataset.shape}, images of {raw_shape}",
            fix=REMEDY,
        )
    bad: np.ndarray = (dataset[()] != 0).astype(np.uint8).reshape(raw_shape)
    return bad if bad.any() else None
