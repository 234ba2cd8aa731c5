"""Frames that are read in chunks and never all at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.selection import atom_mask
from unstill.errors import InputError
from unstill.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class FrameChunk:
    """Some frames of a trajectory.

    Parameters
    ----------
    coord
        ``(m, n_atoms, 3)`` Cartesian coordinates (Å).
    box
        ``(m, 3, 3)`` box vectors a, b, c (Å), one a row; ``None`` where the file has none.
    frames
        ``(m,)`` number of each frame in the trajectory it was asked of, counting from 0.
    """

    coord: Float[np.ndarray, "m n_atoms 3"]
    box: Float[np.ndarray, "m 3 3"] | None
    frames: Int[np.ndarray, " m"]

    @property
    def first_frame(self) -> int:
        """Number of the first frame of the chunk."""
        return int(self.frames[0])


@runtime_checkable
class FrameReader(Protocol):
    """An open trajectory file; reads one frame at a time."""

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """``(n_atoms, 3)`` coordinates (Å) and ``(3, 3)`` box vectors (Å) of one frame."""


@runtime_checkable
class FrameFile(Protocol):
    """What a trajectory needs of a file; small and picklable, holds no frames."""

    n_atoms: int
    n_frames: int

    def open(self) -> AbstractContextManager[FrameReader]:
        """Open the file for reading."""

    def fingerprint(self) -> dict[str, Any]:
        """Say which file this is, for runs that are resumed."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of one set of atoms, on disk, read in chunks.

    Parameters
    ----------
    atoms
        biotite annotations of the atoms that are read.
    files
        The files, one after the other.
    stored
        ``(n_atoms,)`` where the atoms stand in a frame of the files; all by default.
    stride
        Only every ``stride``-th frame counts, across the borders of files.
    crystal
        Crystal of the topology, if it has one; the box of each frame comes with the frame.

    Raises
    ------
    InputError
        If the atoms do not fit the files.
    """

    atoms: biotite.structure.AtomArray
    files: Sequence[FrameFile]
    stored: Int[np.ndarray, " n_atoms"] | None = None
    stride: int = 1
    crystal: Crystal | None = None

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise InputError("stride must be positive", found=self.stride, fix="give 1 or more")
        counts = {file.n_atoms for file in self.files}
        n_atoms = self.atoms.array_length()
        if self.stored is None and counts - {n_atoms}:
            raise InputError(
                "the topology does not belong to the trajectory",
                found=f"{n_atoms} atoms in the topology, {min(counts - {n_atoms})} in a frame",
                fix="give the topology that the trajectory was written with",
            )

    @classmethod
    def from_ensemble(cls, ensemble: Ensemble) -> Trajectory:
        """Return the members of an ensemble as frames."""
        return cls(ensemble.atoms, [_Members(ensemble.coord)], crystal=ensemble.crystal)

    @property
    def n_atoms(self) -> int:
        """Number of atoms that are read."""
        return int(self.atoms.array_length())

    @property
    def n_frames(self) -> int:
        """Number of frames, after the stride."""
        return -(-sum(file.n_frames for file in self.files) // self.stride)

    def select(self, selection: str | np.ndarray) -> Trajectory:
        """Return the trajectory of the chosen atoms only.

        Parameters
        ----------
        selection
            An expression (:func:`unstill.ensembles.selection.atom_mask`), a
            bool mask or indices.
        """
        chosen = self._indices(selection)
        stored = chosen if self.stored is None else self.stored[chosen]
        return Trajectory(self.atoms[chosen], self.files, stored, self.stride, self.crystal)

    def chunks(
        self,
        size: int = 16,
        start: int = 0,
        stop: int | None = None,
        stride: int = 1,
        selection: str | np.ndarray | None = None,
    ) -> Iterator[FrameChunk]:
        """Yield frames start, start + stride, … below stop, ``size`` at a time.

        At most ``size`` frames are held. Which frames come does not depend on
        the size of chunks or on the borders of files.

        Parameters
        ----------
        size
            Frames a chunk; the last may be shorter.
        start, stop, stride
            As in ``range``; ``stop`` beyond the end is the end.
        selection
            Atoms to read: an expression, a bool mask or indices.

        Raises
        ------
        InputError
            If ``size`` or ``stride`` is not positive, or ``start`` is negative.
        """
        if size < 1 or stride < 1 or start < 0:
            raise InputError(
                "chunks need a positive size and stride, and a start from 0",
                found=f"size {size}, stride {stride}, start {start}",
                fix="count frames from 0",
            )
        source = self if selection is None else self.select(selection)
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        wanted = np.arange(start, max(end, start), stride)
        return source._read(wanted, size)

    def frame(self, number: int) -> FrameChunk:
        """Return one frame.

        Raises
        ------
        InputError
            If there is no such frame.
        """
        if not 0 <= number < self.n_frames:
            raise InputError(
                "no such frame",
                found=f"frame {number} of {self.n_frames}",
                fix="count frames from 0",
            )
        return next(self.chunks(1, number, number + 1))

    def fingerprint(self) -> dict[str, Any]:
        """Say which frames of which atoms of which files this is."""
        stored = np.arange(self.n_atoms) if self.stored is None else self.stored
        return {
            "files": [file.fingerprint() for file in self.files],
            "stride": self.stride,
            "atoms": hashlib.sha256(stored.astype(np.int64).tobytes()).hexdigest(),
        }

    def _indices(self, selection: str | np.ndarray) -> np.ndarray:
        if isinstance(selection, str):
            return np.flatnonzero(atom_mask(self.atoms, selection))
        chosen = np.asarray(selection)
        if chosen.dtype == bool:
            if chosen.shape != (self.n_atoms,):
                raise InputError(
                    "the selection does not fit the atoms",
                    found=f"shape {chosen.shape} for {self.n_atoms} atoms",
                    fix="give one true or false an atom",
                )
            return np.flatnonzero(chosen)
        if chosen.size == 0 or chosen.min() < 0 or chosen.max() >= self.n_atoms:
            raise InputError(
                "the selection names atoms that do not exist",
                found=f"{chosen.size} indices for {self.n_atoms} atoms",
                fix="give indices from 0",
            )
        return chosen.astype(int)

    def _read(self, wanted: np.ndarray, size: int) -> Iterator[FrameChunk]:
        first = np.cumsum([0, *(file.n_frames for file in self.files)])
        raw = wanted * self.stride
        owner = np.searchsorted(first, raw, side="right") - 1
        coord: list[np.ndarray] = []
        box: list[np.ndarray | None] = []
        done = 0
        for number in np.unique(owner):
            with self.files[number].open() as reader:
                for frame in raw[owner == number] - first[number]:
                    found, vectors = reader.frame(int(frame))
                    coord.append(found if self.stored is None else found[self.stored])
                    box.append(vectors)
                    if len(coord) == size:
                        yield _chunk(coord, box, wanted[done : done + size])
                        done += size
                        coord, box = [], []
        if coord:
            yield _chunk(coord, box, wanted[done:])


def _chunk(
    coord: list[np.ndarray], box: list[np.ndarray | None], frames: np.ndarray
) -> FrameChunk:
    missing = np.zeros((3, 3), dtype=np.float32)
    # Zeros, not silence: a box that comes and goes must be noticed where boxes are checked.
    vectors = [missing if vectors is None else vectors for vectors in box]
    has_box = any(one is not None for one in box)
    return FrameChunk(np.stack(coord), np.stack(vectors) if has_box else None, frames)


class _Members:
    """Members of an ensemble in the guise of a file."""

    def __init__(self, coord: np.ndarray) -> None:
        self._coord = coord
        self.n_frames, self.n_atoms = (int(n) for n in coord.shape[:2])

    def open(self) -> _Members:
        return self

    def __enter__(self) -> _Members:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Coordinates of one member."""
        return self._coord[number], None

    def fingerprint(self) -> dict[str, Any]:
        """Digest of the coordinates."""
        content = np.ascontiguousarray(self._coord).tobytes()
        return {"coordinates": hashlib.sha256(content).hexdigest()}
