"""Spots: strong pixels joined over consecutive frames, and their centroids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from unstill.experiment import OVERLOADED, Detector, Experiment, FrameSource, Panel
from unstill.experiment.pixels import scattering_vectors
from unstill.parallel import ordered_map
from unstill.reduction.indexing.spot_regions import SUMS, Regions, join_regions
from unstill.reduction.indexing.strong_pixels import SMEARS, noise_factor, strong_pixels

_NOISE_FRAMES = 3
_FRAMES_A_WORKER = 20
_TORN = 0.1
_PERSISTENT = 0.6
_FEWEST_FRAMES, _LEAST_TURN = 5, 3.0


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


@dataclass(frozen=True, eq=False)
class Spots:
    """Observed spots, one a row.

    Parameters
    ----------
    panel
        ``(n,)`` int.
    fast, slow
        ``(n,)`` centroid, continuous pixel coordinates.
    frame
        ``(n,)`` centroid along the scan; i + 0.5 is the middle of frame i.
    variance
        ``(n, 3)`` of fast and slow (px²) and frame (frames²).
    intensity
        ``(n,)`` photons above background.
    n_pixels
        ``(n,)`` strong pixels.
    first_frame, last_frame
        ``(n,)`` frames that it was seen on, both included.
    overloaded
        ``(n,)`` whether a pixel counted too much.
    """

    panel: np.ndarray
    fast: np.ndarray
    slow: np.ndarray
    frame: np.ndarray
    variance: np.ndarray
    intensity: np.ndarray
    n_pixels: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    overloaded: np.ndarray

    def __len__(self) -> int:
        return len(self.panel)

    def select(self, keep: np.ndarray) -> Spots:
        """Return some of the spots: a mask or indices."""
        return Spots(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})

    def scattering_vectors(self, experiment: Experiment) -> np.ndarray:
        """``(n, 3)`` s = s₁ − s₀ of the centroids in the laboratory (Å⁻¹)."""
        vectors = np.empty((len(self), 3))
        for i, panel in enumerate(experiment.detector.panels):
            here = self.panel == i
            vectors[here] = scattering_vectors(
                experiment.beam, panel, self.fast[here], self.slow[here]
            )
        return vectors


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
    sums of regions are kept: memory does not grow with the images.

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
    spots = _link(frames, joined=is_contiguous(experiment))
    smears = min(float(np.median(factor)) for factor in noise) < SMEARS
    smallest = options.min_pixels or (6 if smears else 3)
    size = (spots.n_pixels >= smallest) & (spots.n_pixels <= options.max_pixels)
    spots = spots.select(size & ~_persistent(experiment, spots))
    spots = spots.select(~_fragments(spots))
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


def _persistent(experiment: Experiment, spots: Spots) -> np.ndarray:
    """Which spots stay at one place on most frames: defects, or the direct beam."""
    scan = experiment.scan
    n = experiment.n_frames
    none = np.zeros(len(spots), bool)
    if scan is None or n < _FEWEST_FRAMES or abs(scan.phi_step) * n < _LEAST_TURN:
        return none
    seen = spots.last_frame - spots.first_frame + 1
    places = np.stack([spots.panel, np.rint(spots.fast / 3), np.rint(spots.slow / 3)], axis=1)
    _, place = np.unique(places, axis=0, return_inverse=True)
    together = np.bincount(place.ravel(), weights=seen)
    constant: np.ndarray = together[place.ravel()] > _PERSISTENT * n
    return constant


def _fragments(spots: Spots) -> np.ndarray:
    """Which spots are torn-off tails of a spot ten times as strong, within its own size."""
    n_frames = spots.last_frame - spots.first_frame + 1
    reach = 2 + 1.5 * np.sqrt(spots.n_pixels / n_frames / np.pi)
    torn = np.zeros(len(spots), bool)
    for panel in np.unique(spots.panel):
        here = np.flatnonzero(spots.panel == panel)
        tree = cKDTree(np.stack([spots.fast[here], spots.slow[here]], axis=1))
        close = tree.query_ball_point(tree.data, reach[here], return_sorted=True)
        for strong, around in zip(here, close, strict=True):
            if len(around) > 1:
                near = here[around]
                weak = spots.intensity[near] < _TORN * spots.intensity[strong]
                weak &= spots.first_frame[near] <= spots.last_frame[strong] + 1
                weak &= spots.last_frame[near] >= spots.first_frame[strong] - 1
                torn[near[weak]] = True
    return torn


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
    strong, excess = strong_pixels(
        image,
        good,
        panel,
        noise,
        window=options.window,
        sigma_dispersion=options.sigma_dispersion,
        sigma_strong=options.sigma_strong,
    )
    return join_regions(strong, excess, overloaded)


def _link(frames: Iterator[tuple[Regions, ...]], *, joined: bool) -> Spots:
    """Join regions of consecutive frames that share a pixel, and add their sums up."""
    sums: list[np.ndarray] = []
    panels: list[np.ndarray] = []
    at_frame: list[np.ndarray] = []
    pairs: list[np.ndarray] = []
    before: list[tuple[np.ndarray, np.ndarray]] = []
    n = 0
    for index, regions in enumerate(frames):
        now = []
        for p, part in enumerate(regions):
            region = part.region + n
            if joined and before:
                pairs.append(_shared(before[p], (part.pixel, region)))
            now.append((part.pixel, region))
            sums.append(part.sums)
            panels.append(np.full(len(part.sums), p))
            at_frame.append(np.full(len(part.sums), index))
            n += len(part.sums)
        before = now
    links = np.concatenate([np.empty((0, 2), int), *pairs])
    graph = coo_matrix((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(n, n))
    n_spots, spot = connected_components(graph, directed=False)
    return _spots_of(
        np.concatenate([np.empty((0, len(SUMS))), *sums]),
        np.concatenate([np.empty(0, int), *panels]),
        np.concatenate([np.empty(0, int), *at_frame]),
        spot,
        n_spots,
    )


def _shared(
    before: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    _, first, second = np.intersect1d(before[0], now[0], assume_unique=True, return_indices=True)
    return np.stack([before[1][first], now[1][second]], axis=1)


def _spots_of(
    sums: np.ndarray, panel: np.ndarray, frame: np.ndarray, spot: np.ndarray, n: int
) -> Spots:
    def added(values: np.ndarray) -> np.ndarray:
        return np.bincount(spot, weights=values, minlength=n)

    w = added(sums[:, 1])
    safe = np.where(w > 0, w, 1.0)
    z = frame + 0.5
    x, y, zc = added(sums[:, 2]) / safe, added(sums[:, 3]) / safe, added(sums[:, 1] * z) / safe
    spread = np.stack(
        [
            added(sums[:, 4]) / safe - x * x,
            added(sums[:, 5]) / safe - y * y,
            added(sums[:, 1] * z * z) / safe - zc * zc,
        ],
        axis=1,
    )
    first = np.full(n, np.iinfo(np.int64).max)
    last = np.full(n, -1)
    spot_panel = np.zeros(n, int)
    np.minimum.at(first, spot, frame)
    np.maximum.at(last, spot, frame)
    spot_panel[spot] = panel
    variance = (np.maximum(spread, 0) + 1 / 12) / safe[:, None]
    # On one frame the crossing may be anywhere in it, however strong the spot.
    variance[first == last, 2] = 1 / 12
    return Spots(
        panel=spot_panel,
        fast=x,
        slow=y,
        frame=zc,
        variance=variance,
        intensity=w,
        n_pixels=added(sums[:, 0]).astype(int),
        first_frame=first,
        last_frame=last,
        overloaded=added(sums[:, 7]) > 0,
    )
