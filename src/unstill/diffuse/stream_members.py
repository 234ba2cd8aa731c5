"""The frames of a trajectory as members, one or a block at a time, never all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.diffuse.checkpoint import Progress
from unstill.diffuse.frame_source import FrameSource
from unstill.diffuse.frames import MAX_BOX_DRIFT
from unstill.diffuse.run import DiffuseRun, prepare_run
from unstill.diffuse.stream import ProgressCallback
from unstill.ensembles import Ensemble
from unstill.maps.members import Member
from unstill.parallel import ordered_map

_HELD = 2
"""The block that grows and the one that was handed out."""


def stream_members(
    frames: FrameSource | Ensemble,
    divisions: Triple,
    d_min: float,
    *,
    crystal: Crystal | None = None,
    n_members: int | None = None,
    selection: np.ndarray | None = None,
    selection_name: str | None = None,
    weights: np.ndarray | None = None,
    occupancy: np.ndarray | None = None,
    remove_drift: bool | None = None,
    reference: np.ndarray | None = None,
    max_box_drift: float | None = MAX_BOX_DRIFT,
    chunk_size: int = 8,
    workers: int = 1,
    dask: str | None = None,
    engine_options: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> FrameMembers:
    """Prepare to turn frames into members, as often as these are asked for.

    Nothing is computed before :meth:`FrameMembers.members`; each pass reads
    the frames once. The members are those of
    ``BlockMembers(stream_block_sums(..., n_blocks=n_members))`` with the same
    arguments, to the last bit and for any number of workers, but memory
    depends neither on the frames nor on the members.

    Parameters
    ----------
    frames, divisions, d_min, crystal
        As for :func:`stream_block_sums`.
    n_members
        Blocks of consecutive frames; by default each frame is a member.
    selection
        ``(n_atoms,)`` bool; all atoms by default.
    selection_name
        What it is called in the provenance.
    weights, occupancy, remove_drift, reference, max_box_drift
        As for :func:`stream_block_sums`. A member of no weight is left out.
    chunk_size
        Frames a chunk. Part of the members' last bits, unlike ``workers``.
    workers, dask
        Processes, or the address of a Dask scheduler instead.
    engine_options
        Passed to ``make_engine``.
    progress
        Called with (frames done, frames in all) in each pass.

    Returns
    -------
    FrameMembers
        F in electrons per supercell.

    Raises
    ------
    InputError
        If the frames, the crystal and the options do not make a run.
    """
    if selection is None:
        selection = np.ones(frames.atoms.array_length(), dtype=bool)
        name = selection_name or "all"
    else:
        name = selection_name or "selection"
    run = prepare_run(
        frames,
        divisions,
        d_min,
        crystal=crystal,
        n_blocks=n_members,
        selections={name: selection},
        weights=weights,
        occupancy=occupancy,
        align=(remove_drift, reference),
        max_box_drift=max_box_drift,
        chunk_size=chunk_size,
        engine_options=dict(engine_options or {}),
        blocks_held=_HELD,
    )
    return FrameMembers(run, workers, dask, progress)


@dataclass(frozen=True, eq=False)
class FrameMembers:
    """Members that are computed from frames, block by block; see :func:`stream_members`.

    Parameters
    ----------
    run
        What to compute; its blocks are the members.
    workers, dask, progress
        How to run.
    """

    run: DiffuseRun
    workers: int = 1
    dask: str | None = None
    progress: ProgressCallback | None = None

    @property
    def crystal(self) -> Crystal:
        """The unit cell and space group."""
        return self.run.crystal

    @property
    def divisions(self) -> Triple:
        """Unit cells along a, b, c of the supercell."""
        return self.run.divisions

    @property
    def index(self) -> np.ndarray:
        """``(n_points, 3)`` Miller indices of the supercell."""
        return self.run.summer.index

    @cached_property
    def n_members(self) -> int:
        """Blocks of some weight; fewer come if the trajectory breaks off."""
        edges = self.run.edges()
        return sum(bool(self.run.weights[start:stop].any()) for start, stop in pairwise(edges))

    def members(self) -> Iterator[Member]:
        """Read the frames and yield the members in order.

        Raises
        ------
        InputError
            If a frame is unusable (its number is given), or fewer than two can be read.

        Warns
        -----
        UnstillWarning
            If the trajectory breaks off; what was read is yielded, the last
            block perhaps in part.
        """
        total, n_read = len(self.run.weights), 0
        ends = self.run.edges()[1:]
        if self.progress is not None:
            self.progress(0, total)
        held = self.run.nothing_done(1)
        chunks = ordered_map(
            self.run.summer, self.run.chunks(), workers=self.workers, dask=self.dask
        )
        with closing(chunks) as results:
            for found in results:
                held.add(found, at=0)
                n_read += found.n_read
                if self.progress is not None:
                    self.progress(n_read, total)
                if found.chunk.stop == ends[found.chunk.block]:
                    yield from _member(held)
                    held = self.run.nothing_done(1)
        # Of a trajectory that breaks off within a block.
        yield from _member(held)
        self.run.check_end(n_read, stacklevel=3)

    def describe(self) -> dict[str, Any]:
        """Everything that changes the members."""
        return {"selection": self.run.summer.groups.names[0], "run": self.run.fingerprint()}


def _member(block: Progress) -> Iterator[Member]:
    weight = float(block.weight[0])
    if weight > 0:
        yield Member(
            block.s1[0, 0] / weight, block.s2[0, 0] / weight, weight, int(block.n_frames[0])
        )
