"""What the trajectory formats share: frames at known places in a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from unstill.errors import FormatError


@dataclass(frozen=True)
class FrameIndex:
    """Where the whole frames of a file are.

    Parameters
    ----------
    n_atoms
        Atoms a frame.
    offsets
        Byte at which each whole frame begins.
    broken
        What is wrong after the last whole frame; ``None`` for a sound file.
    """

    n_atoms: int
    offsets: np.ndarray
    broken: str | None = None


class Decode(Protocol):
    """Reads the frame that begins where the stream stands."""

    def __call__(
        self, stream: IO[bytes], index: FrameIndex, /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """``(n_atoms, 3)`` coordinates (Å) and ``(3, 3)`` box vectors (Å) or ``None``."""


@dataclass(frozen=True)
class SeekableFile:
    """A trajectory file whose frames can be found by their byte offsets.

    Satisfies the ``FrameFile`` protocol of ``unstill.ensembles.trajectory``.
    """

    path: Path
    index: FrameIndex
    decode: Decode

    @property
    def n_atoms(self) -> int:
        """Atoms a frame."""
        return self.index.n_atoms

    @property
    def n_frames(self) -> int:
        """Whole frames."""
        return len(self.index.offsets)

    @contextmanager
    def open(self) -> Iterator[_Reader]:
        """Open for reading."""
        with self.path.open("rb") as stream:
            yield _Reader(self, stream)

    def fingerprint(self) -> dict[str, Any]:
        """Name, size and number of frames."""
        return file_fingerprint(self.path, self.n_frames)


class _Reader:
    def __init__(self, file: SeekableFile, stream: IO[bytes]) -> None:
        self._file, self._stream = file, stream

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        file = self._file
        self._stream.seek(int(file.index.offsets[number]))
        return file.decode(self._stream, file.index)


def file_fingerprint(path: Path, n_frames: int) -> dict[str, Any]:
    """Name, size and number of frames of a trajectory file."""
    return {"name": path.name, "bytes": path.stat().st_size, "frames": n_frames}


def unreadable_frame(path: Path, number: int, why: str) -> FormatError:
    """Return the error for a frame that is there but makes no sense."""
    return FormatError(
        f"frame {number} of {path.name} is damaged",
        found=why,
        fix="copy the file again, or cut it before this frame",
    )


def box_vectors(lengths: np.ndarray, angles: np.ndarray) -> np.ndarray | None:
    """``(3, 3)`` box vectors, a along x and b in the x–y plane; ``None`` for an empty box.

    ``lengths`` in Å (or whatever the result shall be in), ``angles`` in degrees.
    """
    if not np.all(np.isfinite(lengths)) or np.min(lengths) <= 0:
        return None
    a, b, c = (float(value) for value in lengths)
    cosines = np.cos(np.radians(np.asarray(angles, dtype=float)))
    # Right angles are exactly right: cos 90° is 6e-17 in floating point.
    cos_alpha, cos_beta, cos_gamma = np.where(np.abs(cosines) < 1e-12, 0.0, cosines)
    sin_gamma = np.sqrt(1 - cos_gamma**2)
    c_y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    c_z = np.sqrt(max(1 - cos_beta**2 - c_y**2, 0.0))
    return np.array(
        [
            [a, 0, 0],
            [b * cos_gamma, b * sin_gamma, 0],
            [c * cos_beta, c * c_y, c * c_z],
        ]
    )
