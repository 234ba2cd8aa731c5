"""Ensembles drawn from a disorder model: the sampled twin of an analytic map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.disorder.displacement_field import supercell_atoms, supercell_coord
from unstill.disorder.model import DisorderModel, Displacer, Theta
from unstill.disorder.transform import ModelAtoms
from unstill.errors import InputError
from unstill.shapes import Float, PerAtom


def sample(
    model: DisorderModel, theta: Theta, divisions: Triple, n_frames: int, *, seed: int = 0
) -> SampledFrames:
    """Draw frames of a supercell that move as the model says.

    Streaming the frames (:func:`unstill.diffuse.stream.stream_block_sums`)
    gives, within sampling noise, the analytic map of the model.

    Parameters
    ----------
    model, theta
        What to draw from, for example ``model.theta(sigma=0.4, gamma=8)``.
    divisions
        Unit cells of the supercell. It must be large beside the correlation
        length, because the field is periodic.
    n_frames
        How many frames there are; they are made when asked for.
    seed
        Frame number i depends on (seed, i) alone, however frames are read.

    Raises
    ------
    InputError
        If there are no frames, or the correlation does not fit the supercell.
    """
    if n_frames < 1:
        raise InputError("a sample needs frames", found=n_frames, fix="ask for at least one")
    displacer = model.displacer(theta, divisions)
    description = {"model": model.name, "parameters": model.report(theta)}
    return SampledFrames(model.atoms, divisions, n_frames, seed, displacer, description)


@dataclass(frozen=True, eq=False)
class SampledChunk:
    """Consecutive frames.

    Parameters
    ----------
    coord
        ``(m, n_atoms, 3)`` Å.
    box
        None: the cell does not change.
    first_frame
        Number of the first, counting from 0.
    """

    coord: Float[np.ndarray, "frames n_atoms 3"]
    box: None
    first_frame: int


@dataclass(frozen=True, eq=False)
class SampledFrames:
    """Frames of a supercell, drawn when they are asked for; see :func:`sample`.

    A source of frames for the streaming driver: picklable, and workers make
    their own frames.

    Parameters
    ----------
    average
        Average structure of the asymmetric unit.
    divisions
        Unit cells of the supercell.
    n_frames
        Number of frames.
    seed
        With the frame number it decides a frame.
    displacer
        Draws the displacements.
    description
        Model and parameters.
    """

    average: ModelAtoms
    divisions: Triple
    n_frames: int
    seed: int
    displacer: Displacer
    description: dict[str, Any]

    random_access = True

    @cached_property
    def coord(self) -> Float[np.ndarray, "n_atoms 3"]:
        """Average coordinates of the supercell (Å)."""
        return supercell_coord(self.average, self.divisions)

    @cached_property
    def atoms(self) -> biotite.structure.AtomArray:
        """Annotations of the atoms of the supercell, in the order of ``build_supercell``."""
        return supercell_atoms(self.average, self.divisions)

    @property
    def crystal(self) -> Crystal:
        """The unit cell and space group."""
        return self.average.crystal

    @property
    def occupancy(self) -> PerAtom:
        """``(n_atoms,)`` occupancies, of alternate locations below one."""
        occupancy: np.ndarray = np.tile(
            self.average.occupancy, len(self.coord) // self.average.n_atoms
        )
        return occupancy

    def frame(self, number: int) -> Float[np.ndarray, "n_atoms 3"]:
        """Coordinates of one frame (Å)."""
        rng = np.random.default_rng([self.seed, number])
        moved: np.ndarray = self.coord + self.displacer(rng)
        return moved

    def chunks(
        self, size: int, start: int = 0, stop: int | None = None, stride: int = 1
    ) -> Iterator[SampledChunk]:
        """Yield the frames from ``start`` up to ``stop``, ``size`` at a time."""
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        numbers = range(start, end, stride)
        for first in range(0, len(numbers), size):
            chosen = numbers[first : first + size]
            yield SampledChunk(np.array([self.frame(n) for n in chosen]), None, chosen[0])

    def fingerprint(self) -> dict[str, Any]:
        """Say what these frames are, for a run that is resumed."""
        return {**self.description, "seed": self.seed, "divisions": list(self.divisions)}
