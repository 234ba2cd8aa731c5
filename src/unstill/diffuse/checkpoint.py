"""The state of an unfinished run: written now and then, refused if it is of another run."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unstill.diffuse.sum_frames import ChunkSums
from unstill.errors import FormatError, InputError
from unstill.io.atomic import atomic_path

_ARRAYS = ("s1", "s2", "weight", "weight_squared", "n_frames", "cell_sum")


@dataclass(eq=False)
class Progress:
    """Running block sums and how far they go; changes as chunks are added.

    Parameters
    ----------
    s1, s2
        ``(n_blocks, n_selections, n_points)``.
    weight, weight_squared, n_frames
        ``(n_blocks,)``.
    cell_sum
        ``(6,)`` sum of the cells of all boxes.
    frames_read, chunks_done
        Frames read, those of no weight included, and chunks added so far;
        always the first ones.
    whole
        False while a chunk is being added.
    """

    s1: np.ndarray
    s2: np.ndarray
    weight: np.ndarray
    weight_squared: np.ndarray
    n_frames: np.ndarray
    cell_sum: np.ndarray
    frames_read: int = 0
    chunks_done: int = 0
    whole: bool = True

    @classmethod
    def empty(cls, n_blocks: int, n_selections: int, n_points: int) -> Progress:
        """Nothing added yet."""
        shape = (n_blocks, n_selections, n_points)
        return cls(
            s1=np.zeros(shape, dtype=np.complex128),
            s2=np.zeros(shape),
            weight=np.zeros(n_blocks),
            weight_squared=np.zeros(n_blocks),
            n_frames=np.zeros(n_blocks, dtype=np.int64),
            cell_sum=np.zeros(6),
        )

    def add(self, found: ChunkSums, at: int | None = None) -> None:
        """Add the sums of the next chunk, to its block or where that block is held."""
        block = found.chunk.block if at is None else at
        self.whole = False
        self.s1[block] += found.s1
        self.s2[block] += found.s2
        self.weight[block] += found.weight
        self.weight_squared[block] += found.weight_squared
        self.n_frames[block] += found.n_frames
        self.cell_sum += found.cell_sum
        self.frames_read += found.n_read
        self.chunks_done = found.chunk.number + 1
        self.whole = True


@dataclass(eq=False)
class Checkpoint:
    """A file that holds the progress of one run.

    Parameters
    ----------
    path
        The file; its folder must exist.
    fingerprint
        Everything that changes the sums: inputs and parameters. JSON-ready.
    interval
        Seconds between writes, at least; a write that takes long is done
        more rarely, so that saving costs a few per cent at most.
    """

    path: Path
    fingerprint: Mapping[str, Any]
    interval: float = 5.0
    _next: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        self._next = time.monotonic() + self.interval

    def load(self) -> Progress | None:
        """Progress of the same run, or ``None`` if there is no file.

        Raises
        ------
        InputError
            If the file belongs to a run with other inputs or parameters; says which.
        FormatError
            If the file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                found = json.loads(str(stored["fingerprint"]))
                arrays = {name: stored[name] for name in _ARRAYS}
                frames_read, chunks_done = (int(n) for n in stored["counts"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise FormatError(
                "the checkpoint cannot be read",
                found=f"{self.path}: {error}",
                fix="delete it and start again without --resume",
            ) from error
        self._refuse_another(found)
        return Progress(**arrays, frames_read=frames_read, chunks_done=chunks_done)

    def save(self, progress: Progress) -> None:
        """Write the progress now."""
        began = time.monotonic()
        text = json.dumps(dict(self.fingerprint), sort_keys=True)
        with atomic_path(self.path) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                fingerprint=np.array(text),
                counts=np.array([progress.frames_read, progress.chunks_done]),
                **{name: getattr(progress, name) for name in _ARRAYS},
            )
        ended = time.monotonic()
        self._next = ended + max(self.interval, 20 * (ended - began))

    def save_if_due(self, progress: Progress) -> None:
        """Write the progress if the last write was long enough ago."""
        if time.monotonic() >= self._next:
            self.save(progress)

    def remove(self) -> None:
        """Delete the file, and what killed runs have left of it."""
        self.path.unlink(missing_ok=True)
        for rest in self.path.parent.glob(f".{self.path.stem}.*.part{self.path.suffix}"):
            rest.unlink(missing_ok=True)

    def _refuse_another(self, found: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(dict(self.fingerprint)))
        differing = [
            f"{name}: {found.get(name)!r} there, {wanted.get(name)!r} now"
            for name in sorted(found.keys() | wanted.keys())
            if found.get(name) != wanted.get(name)
        ]
        if differing:
            raise InputError(
                "the checkpoint belongs to another run",
                found="; ".join(differing),
                fix="repeat the run with the same inputs and options, or start again "
                "without --resume",
            )
