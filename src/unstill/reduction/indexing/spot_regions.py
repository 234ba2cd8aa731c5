"""Strong pixels of one frame joined to regions, with what their centroids need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.compiled import kernel

SUMS = ("n", "w", "wx", "wy", "wxx", "wyy", "peak", "overloaded")
"""Columns of the sums of a region: pixels, excess photons and its moments, largest pixel, pixels
that counted too much. x and y are continuous pixel coordinates, fast and slow."""


@dataclass(frozen=True)
class Regions:
    """Regions of connected strong pixels on one panel of one frame.

    Parameters
    ----------
    sums
        ``(n_regions, 8)``; columns as in ``SUMS``.
    pixel
        ``(n_pixels,)`` flat index of every strong pixel, ascending.
    region
        ``(n_pixels,)`` the region that it belongs to.
    """

    sums: np.ndarray
    pixel: np.ndarray
    region: np.ndarray


def join_regions(strong: np.ndarray, excess: np.ndarray, overloaded: np.ndarray) -> Regions:
    """Join strong pixels that touch, also at a corner.

    Parameters
    ----------
    strong
        ``(slow, fast)`` uint8.
    excess
        ``(slow, fast)`` photons above background.
    overloaded
        ``(slow, fast)`` bool: pixels that counted too much.
    """
    pixel = np.flatnonzero(strong)
    parent = np.arange(len(pixel))
    _join(pixel, strong.shape[1], parent)
    _, region = np.unique(parent, return_inverse=True)
    rows, columns = np.divmod(pixel, strong.shape[1])
    x, y = columns + 0.5, rows + 0.5
    w = excess.ravel()[pixel].astype(float)
    n = int(region.max()) + 1 if len(region) else 0
    sums = np.zeros((n, len(SUMS)))
    columns_of = (np.ones(len(pixel)), w, w * x, w * y, w * x * x, w * y * y)
    for i, values in enumerate(columns_of):
        sums[:, i] = np.bincount(region, weights=values, minlength=n)
    np.maximum.at(sums[:, 6], region, w)
    sums[:, 7] = np.bincount(region, weights=overloaded.ravel()[pixel], minlength=n)
    return Regions(sums, pixel, region)


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
