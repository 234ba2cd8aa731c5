"""The fine map of a run: merged slab by slab from what was kept on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unstill.maps.observations import Observations, concatenate
from unstill.reduction.integration.observation_store import read_block
from unstill.reduction.merging.fine_map import write_fine_map
from unstill.reduction.merging.fine_slabs import Slabs
from unstill.reduction.merging.merge_fine import merge_slabs
from unstill.reduction.merging.slabs import run_slabs
from unstill.reduction.pipeline.crystal_steps import crystals, moved
from unstill.reduction.pipeline.integrate_step import block_files
from unstill.reduction.pipeline.run import Run
from unstill.reduction.pipeline.saved_result import load_result, save_result
from unstill.reduction.pipeline.sweep_steps import result_of
from unstill.reduction.pipeline.sweeps import Sweep

FIGURES = "figures.npz"


def fine_map(run: Run) -> Path:
    """Merge the fine map into the store; returns the folder."""
    key = run.keys.of("fine")
    return run.store.obtain(
        key.folder, lambda folder: _write(run, folder), about={"key": key.digest, "step": "fine"}
    )


def fine_figures(run: Run) -> dict[str, Any]:
    """Figures of the fine map: voxels, observations, correlation of halves by shell."""
    found: dict[str, Any] = load_result(run.store.path(run.keys.of("fine").folder) / FIGURES)
    return found


def _write(run: Run, folder: Path) -> None:
    slabs = run_slabs(run)
    assert slabs is not None  # the step is off without
    scaled, merged = result_of(run, "scale"), result_of(run, "merge")
    scales = scaled.result
    symmetry = run.parameters.merge.symmetry
    pieces = merge_slabs(
        _slabs(run, slabs),
        scales.model.scale_and_offset,
        expectation=merged.expectation,
        error_model=scales.error_model,
        keep=_Kept(scaled.left_out, run.parameters.integrate.divisions),
        symmetry=symmetry,
        friedel=symmetry,
        seed=run.parameters.seed,
    )
    found = write_fine_map(
        pieces,
        slabs,
        {None: folder / "fine.nxs"},
        provenance=run.provenance,
        n_shells=run.parameters.merge.shells,
    )
    figures = asdict(found)
    figures["divisions"] = run.parameters.integrate.fine
    save_result(figures, folder / FIGURES)


def _slabs(run: Run, slabs: Slabs) -> Iterator[Observations]:
    """Rows of all sweeps, slab by slab."""
    for number in range(len(slabs)):
        run.progress("fine", number, len(slabs))
        parts = [part for sweep in run.sweeps for part in _of_sweep(run, sweep, slabs, number)]
        if parts:
            yield concatenate(parts)


def _of_sweep(run: Run, sweep: Sweep, slabs: Slabs, number: int) -> Iterator[Observations]:
    found = crystals(run)
    if not found.sweep_kept(sweep.number):
        return
    stays = found.moves[found.of_sweep[sweep.number]].is_identity
    for path in block_files(run, sweep, "fine.h5"):
        # A change of indexing moves rows to other slabs than those they were kept in.
        rows = moved(run, read_block(path, number if stays else None), sweep.number)
        if rows is None:
            continue
        if not stays:
            rows = rows.take(slabs.slab_of(rows.index) == number)
        if len(rows):
            yield rows


class _Kept:
    """Which fine rows do not lie in a coarse observation that was left out."""

    def __init__(self, left_out: np.ndarray, divisions: tuple[int, int, int]) -> None:
        self.divisions = np.array(divisions)
        self.out = np.unique(_packed(left_out))

    def __call__(self, rows: Observations) -> np.ndarray:
        if not len(self.out):
            return np.ones(len(rows), bool)
        index = np.floor(rows.hkl() * self.divisions + 0.5).astype(np.int64)
        return ~np.isin(_names(rows, index), self.out)


def _names(rows: Observations, index: np.ndarray) -> np.ndarray:
    """Name of the coarse observation of each row: sweep, block, panel and voxel."""
    return _packed(np.stack([rows.sweep, rows.block, rows.panel, *index.T], axis=1))


def _packed(table: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(table.astype(np.int32))
    return rows.view([("", np.int32)] * rows.shape[1]).ravel()
