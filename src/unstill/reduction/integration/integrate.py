"""Frames → observations: the fused kernel, block by block, on as many threads as wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.experiment import Experiment, FrameSource
from unstill.maps.observations import Observations
from unstill.reduction.background.background import Background
from unstill.reduction.integration import kernel as k
from unstill.reduction.integration.absences import absence_rules
from unstill.reduction.integration.blocks import Block, blocks_of
from unstill.reduction.integration.tables import PixelTables
from unstill.reduction.integration.voxel_table import enlarged, new_table, observations_of
from unstill.reduction.survey.frame_statistics import FrameStatistics, join_statistics
from unstill.reduction.survey.peak_shape import PeakShape
from unstill.reduction.survey.threshold import HEADROOM, frame_limits, trusted_values, zone_rates


@dataclass(frozen=True, eq=False)
class IntegratedBlock:
    """What one block of frames became.

    Parameters
    ----------
    block
        Which frames.
    coarse
        One row a voxel and panel, sorted by panel, h, k, l.
    fine
        The same for the finer divisions, or ``None``.
    frames
        Statistics of the frames.
    """

    block: Block
    coarse: Observations
    fine: Observations | None
    frames: FrameStatistics


def integrate_sweep(
    experiment: Experiment,
    source: FrameSource,
    tables: PixelTables,
    *,
    peaks: PeakShape | None,
    divisions: Triple,
    fine: Triple | None = None,
    background: Background | None = None,
    blocks: Sequence[Block] | None = None,
    workers: int = 1,
    sweep: int = 0,
    sweep_names: tuple[str, ...] | None = None,
    headroom: float = HEADROOM,
) -> Iterator[IntegratedBlock]:
    """Integrate blocks of frames, on several threads, and yield them in order.

    Each worker holds one frame and the rows of one block; not more than one
    finished block a worker waits. Memory does not grow with the number of
    frames, and the result does not depend on ``workers``.

    Parameters
    ----------
    experiment, source, tables
        Geometry, frames and pixels of the sweep.
    blocks
        By default all of ``blocks_of(experiment)``.
    workers
        Threads. The kernel and the decoders run without the interpreter lock.
    peaks, divisions, fine, background, sweep, sweep_names, headroom
        As of :func:`integrate_block`.
    """
    chosen = list(blocks_of(experiment) if blocks is None else blocks)
    setting = _Setting.of(experiment, tables, peaks, background, headroom)
    names = sweep_names or _names(experiment, sweep)

    def work(block: Block) -> IntegratedBlock:
        return _integrate(setting, source, block, divisions, fine, sweep, names)

    if workers <= 1:
        yield from map(work, chosen)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[IntegratedBlock]] = deque()
        try:
            for block in chosen:
                waiting.append(pool.submit(work, block))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def integrate_block(
    experiment: Experiment,
    source: FrameSource,
    block: Block,
    tables: PixelTables,
    *,
    peaks: PeakShape | None,
    divisions: Triple,
    fine: Triple | None = None,
    background: Background | None = None,
    sweep: int = 0,
    sweep_names: tuple[str, ...] | None = None,
    headroom: float = HEADROOM,
) -> IntegratedBlock:
    """Sum the pixels of a block of frames by voxel.

    Parameters
    ----------
    experiment
        With lattice.
    source
        Its frames; each of the block is read once.
    block
        Which frames.
    tables
        Of :func:`unstill.reduction.integration.tables.pixel_tables`.
    peaks
        What to mask about allowed reflections; ``None`` masks nothing.
    divisions
        Voxels a reciprocal-lattice vector.
    fine
        Finer divisions to be summed in the same pass.
    background
        Measured background; none counts as zero.
    sweep, sweep_names
        Number of the sweep, and the names of all.
    headroom
        How many times the rate of its zone a pixel may have; see
        :func:`unstill.reduction.survey.threshold.frame_limits`.

    Raises
    ------
    InputError
        If the experiment has no crystal, an exposure time is zero, or the
        frames do not have the size of the detector.
    """
    setting = _Setting.of(experiment, tables, peaks, background, headroom)
    names = sweep_names or _names(experiment, sweep)
    return _integrate(setting, source, block, divisions, fine, sweep, names)


@dataclass(frozen=True, eq=False)
class _Setting:
    """What is the same for all frames of a sweep."""

    experiment: Experiment
    tables: PixelTables
    background: Background | None
    headroom: float
    peak: np.ndarray
    absent: np.ndarray
    reach: np.ndarray

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        tables: PixelTables,
        peaks: PeakShape | None,
        background: Background | None,
        headroom: float,
    ) -> _Setting:
        crystal = experiment.crystal
        _check_background(background, experiment)
        return cls(
            experiment=experiment,
            tables=tables,
            background=background,
            headroom=headroom,
            peak=peak_numbers(peaks),
            absent=absence_rules(crystal),
            reach=tables.s_max * _longest_axes(experiment),
        )


def _integrate(
    setting: _Setting,
    source: FrameSource,
    block: Block,
    divisions: Triple,
    fine: Triple | None,
    sweep: int,
    names: tuple[str, ...],
) -> IntegratedBlock:
    n_panels, n_pixels = len(setting.tables.panels), setting.experiment.detector.n_pixels
    coarse_table = new_table(divisions, setting.reach, n_panels, n_pixels // 512)
    room = 1 if fine is None else n_pixels // 64
    fine_table = new_table(fine or (1, 1, 1), setting.reach, n_panels, room)
    statistics = []
    for frame in range(block.start, block.stop):
        values = _checked_frame(source, frame, setting.experiment)
        coarse_table, fine_table, found = _add(
            setting, values, frame, coarse_table, fine_table, fine is not None
        )
        statistics.append(found)
    made = [
        observations_of(
            table,
            setting.experiment,
            setting.tables,
            sweep=sweep,
            block=block.number,
            sweep_names=names,
        )
        for table in ([coarse_table] if fine is None else [coarse_table, fine_table])
    ]
    return IntegratedBlock(block, made[0], made[1] if fine else None, join_statistics(statistics))


def _add(
    setting: _Setting,
    values: tuple[np.ndarray, ...],
    frame: int,
    coarse: k.VoxelTable,
    fine: k.VoxelTable,
    with_fine: bool,
) -> tuple[k.VoxelTable, k.VoxelTable, FrameStatistics]:
    """Add one frame to the tables."""
    experiment, tables = setting.experiment, setting.tables
    matrix = np.ascontiguousarray(experiment.hkl_matrix(frame + 0.5))
    phi, time = experiment.phi(frame + 0.5), exposure_time(experiment, frame)
    limits = frame_limits(
        zone_rates(values, tables, experiment.detector),
        experiment.detector,
        headroom=setting.headroom,
    )
    states = np.zeros(k.N_STATES, np.int64)
    zone_pixels = np.zeros(tables.n_zones + 1, np.int64)
    zone_photons = np.zeros(tables.n_zones + 1)
    for number, (panel, table) in enumerate(
        zip(experiment.detector.panels, tables.panels, strict=True)
    ):
        pixels = k.Pixels(table.s, table.response, table.zone, number)
        low, high = trusted_values(panel.trusted_range)
        rules = k.Rules(limits[number], low, high, setting.peak, setting.absent)
        moment = k.Moment(matrix, phi, time, *_nodes(setting.background, number, phi))
        here, sums = np.zeros_like(zone_pixels), np.zeros_like(zone_pixels)
        image, row = values[number], 0
        while row < len(image):
            coarse = enlarged(coarse, image.shape[1])
            fine = enlarged(fine, image.shape[1]) if with_fine else fine
            row = k.add_frame(
                image, pixels, rules, moment, coarse, fine, with_fine, states, here, sums, row
            )
        zone_pixels += here
        zone_photons += (sums - here * panel.pedestal) / panel.gain
    return coarse, fine, _statistics(tables, frame, phi, states, zone_pixels, zone_photons)


def _statistics(
    tables: PixelTables,
    frame: int,
    phi: float,
    states: np.ndarray,
    zone_pixels: np.ndarray,
    zone_photons: np.ndarray,
) -> FrameStatistics:
    by_shell = (1, tables.n_shells, tables.n_sectors)
    named = {
        "unusable": k.UNUSABLE,
        "invalid": k.INVALID_VALUE,
        "overloaded": k.TOO_HIGH,
        "strong": k.STRONG,
        "masked": k.MASKED,
        "used": k.USED,
    }
    return FrameStatistics(
        frame=np.array([frame]),
        phi=np.array([phi]),
        photons=np.array([zone_photons[1:].sum()]),
        shell_pixels=zone_pixels[1:].reshape(by_shell).sum(axis=2),
        shell_photons=zone_photons[1:].reshape(by_shell).sum(axis=2),
        **{name: states[number : number + 1].copy() for name, number in named.items()},
    )


def exposure_time(experiment: Experiment, frame: int) -> float:
    """Seconds that a frame was exposed; 1 for a still, whose scale takes up the rest.

    Raises
    ------
    InputError
        If it is zero: rates would be infinite.
    """
    if experiment.scan is None:
        return 1.0
    time = float(experiment.scan.exposure_times[frame])
    if time <= 0:
        raise InputError(
            "the exposure time is zero",
            found=f"frame {frame} of {experiment.name or 'a sweep'}",
            fix="give the exposure time in seconds, or an image header that tells it",
        )
    return time


def peak_numbers(peaks: PeakShape | None) -> np.ndarray:
    """r0, the lower triangle of the whitening matrix, and cutoff², as the kernel wants them."""
    if peaks is None:
        return np.zeros(10)
    w = peaks.whitening
    return np.array([*peaks.center, *w[np.tril_indices(3)], peaks.cutoff**2])


def _longest_axes(experiment: Experiment) -> np.ndarray:
    lattice = experiment.lattice
    assert lattice is not None  # experiment.crystal has been asked for
    matrices = [lattice.a_matrix[None]]
    if lattice.a_at_scan_points is not None:
        matrices.append(lattice.a_at_scan_points)
    axes = np.linalg.norm(np.linalg.inv(np.concatenate(matrices)), axis=2)
    # Between scan points an axis can be longer than at both, by next to nothing.
    longest: np.ndarray = 1.001 * axes.max(axis=0)
    return longest


def _nodes(
    background: Background | None, panel: int, phi: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if background is None:
        nothing = np.zeros((1, 1))
        return nothing, nothing, np.zeros(0)
    x, y = background.panels[panel].x, background.panels[panel].y
    step_x = x[1] - x[0] if len(x) > 1 else 1.0
    step_y = y[1] - y[0] if len(y) > 1 else 1.0
    return *background.slice(panel, phi), np.array([x[0], step_x, y[0], step_y])


def _check_background(background: Background | None, experiment: Experiment) -> None:
    if background is not None and len(background.panels) != len(experiment.detector.panels):
        raise InputError(
            "the background is of another detector",
            found=f"{len(background.panels)} panels and {len(experiment.detector.panels)}",
            fix="measure the background with the detector of the crystal",
        )


def _checked_frame(
    source: FrameSource, frame: int, experiment: Experiment
) -> tuple[np.ndarray, ...]:
    values = source.read(frame)
    expected = [panel.shape for panel in experiment.detector.panels]
    if [image.shape for image in values] != expected:
        raise InputError(
            "a frame does not have the size of the detector",
            found=f"frame {frame}: {[image.shape for image in values]}, detector {expected}",
            fix="give the geometry that belongs to these images",
        )
    return tuple(np.ascontiguousarray(image, np.int32) for image in values)


def _names(experiment: Experiment, sweep: int) -> tuple[str, ...]:
    named = experiment.name or f"sweep {sweep + 1}"
    return (*(f"sweep {number + 1}" for number in range(sweep)), named)
