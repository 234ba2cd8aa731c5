"""The work of one process: structure factors of a chunk of frames, summed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from unstill.crystal import Crystal
from unstill.diffuse.frame_source import FrameSource
from unstill.diffuse.frames import FramePlacement, cell_of, true_box
from unstill.diffuse.groups import AtomGroups


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive frames of one block, as they travel to a worker.

    ``coord`` and ``box`` are ``None`` where the worker reads or makes the
    frames itself.
    """

    number: int
    block: int
    start: int
    stop: int
    weights: np.ndarray
    coord: np.ndarray | None = None
    box: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ChunkSums:
    """S1, S2 ``(n_selections, n_points)`` and the weights of one chunk."""

    chunk: Chunk
    s1: np.ndarray
    s2: np.ndarray
    weight: float
    weight_squared: float
    n_frames: int
    """Frames with a weight above zero."""
    n_read: int
    """All frames of the chunk that were read."""
    cell_sum: np.ndarray
    """Sum over frames of a, b, c, α, β, γ of their boxes (zeros without boxes)."""


class Engine(Protocol):
    """What turns fractional coordinates into structure factors."""

    def structure_factors(self, frac: np.ndarray) -> np.ndarray:
        """F ``(n_points,)`` in electrons of coordinates ``(n_atoms, 3)``."""


@dataclass(frozen=True, eq=False)
class FrameSummer:
    """Recipe of the task that sums a chunk; picklable, opened once a process.

    Parameters
    ----------
    supercell
        P 1.
    index
        ``(n_points, 3)`` Miller indices of the supercell.
    groups
        Which atoms make which selection.
    element, occupancy
        ``(n_atoms,)``; B is zero, because the motion is in the frames.
    placement
        How a frame becomes fractional coordinates.
    engine_options
        Passed to ``make_engine``.
    source
        Where the frames come from, if workers make them.
    """

    supercell: Crystal
    index: np.ndarray
    groups: AtomGroups
    element: np.ndarray
    occupancy: np.ndarray
    placement: FramePlacement
    engine_options: dict[str, Any]
    source: FrameSource | None = None

    def __call__(self) -> Callable[[Chunk], ChunkSums]:
        """Build the engines; returns the task."""
        # Late: the engines bring numba and finufft, which the parent may never need.
        from unstill.scattering.engine import make_engine
        from unstill.scattering.scatterers import Scatterers

        engines: list[Engine] = [
            make_engine(
                self.supercell,
                self.index,
                Scatterers(element=self.element[atoms], occupancy=self.occupancy[atoms]),
                **self.engine_options,
            )
            for atoms in self.groups.atoms
        ]
        return lambda chunk: self._sum(engines, chunk)

    def _sum(self, engines: list[Engine], chunk: Chunk) -> ChunkSums:
        coords, boxes = self._frames(chunk)
        shape = (len(self.groups.names), len(self.index))
        s1, s2 = np.zeros(shape, dtype=np.complex128), np.zeros(shape)
        cell_sum = np.zeros(6)
        # Frame after frame, in float64: the order of the additions is part of the result.
        for number, coord in enumerate(coords):
            box = true_box(None if boxes is None else boxes[number])
            frac = self.placement.place(coord, box, chunk.start + number)
            f_groups = [
                engine.structure_factors(frac[atoms]).astype(np.complex128)
                for engine, atoms in zip(engines, self.groups.atoms, strict=True)
            ]
            self._add(f_groups, float(chunk.weights[number]), s1, s2)
            if box is not None:
                cell_sum += cell_of(box)
        weights = chunk.weights[: len(coords)]
        return ChunkSums(
            chunk=Chunk(chunk.number, chunk.block, chunk.start, chunk.stop, weights),
            s1=s1,
            s2=s2,
            weight=float(weights.sum()),
            weight_squared=float((weights**2).sum()),
            n_frames=int(np.count_nonzero(weights)),
            n_read=len(coords),
            cell_sum=cell_sum,
        )

    def _add(
        self, f_groups: list[np.ndarray], weight: float, s1: np.ndarray, s2: np.ndarray
    ) -> None:
        for selection, member in enumerate(self.groups.member):
            parts = [f for f, part in zip(f_groups, member, strict=True) if part]
            f = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
            s1[selection] += weight * f
            s2[selection] += weight * (f.real**2 + f.imag**2)

    def _frames(self, chunk: Chunk) -> tuple[np.ndarray, np.ndarray | None]:
        if chunk.coord is not None or self.source is None:
            return np.asarray(chunk.coord), chunk.box
        found = next(self.source.chunks(chunk.stop - chunk.start, chunk.start, chunk.stop))
        return found.coord, found.box
