"""Regions of frames linked to spots."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from unstill.reduction.indexing.significance import is_significant
from unstill.reduction.indexing.spot_regions import SUMS, Regions
from unstill.reduction.indexing.spots import Spots


def link_regions(frames: Iterable[tuple[Regions, ...]], *, joined: bool, n_tried: float) -> Spots:
    """Join regions of consecutive frames that share a pixel, and add their sums up.

    Parameters
    ----------
    frames
        Regions of the panels of every frame.
    joined
        Whether a spot may go on from frame to frame; else each is of one frame.
    n_tried
        Pixels of all frames: what noise would show among them is left out.
    """
    sums: list[np.ndarray] = []
    panels: list[np.ndarray] = []
    at_frame: list[np.ndarray] = []
    pairs: list[np.ndarray] = []
    before: list[tuple[np.ndarray, np.ndarray]] = []
    n, index = 0, -1
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
        last_frame=index if joined else None,
        n_tried=n_tried,
    )


def _shared(
    before: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    _, first, second = np.intersect1d(before[0], now[0], assume_unique=True, return_indices=True)
    return np.stack([before[1][first], now[1][second]], axis=1)


def _spots_of(
    sums: np.ndarray,
    panel: np.ndarray,
    frame: np.ndarray,
    spot: np.ndarray,
    n: int,
    *,
    last_frame: int | None,
    n_tried: float,
) -> Spots:
    def added(values: np.ndarray) -> np.ndarray:
        return np.bincount(spot, weights=values, minlength=n)

    total = {name: added(sums[:, i]) for i, name in enumerate(SUMS)}
    w = np.where(total["w"] > 0, total["w"], 1.0)
    z = frame + 0.5
    x, y, zc = total["wx"] / w, total["wy"] / w, added(sums[:, 1] * z) / w
    spread = np.stack(
        [
            total["wxx"] / w - x * x,
            total["wyy"] / w - y * y,
            added(sums[:, 1] * z * z) / w - zc * zc,
        ],
        axis=1,
    )
    first = np.full(n, np.iinfo(np.int64).max)
    last = np.full(n, -1)
    spot_panel = np.zeros(n, int)
    np.minimum.at(first, spot, frame)
    np.maximum.at(last, spot, frame)
    spot_panel[spot] = panel
    cut = total["cut"] > 0
    at_end = np.zeros(n, bool)
    if last_frame is not None:
        at_end = (first == 0) | (last == last_frame)
    variance = (np.maximum(spread, 0) + 1 / 12) / w[:, None]
    # On one frame the crossing may be anywhere in it, however strong the spot.
    variance[first == last, 2] = 1 / 12
    # The centroid of a part may be off by as much as the part is wide.
    n_frames = last - first + 1
    variance[cut, :2] += (total["n"] / n_frames / np.pi)[cut, None]
    variance[at_end, 2] += n_frames[at_end] ** 2
    spots = Spots(
        panel=spot_panel,
        fast=x,
        slow=y,
        frame=zc,
        variance=variance,
        intensity=total["w"],
        n_pixels=total["n"].astype(int),
        first_frame=first,
        last_frame=last,
        overloaded=total["overloaded"] > 0,
        cut=cut,
        at_end=at_end,
    )
    believed = is_significant(total["n"], total["surprise"], total["least_surprise"], n_tried)
    return spots.select(believed)
