"""Peak memory of a whole reduction of an Eiger 16M sweep: peaks, integrate, scale, merge, map.

Not part of ``make bench``: 3600 frames take the better part of an hour. Run

    python benchmarks/bench_reduce_memory.py 50 200 3600 --workers 2 --folder scratch

Each number of frames is reduced by a process of its own, and the peak of its
resident memory is printed after every step. A folder that is given keeps the steps, so
that a run that was stopped goes on; without one a temporary folder is used.

Frames are made cheaply, as real ones cannot be: four Poisson frames of a
background that falls with resolution are mirrored about the beam in four ways, and
the Bragg peaks that the geometry predicts are added. Neighbouring frames
thus share noise, so figures of quality mean nothing here. The 4 × 4 × 4 grid of a
lysozyme-like cell to the corners of the detector (1.36 Å) gives 200 000 rows a
degree and 1.5 million unique voxels.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench_reduction import experiment
from unstill.crystal.symmetry import laue_operations
from unstill.errors import UnstillWarning
from unstill.experiment import Experiment, FrameHeader
from unstill.experiment.pixels import scattering_vectors
from unstill.experiment.predict import predict_spots
from unstill.io.map_files import write_map
from unstill.maps.observations import Observations
from unstill.reduction.integration.observation_store import read_block
from unstill.reduction.merging.map_size import fitting_map
from unstill.reduction.merging.merge_pool import merge_pool
from unstill.reduction.merging.row_pool import write_rows
from unstill.reduction.merging.statistics import merging_statistics
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.pipeline import reduce_images
from unstill.reduction.pipeline.run import Run
from unstill.reduction.pipeline.sweeps import Sweep
from unstill.reduction.scaling.scale import scale_pool

SIZE, PIXEL = (4150, 4371), 0.075
STEPS = ("peaks", "integrate", "crystals", "scale", "merge", "statistics", "map", "fine")
LIMIT_MIB = 1536


@dataclass(frozen=True)
class CheapFrames:
    """Four Poisson frames in four positions, with Bragg peaks where they are predicted."""

    n_frames: int
    shape: tuple[int, int]
    kept: tuple[np.ndarray, ...]
    spots: tuple[np.ndarray, np.ndarray]  # first spot of each frame, and (row, column)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """One panel."""
        return (self.shape,)

    def header(self, index: int) -> FrameHeader:
        """Nothing is known."""
        return FrameHeader()

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return one frame."""
        rows, columns = (1 - 2 * ((index >> bit) & 1) for bit in (2, 3))
        frame = self.kept[index % 4][::rows, ::columns].astype(np.int32)
        starts, places = self.spots
        for row, column in places[starts[index] : starts[index + 1]]:
            frame[row - 1 : row + 2, column - 1 : column + 2] += 60
        return (frame,)

    def refresh(self) -> int:
        """Return the number of frames."""
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        """Return no file."""
        return ()


def cheap_frames(e: Experiment) -> CheapFrames:
    """Make the frames of an experiment."""
    panel = e.detector.panels[0]
    n_x, n_y = panel.image_size
    rng, kept = np.random.default_rng(0), []
    for _ in range(4):
        frame = np.empty((n_y, n_x), np.uint8)
        for first in range(0, n_y, 256):
            y = np.arange(first, min(first + 256, n_y)) + 0.5
            s = scattering_vectors(e.beam, panel, *np.meshgrid(np.arange(n_x) + 0.5, y))
            s_squared = np.einsum("...i,...i->...", s, s)
            frame[first : first + 256] = rng.poisson(0.05 + 1.5 * np.exp(-6 * s_squared))
        kept.append(frame)
    half = np.ceil(0.74 * np.array(e.crystal.unit_cell[:3])).astype(int)
    axes = [np.arange(-n, n + 1) for n in half]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    hkl = hkl[e.crystal.s_squared(hkl) < 0.4]
    found = predict_spots(e, hkl.astype(float))
    inside = (found.fast > 4) & (found.fast < n_x - 4) & (found.slow > 4) & (found.slow < n_y - 4)
    frame_of = np.floor(found.frame[inside]).astype(int)
    places = np.stack([found.slow[inside], found.fast[inside]], 1).astype(int)
    order = np.argsort(frame_of, kind="stable")
    starts = np.searchsorted(frame_of[order], np.arange(e.n_frames + 1))
    return CheapFrames(e.n_frames, (n_y, n_x), tuple(kept), (starts, places[order]))


def reduce(n_frames: int, folder: Path, workers: int, fine: int, until: str) -> None:
    """Reduce a sweep in this process, and print its peak memory after each step."""
    warnings.simplefilter("ignore", UnstillWarning)
    e = experiment(SIZE, PIXEL, n_frames)
    source = cheap_frames(e)
    _tell(f"{n_frames} frames: made", 0.0)
    given = {"integrate": {"fine": [fine] * 3}} if fine else {}
    sweep = Sweep(0, "noise", e, source, f"made of noise, {n_frames} frames")
    run = Run((sweep,), (), (None,), ReduceParameters.from_dict(given), folder, workers)
    for step in STEPS[: STEPS.index(until) + 1]:
        if step == "fine" and not fine:
            continue
        began = time.perf_counter()
        found = reduce_images(run, until=step)
        _tell(f"{n_frames} frames: {step}", time.perf_counter() - began)
    peak = _peak_mib()
    print(
        f"{n_frames} frames, {found.observations:,} rows: peak {peak:.0f} MiB "
        f"({'within' if peak <= LIMIT_MIB else 'above'} {LIMIT_MIB} MiB)",
        flush=True,
    )


def copies(folder: Path, n_frames: int) -> None:
    """Scale and merge what integrated blocks, turned by operations of the Laue group, become.

    For machines that are too slow to integrate so many frames: blocks of a store
    stand for others that the crystal would show after further turns.
    """
    warnings.simplefilter("ignore", UnstillWarning)
    files = sorted(folder.glob("**/frames-*/coarse.h5"))
    operations = laue_operations(experiment(SIZE, PIXEL, 1).crystal)

    def blocks() -> Iterator[Observations]:
        for number in range(n_frames // 10):
            turn, place = divmod(number, len(files))
            rows = read_block(files[place])
            yield rows.replace(
                index=(rows.index @ operations[turn]).astype(np.int32),
                block=np.full(len(rows), number, np.int32),
                phi=rows.phi - rows.phi.mean() + number + 0.5,
            )

    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        scratch = Path(temporary)
        pool, begun = write_rows(blocks, scratch), time.perf_counter()
        _tell(f"{pool.n_rows:,} rows", 0.0)
        rejected = []
        scales = scale_pool(pool, watch=lambda rows, why, off: rejected.append(rows.take(why > 0)))
        _tell("scaled", time.perf_counter() - begun)
        merged = merge_pool(
            pool,
            scales.model.scale_and_offset,
            rejected=scales.rejected,
            error_model=scales.error_model,
            scratch=scratch,
        )
        _tell(f"merged to {len(merged):,} voxels", time.perf_counter() - begun)
        found = merging_statistics(merged)
        _tell(f"CC1/2 {found.overall.cc_half:.3f}", time.perf_counter() - begun)
        write_map(fitting_map(merged), scratch / "map.nxs")
        _tell("map written", time.perf_counter() - begun)


def _tell(what: str, seconds: float) -> None:
    print(f"  {what:32s}{seconds:8.0f} s   peak {_peak_mib():.0f} MiB", flush=True)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Reduce each number of frames in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=int, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fine", type=int, default=0, help="divisions of a fine map")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--until", choices=STEPS, default=STEPS[-1])
    parser.add_argument("--copies", action="store_true", help="scale copies of blocks of FOLDER")
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    for n_frames in options.frames:
        if options.copies:
            copies(options.folder, n_frames)
            continue
        if options.here:
            reduce(n_frames, options.folder, options.workers, options.fine, options.until)
            continue
        with tempfile.TemporaryDirectory() as temporary:
            base = options.folder or Path(temporary)
            subprocess.run(
                [
                    *(sys.executable, __file__, str(n_frames), "--here"),
                    *("--workers", str(options.workers), "--fine", str(options.fine)),
                    *("--until", options.until, "--folder", str(base / f"{n_frames}-frames")),
                ],
                check=True,
            )


if __name__ == "__main__":
    main()
