"""What the streaming driver asks of a source of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import InputError


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
    every worker makes its own frames.
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


@dataclass(frozen=True)
class _Members:
    coord: np.ndarray
    box: np.ndarray | None
    first_frame: int


class EnsembleFrames:
    """The members of an ensemble as frames.

    Parameters
    ----------
    ensemble
        Its atoms fill the supercell.

    Raises
    ------
    InputError
        If occupancies differ from member to member: a frame is a
        configuration of one and the same set of scatterers.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        if ensemble.occupancy.ndim > 1 and np.ptp(ensemble.occupancy, axis=0).any():
            raise InputError(
                "the occupancies differ from member to member",
                found=f"{int(np.ptp(ensemble.occupancy, axis=0).astype(bool).sum())} atoms",
                fix="give every member the same occupancies, or use weights of members",
            )
        self._ensemble = ensemble

    @property
    def atoms(self) -> biotite.structure.AtomArray:
        """Annotations of the atoms."""
        return self._ensemble.atoms

    @property
    def crystal(self) -> Crystal | None:
        """Crystal of the ensemble."""
        return self._ensemble.crystal

    @property
    def n_frames(self) -> int:
        """Number of members."""
        return self._ensemble.n_members

    @property
    def occupancy(self) -> np.ndarray:
        """``(n_atoms,)`` occupancies, the same in all members."""
        occupancy = self._ensemble.occupancy
        first: np.ndarray = occupancy[0] if occupancy.ndim > 1 else occupancy
        return first

    @property
    def weights(self) -> np.ndarray:
        """``(n_members,)`` weights."""
        return self._ensemble.weights

    def chunks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Frames]:
        """Yield members, ``size`` at a time."""
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        for first in range(start, end, size):
            yield _Members(self._ensemble.coord[first : min(first + size, end)], None, first)


def random_access(source: FrameSource) -> bool:
    """Whether workers shall make the frames themselves."""
    return bool(getattr(source, "random_access", False))


def described(source: FrameSource) -> dict[str, Any]:
    """Return what a source says of itself in ``fingerprint``, for a run that is resumed."""
    fingerprint = getattr(source, "fingerprint", None)
    if fingerprint is None:
        return {}
    return dict(fingerprint() if callable(fingerprint) else fingerprint)
