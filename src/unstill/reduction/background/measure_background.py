"""Frames without a crystal → a smooth background with its variance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from unstill.compiled import kernel
from unstill.errors import InputError, UnstillWarning
from unstill.experiment import Experiment, FrameSource
from unstill.reduction.background.background import Background, PanelBackground
from unstill.reduction.background.smooth_grid import SmoothGrid, smooth_counts
from unstill.reduction.integration.integrate import exposure_time
from unstill.reduction.integration.tables import PixelTables, pixel_tables
from unstill.reduction.survey.threshold import frame_limits, trusted_values, zone_rates

MAX_NODES = 10_000
"""Nodes a panel and angle: about as many, so that large detectors get larger bins."""

SPOT_HEADROOM = 3.0
"""A background is smooth: a pixel far above three times the rate of its zone is a spot."""


def measure_background(
    experiment: Experiment,
    source: FrameSource,
    *,
    tables: PixelTables | None = None,
    bin_pixels: float = 20.0,
    bin_phi: float = 10.0,
    smoothness: float | None = None,
) -> Background:
    """Bin the frames of a background sweep and fit a smooth surface to every angle.

    Parameters
    ----------
    experiment
        Of the background sweep; needs no lattice. A still has no angle.
    source
        Its frames, each read once.
    tables
        Of its detector; pixels that are masked there are left out.
    bin_pixels
        Largest size of the bins on the detector (pixels); whole pixels, and about
        ``MAX_NODES`` of them a panel: larger panels have larger bins, small ones smaller.
    bin_phi
        Size of the bins along the rotation (degrees). A sweep that turns less
        gives a background that does not depend on the angle.
    smoothness
        λ of :mod:`unstill.reduction.background.smooth_grid`; by default from the data.

    Raises
    ------
    InputError
        If an exposure time is zero, there is no frame, or no pixel has a measurement.
    """
    if source.n_frames < 1:
        raise InputError("a background sweep without frames", fix="give one frame at least")
    chosen = pixel_tables(experiment) if tables is None else tables
    bins = _Bins.of(experiment, source.n_frames, bin_pixels, bin_phi)
    for frame in range(source.n_frames):
        _add_frame(experiment, source.read(frame), frame, chosen, bins)
    if not any(np.any(exposure > 0) for exposure in bins.exposure):
        raise InputError(
            "no pixel of the background has a measurement",
            found=f"{source.n_frames} frames",
            fix="check the mask and the frames of the background",
        )
    panels, fits = [], []
    for number, (x, y) in enumerate(zip(bins.x, bins.y, strict=True)):
        smoothed = _smooth(bins.counts[number], bins.exposure[number], smoothness)
        fits.extend(smoothed)
        shape, size = experiment.detector.panels[number].shape, bins.sizes[number]
        rate = np.stack([_nodes_of(item.value, shape, size) for item in smoothed])
        variance = np.stack([item.variance for item in smoothed])
        panels.append(PanelBackground(x, y, rate, variance))
    _tell_outliers(fits)
    return Background(bins.phi, tuple(panels), _notes(experiment, source.n_frames, bins, fits))


@dataclass(eq=False)
class _Bins:
    """Counts and exposures (s × pixels) by angle, row and column, panel by panel."""

    phi: np.ndarray
    phi_edges: np.ndarray
    sizes: list[int]
    x: list[np.ndarray]
    y: list[np.ndarray]
    counts: list[np.ndarray]
    exposure: list[np.ndarray]

    @classmethod
    def of(cls, experiment: Experiment, n_frames: int, bin_pixels: float, bin_phi: float) -> _Bins:
        ends = sorted((experiment.phi(0.0), experiment.phi(float(n_frames))))
        n_phi = max(1, round((ends[1] - ends[0]) / bin_phi)) if bin_phi > 0 else 1
        n_phi = min(n_phi, n_frames)
        edges = np.linspace(ends[0], ends[1], n_phi + 1)
        sizes, x, y, counts = [], [], [], []
        for panel in experiment.detector.panels:
            slow, fast = panel.shape
            # Whole pixels: the nodes then lie in the middle of their bins, at equal steps.
            finest = int(np.ceil(np.sqrt(slow * fast / MAX_NODES)))
            size = max(1, finest if bin_pixels <= 0 else min(finest, int(bin_pixels)))
            columns, rows = max(1, round(fast / size)), max(1, round(slow / size))
            sizes.append(size)
            x.append((np.arange(columns) + 0.5) * size)
            y.append((np.arange(rows) + 0.5) * size)
            counts.append(np.zeros((n_phi, rows, columns)))
        middle = 0.5 * (edges[1:] + edges[:-1])
        return cls(middle, edges, sizes, x, y, counts, [np.zeros_like(c) for c in counts])


def _add_frame(
    experiment: Experiment,
    values: tuple[np.ndarray, ...],
    frame: int,
    tables: PixelTables,
    bins: _Bins,
) -> None:
    detector = experiment.detector
    time = exposure_time(experiment, frame)
    phi = experiment.phi(frame + 0.5)
    at = int(np.clip(np.searchsorted(bins.phi_edges, phi) - 1, 0, len(bins.phi) - 1))
    limits = frame_limits(zone_rates(values, tables, detector), detector, headroom=SPOT_HEADROOM)
    for number, (panel, table) in enumerate(zip(detector.panels, tables.panels, strict=True)):
        low, high = trusted_values(panel.trusted_range)
        _, rows, columns = bins.counts[number].shape
        slow, fast = panel.shape
        total, n = np.zeros((rows, columns), np.int64), np.zeros((rows, columns), np.int64)
        size = bins.sizes[number]
        row_of = _bin_of_pixels(slow, rows, size)
        column_of = _bin_of_pixels(fast, columns, size)
        image = np.ascontiguousarray(values[number], np.int32)
        _bin(image, table.zone, limits[number], low, high, row_of, column_of, total, n)
        bins.counts[number][at] += (total - n * panel.pedestal) / panel.gain
        bins.exposure[number][at] += n * time


def _smooth(
    counts: np.ndarray, exposure: np.ndarray, smoothness: float | None
) -> list[SmoothGrid]:
    """One surface an angle: that of all angles, times a change that is smooth too."""
    whole = smooth_counts(counts.sum(axis=0), exposure.sum(axis=0), smoothness=smoothness)
    if len(counts) == 1:
        return [whole]
    expected = exposure * whole.value
    fullest = int(np.argmax(counts.sum(axis=(1, 2))))
    first = smooth_counts(counts[fullest], expected[fullest], smoothness=smoothness)
    changes = [
        smooth_counts(c, e, smoothness=first.smoothness)
        for c, e in zip(counts, expected, strict=True)
    ]
    return [
        SmoothGrid(
            value=whole.value * change.value,
            variance=whole.value**2 * change.variance + change.value**2 * whole.variance,
            rejected=whole.rejected | change.rejected,
            smoothness=whole.smoothness,
            spread=max(whole.spread, change.spread),
        )
        for change in changes
    ]


def _nodes_of(averages: np.ndarray, shape: tuple[int, int], size: int) -> np.ndarray:
    """Values at nodes whose bilinear interpolation has the given averages over bins.

    Between nodes the rate is curved: interpolated averages would fill its hollows, and
    what is left above the background in its faint parts would be biased by some per cent.
    """
    from scipy.linalg import solve_banded

    nodes = averages
    for axis in (0, 1):
        bands = _bands(shape[axis], averages.shape[axis], size)
        nodes = solve_banded((1, 1), bands, nodes).T if averages.shape[axis] > 1 else nodes.T
    # Where the rate falls steeply the line may undershoot.
    limited: np.ndarray = np.clip(nodes, 0.5 * averages, 2.0 * averages)
    return limited


def _bin_of_pixels(n_pixels: int, n_bins: int, size: int) -> np.ndarray:
    """Bin of every pixel along one side; what is left over joins the last."""
    bins: np.ndarray = np.minimum(np.arange(n_pixels) // size, n_bins - 1)
    return bins


def _bands(n_pixels: int, n_bins: int, size: int) -> np.ndarray:
    """Average over the pixels of each bin of the broken line through the nodes.

    Pixel by pixel: three pixels see less of the neighbouring nodes than a continuous line
    does, a single pixel sees nothing of them, and beyond the last node the line is flat.
    """
    bins = _bin_of_pixels(n_pixels, n_bins, size)
    at = np.clip((np.arange(n_pixels) + 0.5) / size - 0.5, 0, n_bins - 1)
    share = (at - bins) / np.bincount(bins, minlength=n_bins)[bins]
    before = np.bincount(bins, np.maximum(-share, 0), n_bins)
    after = np.bincount(bins, np.maximum(share, 0), n_bins)
    bands = np.zeros((3, n_bins))
    bands[0, 1:], bands[1], bands[2, :-1] = after[:-1], 1 - before - after, before[1:]
    return bands


def _tell_outliers(fits: list[SmoothGrid]) -> None:
    rejected = sum(int(np.count_nonzero(fit.rejected)) for fit in fits)
    share = rejected / sum(fit.rejected.size for fit in fits)
    if share > 0.05:
        warnings.warn(
            f"the background is not smooth; found {100 * share:.0f} % of its bins far from the "
            "surface; check for shadows and spots, or choose smaller bins",
            UnstillWarning,
            stacklevel=3,
        )


def _notes(
    experiment: Experiment, n_frames: int, bins: _Bins, fits: list[SmoothGrid]
) -> dict[str, object]:
    beam, panel = experiment.beam, experiment.detector.panels[0]
    return {
        "name": experiment.name,
        "n_frames": n_frames,
        "exposure_time": 0.0
        if experiment.scan is None
        else float(experiment.scan.exposure_times[:n_frames].mean()),
        "wavelength": beam.wavelength,
        "transmission": beam.transmission,
        "distance": panel.distance,
        "image_sizes": [list(item.image_size) for item in experiment.detector.panels],
        "photons": float(sum(counts.sum() for counts in bins.counts)),
        "bins_rejected": sum(int(np.count_nonzero(fit.rejected)) for fit in fits),
        "spread": max(fit.spread for fit in fits),
    }


@kernel
def _bin(
    values: np.ndarray,
    zone: np.ndarray,
    limits: np.ndarray,
    low: int,
    high: int,
    row_of: np.ndarray,
    column_of: np.ndarray,
    total: np.ndarray,
    n: np.ndarray,
) -> None:
    rows, columns = values.shape
    for y in range(rows):
        j = row_of[y]
        for x in range(columns):
            value = values[y, x]
            if low <= value <= high and value <= limits[zone[y, x]]:
                total[j, column_of[x]] += value
                n[j, column_of[x]] += 1
