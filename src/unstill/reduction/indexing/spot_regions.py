"""Strong pixels of one frame joined to regions, with what their centroids need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.compiled import kernel

SUMS = (
    "n", "w", "wx", "wy", "wxx", "wyy", "overloaded", "cut", "surprise", "least_surprise",
)  # fmt: skip
"""Columns of the sums of a region: pixels, excess photons and its moments, pixels that counted too
much, pixels beside one that holds no measurement, and how surprising its pixels are in all. x and
y are continuous pixel coordinates, fast and slow."""


@dataclass(frozen=True, eq=False)
class StrongPixels:
    """The strong pixels of one panel of one frame.

    Parameters
    ----------
    index
        ``(n,)`` flat, ascending.
    width
        Pixels of a row.
    excess
        ``(n,)`` photons above background.
    overloaded
        ``(n,)`` which counted too much.
    cut
        ``(n,)`` which touch the edge of the panel or a pixel that holds no measurement.
    surprise, least_surprise
        ``(n,)`` see :func:`unstill.reduction.indexing.significance.surprise`.
    """

    index: np.ndarray
    width: int
    excess: np.ndarray
    overloaded: np.ndarray
    cut: np.ndarray
    surprise: np.ndarray
    least_surprise: np.ndarray


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of connected strong pixels on one panel of one frame.

    Parameters
    ----------
    sums
        ``(n_regions, 10)``; columns as in ``SUMS``.
    pixel
        ``(n_pixels,)`` flat index of every strong pixel, ascending.
    region
        ``(n_pixels,)`` the region that it belongs to.
    """

    sums: np.ndarray
    pixel: np.ndarray
    region: np.ndarray


def join_regions(strong: StrongPixels) -> Regions:
    """Join strong pixels that touch, also at a corner."""
    parent = np.arange(len(strong.index))
    _join(strong.index, strong.width, parent)
    _, region = np.unique(parent, return_inverse=True)
    rows, columns = np.divmod(strong.index, strong.width)
    x, y = columns + 0.5, rows + 0.5
    w = strong.excess.astype(float)
    values = (
        np.ones(len(w)), w, w * x, w * y, w * x * x, w * y * y, strong.overloaded, strong.cut,
        strong.surprise, strong.least_surprise,
    )  # fmt: skip
    n = int(region.max()) + 1 if len(region) else 0
    sums = np.stack([np.bincount(region, weights=one, minlength=n) for one in values], axis=1)
    return Regions(sums, strong.index, region)


def beside_a_gap(good: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``(n,)`` bool: which pixels have a neighbour that is not good or off the panel.

    Parameters
    ----------
    good
        ``(slow, fast)`` bool.
    index
        ``(n,)`` flat indices of pixels.
    """
    framed = np.pad(good, 1, constant_values=False)
    rows, columns = np.divmod(index, good.shape[1])
    cut = np.zeros(len(index), bool)
    for i in range(3):
        for j in range(3):
            cut |= ~framed[rows + i, columns + j]
    return cut


@kernel
def _root(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _join(pixel, width, parent):  # type: ignore[no-untyped-def]
    """Union of each pixel with its left neighbour and the three above; roots in ``parent``."""
    above = 0
    for k in range(len(pixel)):
        column = pixel[k] % width
        if k > 0 and column > 0 and pixel[k - 1] == pixel[k] - 1:
            a, b = _root(parent, k - 1), _root(parent, k)
            parent[max(a, b)] = min(a, b)
        low = pixel[k] - width - (1 if column > 0 else 0)
        high = pixel[k] - width + (1 if column < width - 1 else 0)
        while above < k and pixel[above] < low:
            above += 1
        other = above
        while other < k and pixel[other] <= high:
            a, b = _root(parent, other), _root(parent, k)
            parent[max(a, b)] = min(a, b)
            other += 1
    for k in range(len(pixel)):
        parent[k] = _root(parent, k)
