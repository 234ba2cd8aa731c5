"""The streaming driver: frames in, block sums out, the same bits however it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.diffuse.checkpoint import Checkpoint, Progress
from unstill.diffuse.frame_source import FrameSource
from unstill.diffuse.frames import MAX_BOX_DRIFT
from unstill.diffuse.run import DiffuseRun, prepare_run
from unstill.ensembles import Ensemble
from unstill.errors import OutputError
from unstill.maps.block_sums import BlockSums
from unstill.parallel import ordered_map

ProgressCallback = Callable[[int, int], None]


def stream_block_sums(
    frames: FrameSource | Ensemble,
    divisions: Triple,
    d_min: float,
    *,
    crystal: Crystal | None = None,
    n_blocks: int = 16,
    selections: Mapping[str, np.ndarray] | None = None,
    weights: np.ndarray | None = None,
    occupancy: np.ndarray | None = None,
    remove_drift: bool | None = None,
    reference: np.ndarray | None = None,
    max_box_drift: float | None = MAX_BOX_DRIFT,
    chunk_size: int = 8,
    workers: int = 1,
    dask: str | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    keep_checkpoint: bool = False,
    checkpoint_interval: float = 5.0,
    engine_options: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> BlockSums:
    r"""Sum structure factors over frames: S1 = Σ w F, S2 = Σ w \|F\|², W = Σ w by block.

    Frames are read once, in chunks, and never all at once: memory does not
    depend on their number. Each chunk is summed in frame order in float64 and
    the chunks are added in order, so the result is the same to the last bit
    for any number of workers, on Dask, and after a resumed run.

    Parameters
    ----------
    frames
        A trajectory of the supercell, any other :class:`FrameSource`, or an
        ensemble whose members fill the supercell (its weights and occupancies
        are used).
    divisions
        Unit cells along a, b, c of the supercell.
    d_min
        Resolution limit (Å).
    crystal
        The unit cell and space group; by default what ``frames`` declare.
    n_blocks
        Blocks of consecutive frames; error estimates need several.
    selections
        Name → ``(n_atoms,)`` bool. ``"all"`` (every atom) is added in front.
    weights
        ``(n_frames,)``, non-negative. Equal by default.
    occupancy
        ``(n_atoms,)``; by default what ``frames`` have, else ones.
    remove_drift
        Shift each frame back by the mean displacement of its Cα atoms (heavy
        atoms where there is none). By default yes, but not for the members of
        an ensemble: these stand in the crystal on purpose.
    reference
        ``(n_atoms, 3)`` coordinates in Å that the drift is measured from; by
        default the first frame. Give the same to runs that shall be merged.
    max_box_drift
        Largest relative deviation of a frame's box from the supercell;
        ``None`` accepts any.
    chunk_size
        Frames a chunk. Part of the result's last bits, unlike ``workers``.
    workers, dask
        Processes, or the address of a Dask scheduler instead.
    checkpoint, resume, checkpoint_interval
        File for the state of the run, written about every
        ``checkpoint_interval`` seconds and removed after success. With
        ``resume`` a run continues from it if it is there.
    keep_checkpoint
        Leave the finished state in the file, for a caller that removes it
        once the results are safe.
    engine_options
        Passed to ``make_engine``: engine, table, tolerance. Not energy: with
        anomalous dispersion Friedel mates differ, and only one is summed.
    progress
        Called with (frames done, frames in all).

    Returns
    -------
    BlockSums
        F in electrons per supercell. Blocks without frames are left out.

    Raises
    ------
    InputError
        If there are fewer than two frames, a frame is unusable (its number is
        given), the box is wrong, or a checkpoint is of another run.
    """
    every_atom = np.ones(frames.atoms.array_length(), dtype=bool)
    run = prepare_run(
        frames,
        divisions,
        d_min,
        crystal=crystal,
        n_blocks=n_blocks,
        selections={"all": every_atom} | dict(selections or {}),
        weights=weights,
        occupancy=occupancy,
        align=(remove_drift, reference),
        max_box_drift=max_box_drift,
        chunk_size=chunk_size,
        engine_options=dict(engine_options or {}),
    )
    keeper = None
    if checkpoint is not None:
        keeper = Checkpoint(checkpoint, run.fingerprint(), checkpoint_interval)
    done = keeper.load() if keeper is not None and resume else None
    if done is None:
        done = run.nothing_done()
    _advance(run, done, keeper, workers=workers, dask=dask, progress=progress)
    sums = run.finish(done)
    if keeper is not None and keep_checkpoint:
        keeper.save(done)
    elif keeper is not None:
        keeper.remove()
    return sums


def _advance(
    run: DiffuseRun,
    done: Progress,
    keeper: Checkpoint | None,
    *,
    workers: int,
    dask: str | None,
    progress: ProgressCallback | None,
) -> None:
    """Add all chunks that are still missing to ``done``, in order."""
    total = len(run.weights)
    if progress is not None:
        progress(done.frames_read, total)
    if done.chunks_done == len(run.plan()):
        return
    chunks = run.chunks(done.chunks_done)
    try:
        with closing(ordered_map(run.summer, chunks, workers=workers, dask=dask)) as results:
            for found in results:
                done.add(found)
                if progress is not None:
                    progress(done.frames_read, total)
                if keeper is not None:
                    keeper.save_if_due(done)
    except KeyboardInterrupt:
        # Stopped in the middle of an addition, the sums are no use; an older file stays.
        if keeper is not None and done.whole and done.chunks_done:
            # A full disk must not hide that it was the user who stopped the run.
            with suppress(OutputError):
                keeper.save(done)
        raise
