"""The step that reads the images: block by block, each kept as it is done."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from unstill.errors import UnstillWarning
from unstill.maps.observations import Observations, concatenate
from unstill.reduction.background.background import Background
from unstill.reduction.background.background_check import check_against_counts
from unstill.reduction.integration.blocks import Block
from unstill.reduction.integration.integrate import integrate_block
from unstill.reduction.integration.observation_store import read_block, write_block
from unstill.reduction.integration.tables import PixelTables
from unstill.reduction.merging.fine_slabs import Slabs
from unstill.reduction.merging.slabs import run_slabs
from unstill.reduction.pipeline.run import Run, block_unit, remember
from unstill.reduction.pipeline.saved_result import load_result, save_result
from unstill.reduction.pipeline.steps import step_named
from unstill.reduction.pipeline.sweep_steps import background_for, result_of, tables_of, tell
from unstill.reduction.pipeline.sweeps import Sweep
from unstill.reduction.survey.frame_check import check_statistics
from unstill.reduction.survey.frame_statistics import FrameStatistics, join_statistics
from unstill.reduction.survey.peak_shape import PeakShape
from unstill.reduction.survey.peaks_found import PeaksFound

_LOOKED_AT = 40
"""Blocks whose counts are held against the background."""


@dataclass(frozen=True, eq=False)
class SweepSums:
    """What is known of an integrated sweep beside its observations.

    Parameters
    ----------
    frames
        Statistics of every frame.
    shell_edges
        ``(n_shells + 1,)`` of their shells in 1/d (Å⁻¹).
    n_observations, n_fine
        Rows of the coarse and of the fine map.
    """

    frames: FrameStatistics
    shell_edges: np.ndarray
    n_observations: int
    n_fine: int


def integrate(run: Run, sweep: Sweep) -> SweepSums:
    """Integrate all blocks of a sweep that are there; those that are done are found.

    Blocks that another process works on are left to it.
    """
    inside = run.store.inside(run.keys.of("integrate", sweep.number))
    if not all(inside.holds(block_unit(block)) for block in run.blocks(sweep)):
        _obtain_blocks(run, sweep)
    remember(run, step_named("integrate"), sweep.number)
    return sums_of(run, sweep)


def _obtain_blocks(run: Run, sweep: Sweep) -> None:
    """See to it that all blocks are there and whole."""
    key = run.keys.of("integrate", sweep.number)
    blocks = {block_unit(block): block for block in run.blocks(sweep)}
    work = _Integration(run, sweep)
    run.store.inside(key).obtain_all(
        list(blocks),
        lambda unit, folder: work.write(blocks[unit], folder),
        about={"key": key.digest, "sweep": sweep.name},
        done=lambda unit: work.tell(blocks[unit]),
        workers=run.workers,
    )
    run.memo["whole", sweep.number, sweep.n_available] = True


def sums_of(run: Run, sweep: Sweep) -> SweepSums:
    """Return statistics of an integrated sweep; faults that they show are told."""
    inside = run.store.inside(run.keys.of("integrate", sweep.number))

    def write(folder: Path) -> None:
        sums, told = _summed(run, sweep)
        save_result({"sums": sums, "told": told}, folder / "sums.npz")

    path = inside.obtain(f"sums-{sweep.n_available:05d}", write)
    memo = ("sums", sweep.number, sweep.n_available)
    if memo not in run.memo:
        found = load_result(path / "sums.npz")
        run.memo[memo] = found["sums"]
        for text in found["told"]:
            warnings.warn(text, UnstillWarning, stacklevel=2)
    sums: SweepSums = run.memo[memo]
    return sums


def coarse_blocks(run: Run, sweep: Sweep) -> Iterator[Observations]:
    """Observations of a sweep, block by block in order."""
    for path in block_files(run, sweep, "coarse.h5"):
        yield read_block(path)


def block_files(run: Run, sweep: Sweep, name: str) -> list[Path]:
    """Files of that name of all blocks of a sweep, in order; what was damaged is made again."""
    if ("whole", sweep.number, sweep.n_available) not in run.memo:
        _obtain_blocks(run, sweep)
    folder = run.store.inside(run.keys.of("integrate", sweep.number))
    return [folder.path(block_unit(block)) / name for block in run.blocks(sweep)]


def _summed(run: Run, sweep: Sweep) -> tuple[SweepSums, list[str]]:
    parts = [load_result(path) for path in block_files(run, sweep, "frames.npz")]
    frames = join_statistics([part["frames"] for part in parts])
    findings = check_statistics(frames) if sweep.number not in run.stills else []
    if run.background_of[sweep.number] is not None:
        files = block_files(run, sweep, "coarse.h5")
        some = files[:: -(-len(files) // _LOOKED_AT)]
        findings += check_against_counts(concatenate([read_block(path) for path in some]))
    sums = SweepSums(
        frames,
        parts[0]["shell_edges"],
        sum(part["n_observations"] for part in parts),
        sum(part["n_fine"] for part in parts),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnstillWarning)
        for finding in findings:
            tell(sweep.name, finding)
    return sums, [str(one.message) for one in caught]


class _Integration:
    """Integrates the blocks of a sweep; what they share is made when the first one needs it."""

    def __init__(self, run: Run, sweep: Sweep) -> None:
        self.run, self.sweep = run, sweep
        self.done = 0
        self._lock = Lock()

    @cached_property
    def _shared(self) -> tuple[PeakShape, Background | None, PixelTables, Slabs | None]:
        run, sweep = self.run, self.sweep
        found: PeaksFound = result_of(run, "peaks", sweep.number)
        return (
            found.shape,
            background_for(run, sweep),
            tables_of(run, sweep, found.bad_pixels),
            run_slabs(run),
        )

    def write(self, block: Block, folder: Path) -> None:
        """Integrate a block into a folder."""
        run, sweep = self.run, self.sweep
        with self._lock:
            peaks, background, tables, slabs = self._shared
        found = integrate_block(
            sweep.experiment,
            sweep.source,
            block,
            tables,
            peaks=peaks,
            divisions=run.parameters.integrate.divisions,
            fine=run.parameters.integrate.fine,
            background=background,
            sweep=sweep.number,
            sweep_names=run.names,
            headroom=run.parameters.integrate.headroom,
        )
        write_block(folder / "coarse.h5", found.coarse, np.zeros(len(found.coarse), int))
        n_fine = 0
        if found.fine is not None and slabs is not None:
            n_fine = len(found.fine)
            cut = slabs.slab_of(found.fine.index)
            write_block(folder / "fine.h5", found.fine, cut, n_slabs=len(slabs))
        save_result(
            {
                "frames": found.frames,
                "shell_edges": tables.shell_edges,
                "n_observations": len(found.coarse),
                "n_fine": n_fine,
            },
            folder / "frames.npz",
        )

    def tell(self, block: Block) -> None:
        """Count frames that are done."""
        self.done += len(block)
        self.run.progress("integrate", self.done, self.sweep.n_available)
