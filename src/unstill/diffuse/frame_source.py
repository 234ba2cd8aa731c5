"""What the streaming driver asks of a source of frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.provenance.record import plain


class Frames(Protocol):
    """Consecutive frames: ``coord (m, n_atoms, 3)`` Å, ``box (m, 3, 3)`` Å (rows a, b, c)."""

    @property
    def coord(self) -> np.ndarray:
        """``(m, n_atoms, 3)`` Cartesian coordinates in Å."""

    @property
    def box(self) -> np.ndarray | None:
        """``(m, 3, 3)`` box vectors in Å, one a row, or ``None`` where there is no box."""

    @property
    def first_frame(self) -> int:
        """Number of the first of these frames, counting from 0."""


class FrameSource(Protocol):
    """Frames of one set of atoms; ``Trajectory`` is one, a generator of samples another.

    A source is read from any frame on, more than once, and gives the same
    frames each time; for work in other processes its frames are sent there. A
    source whose frames are dear to make and cheap to describe (a sampled
    model) sets ``random_access = True``: it is then pickled, sent once, and
    every worker makes its own frames. A source may also have ``occupancy
    (n_atoms,)``, and ``fingerprint()`` that tells it from others when a run is
    resumed.
    """

    @property
    def atoms(self) -> biotite.structure.AtomArray:
        """Annotations of the atoms of the supercell."""

    @property
    def crystal(self) -> Crystal | None:
        """The crystal that the source declares, if any."""

    @property
    def n_frames(self) -> int:
        """How many frames there are, or are announced."""

    def chunks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Frames]:
        """Yield the frames from ``start`` up to ``stop``, ``size`` at a time."""


def random_access(source: FrameSource) -> bool:
    """Whether workers shall make the frames themselves."""
    return bool(getattr(source, "random_access", False))


def described(source: FrameSource) -> dict[str, Any]:
    """Return what a source says of itself in ``fingerprint``, for a run that is resumed."""
    fingerprint = getattr(source, "fingerprint", None)
    if fingerprint is None:
        return {}
    said: dict[str, Any] = plain(fingerprint())
    return said
