"""A source of frames with one file a frame."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.experiment import INVALID, Detector, FrameHeader
from unstill.io.frames.image_template import NumberedFiles, find_pattern, find_template
from unstill.io.frames.panel_layout import PanelLayout, panel_layout


@dataclass(frozen=True)
class ImageFormat:
    """How one kind of image file is read. Functions of a module, so that it can be pickled.

    Parameters
    ----------
    name
        For people.
    read
        Path to ``(slow, fast)`` int32 counts.
    header
        Path to header.
    """

    name: str
    read: Callable[[Path], np.ndarray]
    header: Callable[[Path], FrameHeader]


@dataclass(eq=False)
class ImageFiles:
    """Frames in files of their own; a ``FrameSource``.

    A file that is missing within a run of numbers is a frame without a
    measurement: all its pixels are ``INVALID``, its header says nothing.

    Parameters
    ----------
    numbered
        The files.
    format
        How they are read.
    layout
        How images are cut into panels.
    template, pattern
        Where more files may appear; empty for a fixed list.
    image_range
        Numbers of the first and last image to use, both included.
    """

    numbered: NumberedFiles
    format: ImageFormat
    layout: PanelLayout
    template: str = ""
    pattern: str = ""
    image_range: tuple[int, int] | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames there are now."""
        return len(self.numbered.paths)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every panel."""
        return self.layout.shapes

    @property
    def image_numbers(self) -> tuple[int, ...]:
        """Numbers of the frames, as in the file names; empty where they hold none."""
        first = self.numbered.first_number
        return () if first is None else tuple(range(first, first + self.n_frames))

    def header(self, index: int) -> FrameHeader:
        """Return what the file says of one frame."""
        path = self._path(index)
        return FrameHeader() if path is None else self.format.header(path)

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the pixel values of one frame, a panel each."""
        path = self._path(index)
        if path is None:
            return tuple(np.full(shape, INVALID, dtype=np.int32) for shape in self.shapes)
        return self.layout.cut(path, self.format.read(path))

    def refresh(self) -> int:
        """Look for files that came since; return the number of frames."""
        if self.template:
            # A file may come before its predecessor: beyond a gap nothing counts yet.
            found = find_template(self.template).part(self.image_range)
            self.numbered = _longer(self.numbered, found)
        elif self.pattern:
            self.numbered = _longer(self.numbered, find_pattern(self.pattern))
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        """Paths of the files."""
        return tuple(str(path) for path in self.numbered.present)

    def _path(self, index: int) -> Path | None:
        check_index(index, self.n_frames)
        return self.numbered.paths[index]


def open_image_files(
    numbered: NumberedFiles,
    image_format: ImageFormat,
    detector: Detector | None,
    *,
    template: str = "",
    pattern: str = "",
    image_range: tuple[int, int] | None = None,
    growing: bool = False,
) -> ImageFiles:
    """Open files of one format; the header of the first one tells their size.

    While images are still being written, those beyond the first gap do not count yet.

    Raises
    ------
    InputError
        If no file is in the range of images, or they do not fit the detector.
    FormatError
        If the first file cannot be read.
    """
    numbered = numbered.part(image_range)
    if growing:
        numbered = _longer(NumberedFiles((), numbered.first_number), numbered)
    if not numbered.present:
        raise InputError(
            "no image of the scan is there",
            found=f"{template}, images {image_range}",
            fix="give the images with --images GLOB, or leave this sweep out",
        )
    if numbered.gaps:
        warnings.warn(
            f"images are missing in {numbered.present[0].parent}: "
            f"number {_ranges(numbered.gaps)}; they count as frames "
            "without a measurement. Put them there if they exist",
            UnstillWarning,
            stacklevel=3,
        )
    first = numbered.present[0]
    size = image_format.header(first).image_size
    shape = image_format.read(first).shape if size is None else (size[1], size[0])
    layout = panel_layout(shape, detector)
    return ImageFiles(numbered, image_format, layout, template, pattern, image_range)


def check_index(index: int, n_frames: int) -> None:
    """Refuse a frame that is not there.

    Raises
    ------
    InputError
        If the index is negative or too large.
    """
    if not 0 <= index < n_frames:
        raise InputError(
            "there is no such frame",
            found=f"frame {index} (counted from 0), and {n_frames} frames are there",
            fix="give a frame that exists, or wait for it with --follow",
        )


def _longer(known: NumberedFiles, found: NumberedFiles) -> NumberedFiles:
    """Add files that came since, up to the next gap; what was known keeps its place."""
    n = len(known.paths)
    again = zip(known.paths, found.paths[:n], strict=False)
    if len(found.paths) < n or any(old not in (None, new) for old, new in again):
        return known
    came = takewhile(lambda path: path is not None, found.paths[n:])
    return NumberedFiles((*known.paths, *came), found.first_number)


def _ranges(numbers: tuple[int, ...]) -> str:
    """``(3, 4, 5, 9)`` as ``3-5, 9``; a long list is cut."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in runs]
    return ", ".join(words[:10]) + (" …" if len(words) > 10 else "")
