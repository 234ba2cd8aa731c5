"""Rows in the order of their voxels, and the sums over each voxel that merging needs.

Counts of a row: counts ≈ e I + B, with e = exposure · scale the signal for
unit intensity and B = background + exposure · offset. With fixed weights ω

    I = Σ ω (counts − B) / Σ ω e

so that everything that is kept of a voxel adds up over blocks and sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from unstill.errors import InputError
from unstill.maps.observations import Observations
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.expectation import Expectation
from unstill.reduction.merging.halves import hashed_half, resolved
from unstill.reduction.merging.representatives import (
    packed,
    packed_representatives,
    representatives,
)
from unstill.shapes import Float, Int, Integer

ROWS_AT_ONCE = 1 << 20
"""Rows in work at a time; temporaries take about 150 bytes a row."""

N_CELLS = 4
"""Random half × Friedel half: cell = random + 2 · Friedel."""


@dataclass(frozen=True, eq=False)
class SortedRows:
    """Rows of whole voxels, ordered by voxel, sweep, block and index as measured.

    Parameters
    ----------
    key
        ``(v,)`` packed representative of each voxel, ascending.
    voxel
        ``(n,)`` number of the voxel of each row.
    cell
        ``(n,)`` 0–3, random half + 2 · Friedel half.
    kept
        ``(n,)`` bool.
    signal
        ``(n,)`` counts − B.
    exposure
        ``(n,)`` e.
    flat
        ``(n,)`` B.
    background_sigma, volume
        As in the observations.
    """

    key: Int[np.ndarray, " v"]
    voxel: Int[np.ndarray, " n"]
    cell: Integer[np.ndarray, " n"]
    kept: np.ndarray
    signal: Float[np.ndarray, " n"]
    exposure: Float[np.ndarray, " n"]
    flat: Float[np.ndarray, " n"]
    background_sigma: Float[np.ndarray, " n"]
    volume: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class VoxelSums:
    """What is kept of a voxel; parts of one voxel add up.

    Parameters
    ----------
    key
        ``(v,)`` packed representative.
    n
        ``(v, 4)`` rows by cell.
    n_rejected
        ``(v,)`` rows left out.
    signal, exposure
        ``(v, 4)`` Σ ω (counts − B) and Σ ω e.
    slope, level, square
        ``(v, 4)`` Σ ω² e, Σ ω² B and Σ ω² e²: variance of the signal is
        g (slope I + level) + k² square I² + noise.
    noise
        ``(v, 4)`` Σ ω² σ_b².
    volume
        ``(v,)`` Σ of the reciprocal volume of kept rows.
    """

    key: Int[np.ndarray, " v"]
    n: Int[np.ndarray, "v 4"]
    n_rejected: Int[np.ndarray, " v"]
    signal: Float[np.ndarray, "v 4"]
    exposure: Float[np.ndarray, "v 4"]
    slope: Float[np.ndarray, "v 4"]
    level: Float[np.ndarray, "v 4"]
    square: Float[np.ndarray, "v 4"]
    noise: Float[np.ndarray, "v 4"]
    volume: Float[np.ndarray, " v"]


@dataclass(frozen=True, eq=False)
class RowOrder:
    """Rows of a table in the order of their voxels; see :func:`order_rows`.

    Parameters
    ----------
    observations, scale, offset, kept
        As given.
    order
        ``(n,)`` row at each place.
    key
        ``(n,)`` packed representative, ascending.
    cell
        ``(n,)`` uint8 cell at each place.
    rows_at_once
        About how many rows a part has.
    """

    observations: Observations
    scale: Float[np.ndarray, " n"]
    offset: Float[np.ndarray, " n"]
    kept: np.ndarray
    order: Int[np.ndarray, " n"]
    key: Int[np.ndarray, " n"]
    cell: Integer[np.ndarray, " n"]
    rows_at_once: int = ROWS_AT_ONCE

    def parts(self) -> Iterator[tuple[slice, SortedRows]]:
        """Yield whole voxels at a time: places and their rows."""
        for begin, end in _ranges(self.key, self.rows_at_once):
            places = slice(begin, end)
            yield places, self._part(places)

    def _part(self, places: slice) -> SortedRows:
        rows, key = self.order[places], self.key[places]
        observed = self.observations
        exposure = observed.exposure[rows]
        flat = observed.background[rows] + exposure * self.offset[rows]
        effective = exposure * self.scale[rows]
        first = np.r_[True, key[1:] != key[:-1]]
        return SortedRows(
            key=key[first],
            voxel=np.cumsum(first) - 1,
            cell=self.cell[places],
            # A row without exposure saw nothing.
            kept=self.kept[rows] & (effective > 0),
            signal=observed.counts[rows] - flat,
            exposure=effective,
            flat=flat,
            background_sigma=observed.background_sigma[rows],
            volume=observed.volume[rows],
        )


def order_rows(
    observations: Observations,
    scale: Float[np.ndarray, " n"],
    offset: Float[np.ndarray, " n"],
    *,
    keep: np.ndarray | None = None,
    operations: Int[np.ndarray, "n_operations 3 3"],
    laue: Int[np.ndarray, "n_laue 3 3"],
    seed: int = 0,
    rows_at_once: int = ROWS_AT_ONCE,
) -> RowOrder:
    """Order rows by voxel, sweep, block and index: where they stood has no part in it.

    Parameters
    ----------
    observations, scale, offset
        Rows and their model.
    keep
        ``(n,)`` bool, False for rejected rows; all by default.
    operations
        What makes voxels one.
    laue
        The group that tells the Friedel halves apart.
    seed
        Of the random halves.
    rows_at_once
        About how many rows a part has.

    Raises
    ------
    InputError
        If columns differ in length, or a kept row has a scale that is not positive.
    """
    kept = _checked(observations, scale, offset, keep)
    key = packed_representatives(operations, observations.index)
    order = np.argsort(key, kind="stable")
    key = key[order]
    cell = np.empty(len(order), dtype=np.uint8)
    for begin, end in _ranges(key, rows_at_once):
        rows = order[begin:end]
        rows = rows[_inner_order(observations, key[begin:end], rows)]
        order[begin:end] = rows
        index = observations.index[rows]
        random = hashed_half(
            seed, observations.sweep[rows], observations.block[rows], *np.moveaxis(index, -1, 0)
        )
        cell[begin:end] = random + 2 * resolved(representatives(laue, index)[1], random)
    return RowOrder(observations, scale, offset, kept, order, key, cell, rows_at_once)


def voxel_sums(rows: SortedRows, expectation: Expectation, model: ErrorModel) -> VoxelSums:
    """Add up the rows of each voxel, in order.

    The weights ω = e / variance use the intensity that is expected at the
    resolution of the voxel, and not what the voxel counted: they are fixed
    numbers, so that the mean stays unbiased at any count.
    """
    number = len(rows.key)
    intensity = expectation.mean_at(rows.key)[rows.voxel]
    weight = weights_of(rows.exposure, rows.flat, rows.background_sigma, intensity, model)
    weight = np.where(rows.kept, weight, 0.0)
    slot = rows.voxel * N_CELLS + rows.cell

    def by_cell(values: np.ndarray) -> np.ndarray:
        # One addition after the other, in the order of the rows.
        total = np.bincount(slot, weights=values, minlength=number * N_CELLS)
        return total.reshape(number, N_CELLS)

    squared = weight**2
    return VoxelSums(
        key=rows.key,
        n=by_cell(rows.kept.astype(float)).astype(np.int64),
        n_rejected=np.bincount(rows.voxel, weights=~rows.kept, minlength=number).astype(np.int64),
        signal=by_cell(weight * rows.signal),
        exposure=by_cell(weight * rows.exposure),
        slope=by_cell(squared * rows.exposure),
        level=by_cell(squared * rows.flat),
        square=by_cell(squared * rows.exposure**2),
        noise=by_cell(squared * rows.background_sigma**2),
        volume=np.bincount(
            rows.voxel, weights=np.where(rows.kept, rows.volume, 0.0), minlength=number
        ),
    )


def add_sums(parts: Sequence[VoxelSums]) -> VoxelSums:
    """Add up sums of the same voxels from separate blocks or sweeps, in the order given.

    The sum of parts is the whole if all were made with one expectation and one
    error model.

    Raises
    ------
    InputError
        If there is no part.
    """
    if not parts:
        raise InputError("no sums to add", fix="give one part at least")
    key = np.unique(np.concatenate([part.key for part in parts]))
    totals = {}
    for item in fields(VoxelSums):
        if item.name == "key":
            continue
        shape = (len(key), *getattr(parts[0], item.name).shape[1:])
        total = np.zeros(shape, dtype=getattr(parts[0], item.name).dtype)
        for part in parts:
            # The keys of one part are all different.
            total[np.searchsorted(key, part.key)] += getattr(part, item.name)
        totals[item.name] = total
    return VoxelSums(key=key, **totals)


def weights_of(
    exposure: Float[np.ndarray, " n"],
    flat: Float[np.ndarray, " n"],
    background_sigma: Float[np.ndarray, " n"],
    intensity: Float[np.ndarray, " n"],
    model: ErrorModel,
) -> Float[np.ndarray, " n"]:
    """Weights ω = e I / variance of rows, for an expected intensity I of each.

    Where counts are Poisson, without background and gain 1, ω = 1: the ratio
    of sums, which is the maximum-likelihood estimate.
    """
    signal = exposure * intensity
    # A background that was subtracted too far must not make a row count for everything.
    expected = np.maximum(signal + flat, 0.01 * signal)
    variance = model.variance(expected, signal, background_sigma)
    usable = (variance > 0) & (signal > 0)
    weight: np.ndarray = np.where(usable, signal / np.where(usable, variance, 1.0), 0.0)
    return weight


def _inner_order(observations: Observations, key: np.ndarray, rows: np.ndarray) -> np.ndarray:
    index = packed(observations.index[rows])
    place = (observations.sweep[rows].astype(np.int64) << 32) | observations.block[rows]
    order = np.lexsort((index, place, key))
    one, other = order[:-1], order[1:]
    tied = (key[one] == key[other]) & (place[one] == place[other]) & (index[one] == index[other])
    if not tied.any():
        return order
    # One voxel on two panels in one block: the rest of the row decides.
    further = [
        getattr(observations, name)[rows] for name in ("exposure", "counts", "phi", "panel")
    ]
    return np.lexsort((*further, index, place, key))


def _ranges(key: np.ndarray, rows_at_once: int) -> Iterator[tuple[int, int]]:
    """Cut sorted keys into ranges of whole voxels."""
    begin = 0
    while begin < len(key):
        end = min(begin + rows_at_once, len(key))
        if end < len(key):
            first = int(np.searchsorted(key, key[end], side="left"))
            end = first if first > begin else int(np.searchsorted(key, key[end], side="right"))
        yield begin, end
        begin = end


def _checked(
    observations: Observations, scale: np.ndarray, offset: np.ndarray, keep: np.ndarray | None
) -> np.ndarray:
    number = len(observations)
    kept = np.ones(number, bool) if keep is None else np.asarray(keep, bool)
    for name, column in (("scale", scale), ("offset", offset), ("keep", kept)):
        if np.shape(column) != (number,):
            raise InputError(
                f"{name} does not fit the observations",
                found=f"shape {np.shape(column)} for {number} rows",
                fix="give one value a row",
            )
    columns = (observations.counts, observations.exposure, observations.background)
    sound = np.isfinite(offset) & np.isfinite(scale) & (scale > 0)
    for column in columns:
        sound &= np.isfinite(column)
    wrong = int(np.count_nonzero(kept & ~sound))
    if wrong:
        raise InputError(
            "rows cannot be merged: counts, exposure, background, scale and offset must be "
            "finite and scales positive",
            found=f"{wrong} of {number} rows",
            fix="scale again, or leave these rows out (keep)",
        )
    return kept
