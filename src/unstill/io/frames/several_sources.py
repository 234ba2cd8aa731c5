"""Frames from several sources as one, or some frames of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.experiment import FrameHeader, FrameSource
from unstill.io.frames.image_files import check_index


@dataclass(eq=False)
class SelectedFrames:
    """Frames picked from sources; a ``FrameSource``.

    Parameters
    ----------
    sources
        All with panels of the same shapes.
    places
        Number of the source and of the frame in it, a frame each; ``None`` takes
        all frames of all sources.
    shapes
        Rows and columns of every panel.
    """

    sources: tuple[FrameSource, ...]
    places: tuple[tuple[int, int], ...] | None
    shapes: tuple[tuple[int, int], ...]

    @property
    def n_frames(self) -> int:
        """Number of frames there are now."""
        return len(self._places())

    @property
    def image_numbers(self) -> tuple[int, ...]:
        """Numbers of the frames; empty unless every source knows its own."""
        known = [tuple(getattr(source, "image_numbers", ())) for source in self.sources]
        if not all(known):
            return ()
        return tuple(known[source][frame] for source, frame in self._places())

    def header(self, index: int) -> FrameHeader:
        """Return what the file says of one frame."""
        source, frame = self._place(index)
        return source.header(frame)

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the pixel values of one frame, a panel each."""
        source, frame = self._place(index)
        return source.read(frame)

    def refresh(self) -> int:
        """Look for frames that came since; only the last source may grow."""
        self.sources[-1].refresh()
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        """Paths of the files behind the frames."""
        return tuple(dict.fromkeys(path for source in self.sources for path in source.files()))

    def _place(self, index: int) -> tuple[FrameSource, int]:
        places = self._places()
        check_index(index, len(places))
        source, frame = places[index]
        return self.sources[source], frame

    def _places(self) -> Sequence[tuple[int, int]]:
        if self.places is not None:
            return self.places
        return [
            (number, frame)
            for number, source in enumerate(self.sources)
            for frame in range(source.n_frames)
        ]


def join_frames(sources: Sequence[FrameSource]) -> SelectedFrames:
    """Put sources one after the other.

    Raises
    ------
    InputError
        If their images differ in size.
    """
    _check_shapes(sources)
    return SelectedFrames(tuple(sources), None, sources[0].shapes)


def pick_frames(
    sources: Sequence[FrameSource], places: Sequence[tuple[int, int]]
) -> SelectedFrames:
    """Pick frames by the number of the source and of the frame in it.

    Raises
    ------
    InputError
        If their images differ in size, or a frame is not there.
    """
    _check_shapes(sources)
    for source, frame in places:
        check_index(frame, sources[source].n_frames)
    return SelectedFrames(tuple(sources), tuple(places), sources[0].shapes)


def _check_shapes(sources: Sequence[FrameSource]) -> None:
    for source in sources:
        if source.shapes != sources[0].shapes:
            raise InputError(
                "files with images of different sizes cannot be one sweep",
                found=f"{sources[0].shapes[0]} in {sources[0].files()[0]}, "
                f"{source.shapes[0]} in {source.files()[0]}",
                fix="give the images of one sweep of one detector",
            )
