"""The reduction kernel: pixels a second on one core, beside plain numpy of the same maths; memory.

Run by ``make bench``. A Pilatus 6M (2463 × 2527 pixels) records 0.1° frames of
a tetragonal protein crystal (78 × 78 × 37 Å, P 43 21 2) at about a photon a
pixel. Both chains place every pixel exactly, mask Bragg peaks, judge the pixels
and sum ten frames by voxel. Frames lie in memory; nothing is decoded. With
``--memory N`` the peak memory of N frames of an Eiger 16M is measured instead.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.experiment import (
    Beam,
    Detector,
    Experiment,
    FrameHeader,
    Goniometer,
    Lattice,
    Panel,
    Scan,
)
from unstill.experiment.rotation import rotation_about
from unstill.maps.observations import Observations
from unstill.reduction.integration.blocks import Block, blocks_of
from unstill.reduction.integration.integrate import integrate_block, integrate_sweep
from unstill.reduction.integration.tables import PixelTables, pixel_tables
from unstill.reduction.survey.frame_cache import FrameCache
from unstill.reduction.survey.peak_shape import PeakShape
from unstill.reduction.survey.peak_survey import survey_peaks

N_FRAMES = 10
DIVISIONS = (4, 4, 4)
PEAKS = PeakShape(np.array([0.002, -0.001, 0.0]), np.diag([0.03, 0.03, 0.04]) ** 2)


@dataclass(frozen=True)
class NoiseSource:
    """Poisson frames; a few different ones, over and over. Frames can be made anew each time."""

    n_frames: int
    shape: tuple[int, int]
    fresh: bool = False
    kept: tuple[np.ndarray, ...] = ()

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """One panel."""
        return (self.shape,)

    def header(self, index: int) -> FrameHeader:
        """Nothing is known."""
        return FrameHeader()

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return one frame."""
        if not self.fresh:
            return (self.kept[index % len(self.kept)],)
        rng = np.random.default_rng(index % 4)
        frame = np.empty(self.shape, np.int32)
        for row in frame:
            row[:] = rng.integers(0, 3, len(row), np.int32)
        return (frame,)

    def refresh(self) -> int:
        """Return the number of frames."""
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        """Return no file."""
        return ()


def experiment(size: tuple[int, int], pixel: float, n_frames: int) -> Experiment:
    """Set up a detector face on, at 250 mm."""
    fast, slow = size
    panel = Panel(
        (-0.5 * fast * pixel, 0.5 * slow * pixel, -250.0),
        (1.0, 0, 0),
        (0, -1.0, 0),
        (pixel, pixel),
        size,
        thickness=0.45,
        mu=3.9,
        material="Si",
        parallax=True,
    )
    turn = rotation_about(np.array([0.6, 0.64, 0.48]), 37.0)
    crystal = Crystal((78.0, 78.0, 37.0, 90, 90, 90), "P 43 21 2")
    return Experiment(
        Beam(0.9762),
        Detector((panel,)),
        Goniometer((1.0, 0, 0)),
        Scan(n_frames, 0.0, 0.1, exposure_times=np.array([0.1])),
        Lattice.oriented(crystal, turn),
        name="noise",
    )


def fused(e: Experiment, source: NoiseSource, tables: PixelTables) -> Observations:
    """One block by the kernel."""
    return integrate_block(
        e, source, Block(0, N_FRAMES), tables, peaks=PEAKS, divisions=DIVISIONS
    ).coarse


def plain(e: Experiment, source: NoiseSource, tables: PixelTables) -> dict[str, np.ndarray]:
    """Sum the same block in numpy, an array an operation."""
    table = tables.panels[0]
    s = np.moveaxis(table.s, 0, -1).reshape(-1, 3).astype(float)
    response = table.response.ravel().astype(float)
    columns = table.zone.shape[1]
    usable = table.zone.ravel() > 0
    absent = _absences(e)
    parts = []
    for frame in range(N_FRAMES):
        values = source.read(frame)[0].ravel()
        hkl = s @ e.hkl_matrix(frame + 0.5).T
        nearest = np.floor(hkl + 0.5)
        off = (hkl - nearest - PEAKS.center) @ PEAKS.whitening.T
        masked = np.einsum("ij,ij->i", off, off) < PEAKS.cutoff**2
        found = nearest[masked].astype(int) + absent.shape[0] // 2
        masked[masked] = ~absent[tuple(found.T)]
        good = np.flatnonzero(usable & ~masked & (values >= 0) & (values <= 2**31 - 2))
        index = np.floor(hkl[good] * np.array(DIVISIONS) + 0.5).astype(np.int64)
        key = ((index[:, 0] << 20) + index[:, 1] << 20) + index[:, 2]
        keys, inverse = np.unique(key, return_inverse=True)
        e_of = response[good] * e.scan.exposure_times[frame]  # type: ignore[union-attr]
        y, x = np.divmod(good, columns)
        columns_of = (None, values[good], e_of, e_of * (x + 0.5), e_of * (y + 0.5))
        parts.append((keys, [np.bincount(inverse, w, len(keys)) for w in columns_of]))
    keys, inverse = np.unique(np.concatenate([key for key, _ in parts]), return_inverse=True)
    names = ("n", "counts", "exposure", "x", "y")
    sums = {
        name: np.bincount(inverse, np.concatenate([sums[i] for _, sums in parts]), len(keys))
        for i, name in enumerate(names)
    }
    return {"keys": keys, **sums}


def _absences(e: Experiment, half: int = 90) -> np.ndarray:
    """Extinguished reflections, as a table of hkl + half."""
    from unstill.reduction.integration.absences import absence_rules, absent_among

    axis = np.arange(-half, half + 1)
    index = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    table: np.ndarray = absent_among(index, absence_rules(e.crystal)).reshape((len(axis),) * 3)
    return table


def speed() -> None:
    """Print pixels a second of both, and the largest difference."""
    e = experiment((2463, 2527), 0.172, N_FRAMES)
    rng = np.random.default_rng(0)
    shape = e.detector.panels[0].shape
    kept = tuple(rng.poisson(1.0, shape).astype(np.int32) for _ in range(4))
    source = NoiseSource(N_FRAMES, shape, kept=kept)
    tables = pixel_tables(e)
    fused(e, source, tables)  # compile
    pixels = N_FRAMES * shape[0] * shape[1] / 1e6
    rows, seconds = min((_timed(fused, e, source, tables) for _ in range(3)), key=lambda r: r[1])
    theirs, slow = _timed(plain, e, source, tables)
    print("\nMap, mask and integrate ten frames of 6.2 Mpx, 4 × 4 × 4, one core")
    print(f"{'chain':22s}{'CPU s':>10s}{'Mpx/s':>10s}{'rows':>12s}")
    print(f"{'unstill (fused)':22s}{seconds:10.2f}{pixels / seconds:10.1f}{len(rows):12,}")
    print(f"{'plain numpy':22s}{slow:10.2f}{pixels / slow:10.1f}{len(theirs['keys']):12,}")
    print(f"  {slow / seconds:.0f} times less CPU")
    _print_difference(rows, theirs)


def _print_difference(rows: Observations, theirs: dict[str, np.ndarray]) -> None:
    index = rows.index.astype(np.int64)
    key = ((index[:, 0] << 20) + index[:, 1] << 20) + index[:, 2]
    order = np.argsort(key)
    _, ours, other = np.intersect1d(key[order], theirs["keys"], return_indices=True)
    ours = order[ours]
    n = np.abs(rows.n_pixels[ours] - theirs["n"][other])
    same = n == 0
    exposure = rows.exposure[ours][same] / theirs["exposure"][other][same] - 1
    counts = np.abs(rows.counts[ours] - theirs["counts"][other])[same]
    x = rows.x[ours] - theirs["x"][other] / theirs["exposure"][other]
    print(
        f"  largest difference: pixels {int(n.max())}, in {np.count_nonzero(n)} rows; "
        f"elsewhere counts {counts.max():g}, exposure {np.abs(exposure).max():.1e} (relative), "
        f"x {np.abs(x[same]).max():.1e} px"
    )


def memory(n_frames: int, workers: int) -> None:
    """Print peak memory of a sweep of 16 Mpx frames: survey, then integration."""
    e = experiment((4150, 4371), 0.075, n_frames)
    source = FrameCache(NoiseSource(n_frames, e.detector.panels[0].shape, fresh=True))
    start = _peak_mib()
    tables = pixel_tables(e)
    print(f"16M: at start {start:.0f} MiB, with tables {_peak_mib():.0f} MiB", flush=True)
    peaks = survey_peaks(e, source, tables).shape
    print(f"  after the survey {_peak_mib():.0f} MiB ({source.n_dropped} frames not kept)")
    began, rows = time.perf_counter(), 0
    for done in integrate_sweep(
        e, source, tables, peaks=peaks, divisions=DIVISIONS, blocks=blocks_of(e), workers=workers
    ):
        rows += len(done.coarse)
        if done.block.number % 5 == 4:
            seconds = time.perf_counter() - began
            print(
                f"  {done.block.stop} frames, {rows:,} rows, {seconds:.0f} s: "
                f"peak {_peak_mib():.0f} MiB",
                flush=True,
            )


def _timed(function, *arguments):  # type: ignore[no-untyped-def]
    start = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - start


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Speed, or memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, metavar="N", help="frames of 16 Mpx")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.memory:
        memory(options.memory, options.workers)
    else:
        speed()


if __name__ == "__main__":
    main()
