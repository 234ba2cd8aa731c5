"""Find spots: strong pixels joined over consecutive frames, and their centroids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from unstill.experiment import OVERLOADED, Detector, Experiment, FrameSource, Panel
from unstill.parallel import ordered_map
from unstill.reduction.indexing.false_spots import is_fragment, is_persistent
from unstill.reduction.indexing.significance import surprise
from unstill.reduction.indexing.spot_links import link_regions
from unstill.reduction.indexing.spot_regions import (
    Regions,
    StrongPixels,
    beside_a_gap,
    join_regions,
)
from unstill.reduction.indexing.spots import Spots
from unstill.reduction.indexing.strong_pixels import SMEARS, TILE, noise_factor, strong_pixels

_NOISE_FRAMES = 3
_FRAMES_A_WORKER = 20


@dataclass(frozen=True)
class SpotOptions:
    """How spots are found.

    Parameters
    ----------
    sigma_dispersion, sigma_strong
        Standard deviations by which a window, and a pixel, must stand out.
    window
        Half the side of the window (pixels).
    min_pixels, max_pixels
        Smallest and largest spot, pixels of all its frames together. ``None`` takes 3, and 6
        where the detector smears light, so that noise itself comes in clusters.
    d_min, d_max
        Resolution limits (Å); ``None`` for none.
    """

    sigma_dispersion: float = 6.0
    sigma_strong: float = 3.0
    window: int = 3
    min_pixels: int | None = None
    max_pixels: int = 2000
    d_min: float | None = None
    d_max: float | None = None


def find_spots(
    experiment: Experiment,
    source: FrameSource,
    *,
    options: SpotOptions | None = None,
    workers: int = 1,
) -> Spots:
    """Find the spots of a sweep or a still, reading every frame once.

    Regions of strong pixels are joined with those of the next frame that share
    a pixel, where the frames follow each other without a gap in angle. Only
    sums of regions are kept: memory does not grow with the images. Clusters
    that noise alone would show are dropped; see :mod:`.significance`.

    Parameters
    ----------
    experiment
        Gives the detector, and whether frames are contiguous.
    source
        The frames.
    options
        Thresholds and limits.
    workers
        Processes to use.
    """
    options = options or SpotOptions()
    noise = measure_noise(experiment.detector, source, window=options.window)
    setup = partial(_frame_task, source, experiment.detector, noise, options)
    # A process must have enough to do to be worth its start.
    workers = min(workers, max(source.n_frames // _FRAMES_A_WORKER, 1))
    frames = ordered_map(setup, range(source.n_frames), workers=workers)
    tried = source.n_frames * sum(rows * columns for rows, columns in source.shapes)
    spots = link_regions(frames, joined=is_contiguous(experiment), n_tried=tried)
    smears = min(float(np.median(factor)) for factor in noise) < SMEARS
    smallest = options.min_pixels or (6 if smears else 3)
    size = (spots.n_pixels >= smallest) & (spots.n_pixels <= options.max_pixels)
    spots = spots.select(size & ~is_persistent(experiment, spots))
    spots = spots.select(~is_fragment(spots))
    length = np.linalg.norm(spots.scattering_vectors(experiment), axis=1)
    inside = np.ones(len(spots), bool)
    if options.d_min is not None:
        inside &= length <= 1 / options.d_min
    if options.d_max is not None:
        inside &= length >= 1 / options.d_max
    return spots.select(inside)


def is_contiguous(experiment: Experiment) -> bool:
    """Whether each frame begins where the one before ended."""
    scan = experiment.scan
    if scan is None or scan.n_frames < 2:
        return False
    return abs(abs(scan.phi_step) - abs(float(scan.phi_width or 0.0))) < 0.1 * abs(scan.phi_step)


def measure_noise(
    detector: Detector, source: FrameSource, *, window: int = 3
) -> tuple[np.ndarray, ...]:
    """Ratio of variance to mean of every panel, in tiles, from three frames of the sweep."""
    n = source.n_frames
    chosen = sorted({int(i) for i in np.linspace(0, n - 1, min(n, _NOISE_FRAMES))})
    frames = [source.read(i) for i in chosen]
    factors = []
    for p, panel in enumerate(detector.panels):
        images = [frame[p] for frame in frames]
        goods = [good_pixels(image, panel) for image in images]
        factors.append(noise_factor(images, goods, panel, window=window))
    return tuple(factors)


def good_pixels(image: np.ndarray, panel: Panel) -> np.ndarray:
    """``(slow, fast)`` bool: pixels that hold a measurement, masked rectangles excluded."""
    low, high = panel.trusted_range
    good: np.ndarray = (image >= max(low, 0)) & (image <= high)
    for fast0, slow0, fast1, slow1 in panel.masked:
        good[slow0:slow1, fast0:fast1] = False
    return good


def _frame_task(
    source: FrameSource,
    detector: Detector,
    noise: tuple[np.ndarray, ...],
    options: SpotOptions,
) -> Callable[[int], tuple[Regions, ...]]:
    def task(index: int) -> tuple[Regions, ...]:
        return tuple(
            _panel_regions(image, panel, factor, options)
            for image, panel, factor in zip(
                source.read(index), detector.panels, noise, strict=True
            )
        )

    return task


def _panel_regions(
    image: np.ndarray, panel: Panel, noise: np.ndarray, options: SpotOptions
) -> Regions:
    # An overloaded pixel is part of a spot: it counts as the largest value that can be trusted.
    high = int(panel.trusted_range[1])
    overloaded = (image == OVERLOADED) | (image > high)
    if overloaded.any():
        largest = min(high, int(image.max())) if high > 2**24 else high
        image = np.where(overloaded, np.int32(max(largest, 1)), image)
    good = good_pixels(image, panel)
    strong, excess, background = strong_pixels(
        image,
        good,
        panel,
        noise,
        window=options.window,
        sigma_dispersion=options.sigma_dispersion,
        sigma_strong=options.sigma_strong,
    )
    index = np.flatnonzero(strong)
    row, column = np.divmod(index, image.shape[1])
    above, below = excess.ravel()[index], background.ravel()[index]
    own, least = surprise(above, below, noise[row // TILE, column // TILE], options.sigma_strong)
    return join_regions(
        StrongPixels(
            index=index,
            width=image.shape[1],
            excess=above,
            overloaded=overloaded.ravel()[index],
            cut=beside_a_gap(good, index),
            surprise=own,
            least_surprise=least,
        )
    )
