"""The mean and the spread of the intensity by resolution, from rows or from sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.expectation import (
    Expectation,
    ShellSums,
    mean_by_shell,
    with_variance,
)
from unstill.reduction.merging.representatives import unpacked
from unstill.reduction.merging.voxel_sums import SortedRows, VoxelSums, voxel_sums
from unstill.shapes import Float, Int

_N_BINS = 960

Parts = Callable[[], Iterable[SortedRows]]
"""All rows, whole voxels at a time, as often as they are asked for."""


def expected_intensity(
    parts: Parts, crystal: Crystal, divisions: Triple, model: ErrorModel
) -> Expectation:
    """Estimate what intensity to expect at a resolution.

    The mean is Σ (counts − B) / Σ e of each shell. The spread of the true
    intensity is what the scatter of the voxels leaves when their own variance
    is subtracted.

    Parameters
    ----------
    parts
        Gives the rows, twice.
    crystal, divisions
        The lattice.
    model
        Variance of counts.
    """
    s_max = max((float(_s(crystal, divisions, rows.key).max()) for rows in parts()), default=1.0)
    first = mean_by_shell(
        crystal, divisions, _bins(parts(), crystal, divisions, s_max=max(s_max, 1e-9))
    )
    weight, excess = np.zeros(len(first.s)), np.zeros(len(first.s))
    for rows in parts():
        _add_spread(voxel_sums(rows, first, model), first, model, weight, excess)
    return with_variance(first, weight, excess)


def shrunk_intensity(
    sums: VoxelSums, expectation: Expectation, model: ErrorModel
) -> Float[np.ndarray, " v"]:
    r"""Intensity to expect of a voxel, given its counts and its resolution.

    .. math:: I^* = \frac{\hat I/\sigma^2 + \bar I/v}{1/\sigma^2 + 1/v}

    with mean and spread of the shell; for pure Poisson counts the posterior
    mean of a gamma prior. Variances are taken here, never at the counts
    themselves: a voxel without counts is not known exactly.
    """
    mean, spread = expectation.mean_at(sums.key), expectation.variance_at(sums.key)
    exposure = sums.exposure.sum(axis=1)
    seen = exposure > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        own = sums.signal.sum(axis=1) / exposure
        variance = variance_of(sums, mean, model)
        share = spread / (spread + variance)
        shrunk = mean + share * (own - mean)
    # A background that was subtracted too far is no reason to be certain.
    expected: np.ndarray = np.where(seen, np.maximum(shrunk, 0.01 * mean), mean)
    return expected


def variance_of(
    sums: VoxelSums,
    intensity: Float[np.ndarray, " v"],
    model: ErrorModel,
    cells: tuple[int, ...] = (0, 1, 2, 3),
) -> Float[np.ndarray, " v"]:
    """Variance of the mean over some cells, if the intensity is so much."""
    chosen = list(cells)
    slope, level, square, noise, exposure = (
        column[:, chosen].sum(axis=1)
        for column in (sums.slope, sums.level, sums.square, sums.noise, sums.exposure)
    )
    counts = np.maximum(slope * intensity + level, 0.01 * slope * intensity)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance: np.ndarray = (
            model.gain * counts + model.relative**2 * square * intensity**2 + noise
        ) / exposure**2
    return variance


def _bins(
    parts: Iterable[SortedRows], crystal: Crystal, divisions: Triple, *, s_max: float
) -> ShellSums:
    n, radius = np.zeros(_N_BINS, dtype=np.int64), np.zeros(_N_BINS)
    signal, exposure = np.zeros(_N_BINS), np.zeros(_N_BINS)
    for rows in parts:
        s = _s(crystal, divisions, rows.key)
        bin_of = np.minimum((s / s_max * _N_BINS).astype(np.int64), _N_BINS - 1)
        n += np.bincount(bin_of, minlength=_N_BINS)
        # One addition after the other: no bit depends on where the parts are cut.
        np.add.at(radius, bin_of, s)
        of_row = bin_of[rows.voxel]
        for total, column in ((signal, rows.signal), (exposure, rows.exposure)):
            np.add.at(total, of_row, np.where(rows.kept, column, 0.0))
    return ShellSums(n, radius, signal, exposure)


def _add_spread(
    sums: VoxelSums,
    first: Expectation,
    model: ErrorModel,
    total: np.ndarray,
    total_excess: np.ndarray,
) -> None:
    """Add weights, and weighted (deviation² − σ²), by knot of the expectation."""
    seen = sums.exposure.sum(axis=1) > 0
    mean = first.mean_at(sums.key)[seen]
    variance = variance_of(sums, first.mean_at(sums.key), model)[seen]
    own = sums.signal.sum(axis=1)[seen] / sums.exposure.sum(axis=1)[seen]
    weight = 1 / (variance + mean**2) ** 2
    middle = (first.s[1:] + first.s[:-1]) / 2
    knot = np.searchsorted(middle, first.s_of(sums.key)[seen])
    np.add.at(total, knot, weight)
    np.add.at(total_excess, knot, weight * ((own - mean) ** 2 - variance))


def _s(crystal: Crystal, divisions: Triple, key: Int[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
    s: np.ndarray = np.sqrt(crystal.s_squared(unpacked(key) / np.array(divisions)))
    return s
