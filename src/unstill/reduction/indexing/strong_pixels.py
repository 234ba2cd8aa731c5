"""Pixels that stand out of their surroundings, by the dispersion of counts.

Where counts are Poisson, variance and mean of a small window agree; a spot
raises the variance. The first pass marks windows of high dispersion; the second
compares each of their pixels with the mean of the unmarked pixels around it.

References
----------
Kabsch (2010), doi:10.1107/S0907444909047374; Winter et al. (2018), doi:10.1107/S2059798317017235.
"""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel
from unstill.experiment import Panel

TILE = 64
"""Pixels along the side of a tile for which the noise is measured."""

SMEARS = 0.7
"""A detector whose noise is below this share of Poisson's spreads its light over pixels."""

_SAMPLE = 4
_ENOUGH_COUNTS = 10.0


def strong_pixels(
    image: np.ndarray,
    good: np.ndarray,
    panel: Panel,
    noise: np.ndarray,
    *,
    window: int = 3,
    sigma_dispersion: float = 6.0,
    sigma_strong: float = 3.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mark the strong pixels of one panel.

    Parameters
    ----------
    image
        ``(slow, fast)`` int32 pixel values.
    good
        ``(slow, fast)`` bool: pixels that hold a measurement.
    panel
        Gives gain and pedestal.
    noise
        Ratio of variance to mean of the background, in tiles; see :func:`noise_factor`.
    window
        Half the side of the window of the first pass (pixels); the second takes 4 more.
    sigma_dispersion, sigma_strong
        Standard deviations by which the dispersion, and the pixel, must stand out.

    Returns
    -------
    strong, excess, background
        ``(slow, fast)`` uint8, and float32 photons above the local background, and that
        background; both 0 where no pixel is strong.
    """
    marked = np.zeros(image.shape, np.uint8)
    strong = np.zeros(image.shape, np.uint8)
    excess = np.zeros(image.shape, np.float32)
    background = np.zeros(image.shape, np.float32)
    gain, pedestal = float(panel.gain), float(panel.pedestal)
    _mark_windows(image, good, marked, noise, TILE, window, gain, pedestal, sigma_dispersion)
    _compare(
        image, good, marked, noise, TILE, window + 4, gain, pedestal, sigma_strong,
        strong, excess, background,
    )  # fmt: skip
    return strong, excess, background


def noise_factor(
    images: list[np.ndarray], goods: list[np.ndarray], panel: Panel, *, window: int = 3
) -> np.ndarray:
    """Ratio of variance to mean (photons) of the background, in tiles of a panel.

    1 for photon counters. The pixels of a CCD share their light with their
    neighbours, which lowers the ratio, and structured scattering raises it: the
    median over a tile is what a window without a spot shows.

    Parameters
    ----------
    images, goods
        Some frames and their good pixels.
    """
    sums = [
        _ratios(image, good, _SAMPLE, window, float(panel.gain), float(panel.pedestal))
        for image, good in zip(images, goods, strict=True)
    ]
    ratio = np.stack([part[0] for part in sums])
    ratio[np.stack([part[1] for part in sums]) < _ENOUGH_COUNTS] = np.nan
    side = TILE // _SAMPLE
    rows, columns = -(-ratio.shape[1] // side), -(-ratio.shape[2] // side)
    factor = np.full((rows, columns), np.nan)
    for i in range(rows):
        for j in range(columns):
            tile = ratio[:, i * side : (i + 1) * side, j * side : (j + 1) * side]
            tile = tile[np.isfinite(tile)]
            if tile.size >= side * side // 8:
                factor[i, j] = np.median(tile)
    known = np.isfinite(factor)
    usual = float(np.median(factor[known])) if known.any() else 1.0
    # Only a detector that smears light goes below Poisson noise; a low count does so by chance.
    smallest = 0.1 if usual < SMEARS else 1.0
    factor[~known] = usual
    clipped: np.ndarray = np.maximum(factor, smallest)
    return clipped


@kernel
def _shift_rows(image, good, row, window, counts, sums, squares):  # type: ignore[no-untyped-def]
    """Move the sums over columns on to the window around ``row``; integers, hence exact."""
    n_rows, n_columns = image.shape
    first = 0 if row == 0 else row + window
    for i in range(first, min(row + window, n_rows - 1) + 1):
        for j in range(n_columns):
            if good[i, j]:
                value = np.int64(image[i, j])
                counts[j] += 1
                sums[j] += value
                squares[j] += value * value
    old = row - window - 1
    if old >= 0:
        for j in range(n_columns):
            if good[old, j]:
                value = np.int64(image[old, j])
                counts[j] -= 1
                sums[j] -= value
                squares[j] -= value * value


@kernel
def _dispersion(n, total, square, gain, pedestal):  # type: ignore[no-untyped-def]
    """Mean (photons) of a window and the ratio of its variance to it."""
    mean = total / n
    variance = (square - mean * total) / (n - 1) / (gain * gain)
    photons = (mean - pedestal) / gain
    return photons, (variance / photons if photons > 0 else 0.0)


@kernel
def _ratios(image, good, step, window, gain, pedestal):  # type: ignore[no-untyped-def]
    n_rows, n_columns = image.shape
    ratio = np.full((-(-n_rows // step), -(-n_columns // step)), np.nan)
    total_of = np.zeros(ratio.shape)
    counts = np.zeros(n_columns, np.int64)
    sums = np.zeros(n_columns, np.int64)
    squares = np.zeros(n_columns, np.int64)
    for row in range(n_rows):
        _shift_rows(image, good, row, window, counts, sums, squares)
        if row % step:
            continue
        for column in range(0, n_columns, step):
            n, total, square = 0, 0, 0
            for j in range(max(column - window, 0), min(column + window + 1, n_columns)):
                n += counts[j]
                total += sums[j]
                square += squares[j]
            if n < 2 * window * window:
                continue
            mean, value = _dispersion(n, total, square, gain, pedestal)
            ratio[row // step, column // step] = value
            total_of[row // step, column // step] = mean * n
    return ratio, total_of


@kernel
def _mark_windows(  # type: ignore[no-untyped-def]
    image, good, marked, noise, tile, window, gain, pedestal, sigma
):
    n_rows, n_columns = image.shape
    counts = np.zeros(n_columns, np.int64)
    sums = np.zeros(n_columns, np.int64)
    squares = np.zeros(n_columns, np.int64)
    for row in range(n_rows):
        _shift_rows(image, good, row, window, counts, sums, squares)
        n, total, square = 0, 0, 0
        for j in range(min(window, n_columns)):
            n += counts[j]
            total += sums[j]
            square += squares[j]
        for column in range(n_columns):
            new, old = column + window, column - window - 1
            if new < n_columns:
                n += counts[new]
                total += sums[new]
                square += squares[new]
            if old >= 0:
                n -= counts[old]
                total -= sums[old]
                square -= squares[old]
            if n < 2 * window or not good[row, column]:
                continue
            _, ratio = _dispersion(n, total, square, gain, pedestal)
            limit = noise[row // tile, column // tile] * (1 + sigma * np.sqrt(2 / (n - 1)))
            if ratio > limit:
                marked[row, column] = 1


@kernel
def _compare(  # type: ignore[no-untyped-def]
    image, good, marked, noise, tile, window, gain, pedestal, sigma, strong, excess, below
):
    """Compare marked pixels with the unmarked ones around them.

    Where fewer than a fifth of the window is unmarked, with its lowest quarter instead.
    """
    n_rows, n_columns = image.shape
    values = np.empty((2 * window + 1) ** 2, np.int64)
    for row in range(n_rows):
        for column in range(n_columns):
            if not marked[row, column]:
                continue
            n, total, n_all = 0, 0.0, 0
            for i in range(max(row - window, 0), min(row + window + 1, n_rows)):
                for j in range(max(column - window, 0), min(column + window + 1, n_columns)):
                    if not good[i, j]:
                        continue
                    values[n_all] = image[i, j]
                    n_all += 1
                    if not marked[i, j]:
                        n += 1
                        total += image[i, j]
            if 5 * n >= n_all:
                background = (total / n - pedestal) / gain
            else:
                ordered = np.sort(values[:n_all])
                background = (ordered[: n_all // 4 + 1].mean() - pedestal) / gain
            above = (image[row, column] - pedestal) / gain - background
            # A background without counts has not been seen to be zero: at least one in all.
            expected = max(background, 1.0 / max(n, 1))
            factor = noise[row // tile, column // tile]
            if above > sigma * np.sqrt(factor * expected) and above > 0:
                strong[row, column] = 1
                excess[row, column] = above
                below[row, column] = expected
