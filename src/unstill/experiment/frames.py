"""What every source of frames offers, whatever the files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

INVALID = -1
"""Value of a pixel that holds no measurement: a gap, a dead or a masked pixel."""

OVERLOADED = -2
"""Value of a pixel that counted more than it can."""


@dataclass(frozen=True)
class FrameHeader:
    """What the header of one image says; ``None`` where it says nothing.

    Parameters
    ----------
    phi_start, phi_width
        Rotation angle at which the exposure begins, and how far it turns (degrees).
    exposure_time
        Seconds.
    wavelength
        Å.
    distance
        From the sample to the detector (mm).
    beam_center
        Of the direct beam, fast and slow (pixels from the corner).
    pixel_size
        Fast and slow (mm).
    image_size
        Fast and slow (pixels).
    transmission
        Share of the beam that filters let through.
    count_cutoff
        Largest pixel value that can be trusted.
    gain, pedestal
        Pixel value of one photon more, and of no photon.
    thickness
        Of the sensor (mm).
    material
        Of the sensor.
    detector
        Model and serial number, as written.
    timestamp
        When the image was taken, as written.
    other
        Whatever else the header says, unread.
    """

    phi_start: float | None = None
    phi_width: float | None = None
    exposure_time: float | None = None
    wavelength: float | None = None
    distance: float | None = None
    beam_center: tuple[float, float] | None = None
    pixel_size: tuple[float, float] | None = None
    image_size: tuple[int, int] | None = None
    transmission: float | None = None
    count_cutoff: float | None = None
    gain: float | None = None
    pedestal: float | None = None
    thickness: float | None = None
    material: str | None = None
    detector: str | None = None
    timestamp: str | None = None
    other: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class FrameSource(Protocol):
    """Frames of one sweep, read one at a time, in any order, from any thread.

    A source can be pickled: it holds paths and opens files when they are needed.
    """

    @property
    def n_frames(self) -> int:
        """Number of frames there are now; may grow (see :meth:`refresh`)."""

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every panel, slow and fast."""

    def header(self, index: int) -> FrameHeader:
        """Return what the file says of one frame, counted from 0."""

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the pixel values of one frame: an int32 array ``(slow, fast)`` a panel.

        Pixels without a measurement are ``INVALID``, those that counted too
        much for the file ``OVERLOADED``.
        """

    def refresh(self) -> int:
        """Look for frames that came since; return the number there is now."""

    def files(self) -> tuple[str, ...]:
        """Paths of the files behind the frames, for digests and messages."""


@dataclass(frozen=True)
class FrameSubset:
    """Some frames of a source, in any order; a source itself.

    Parameters
    ----------
    source
        All frames.
    indices
        Those that are wanted, counted from 0.
    """

    source: FrameSource
    indices: tuple[int, ...]

    @property
    def n_frames(self) -> int:
        """Number of frames of the subset that are there now."""
        there = self.source.n_frames
        return sum(index < there for index in self.indices)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every panel, slow and fast."""
        return self.source.shapes

    def header(self, index: int) -> FrameHeader:
        """Return what the file says of one frame of the subset."""
        return self.source.header(self.indices[index])

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the pixel values of one frame of the subset."""
        return self.source.read(self.indices[index])

    def refresh(self) -> int:
        """Look for frames that came since; return how many of the subset are there."""
        self.source.refresh()
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        """Paths of the files behind the frames."""
        files = self.source.files()
        if len(files) != self.source.n_frames:
            return files
        return tuple(files[index] for index in self.indices if index < len(files))
