r"""Rows that disagree with their mates, on both sides.

Each row is compared with what the *other* rows of its voxel, and loosely the
resolution, predict. With h the share of the row in the merged intensity,

.. math:: z = r / \sqrt{\sigma^2 (1 - h)}

is the leave-one-out residual over its standard error. At few counts the tail
probability of the counts that the others predict (negative binomial: Poisson
with an uncertain mean) takes its place, so that the skewness of Poisson counts
makes no outliers. In one voxel one row at a time is rejected: the one without
which the rest agrees best with itself and with other voxels of its resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.scaling.intensities import (
    Curve,
    Expected,
    Intensities,
    Prediction,
    expect,
    merge_voxels,
)
from unstill.reduction.scaling.rows import VoxelRows
from unstill.shapes import Bool, Float

KEPT, BRIGHT, DARK, BAD_RANGE = 0, 1, 2, 3
"""Why a row is left out."""

_CANDIDATE = 3.0
_FEW_COUNTS = 2000.0
_MOST_PASSES = 40
_SURE = 39.0


@dataclass(frozen=True, eq=False)
class Residuals:
    """How well the others predict each row.

    Parameters
    ----------
    z
        ``(n,)`` leave-one-out residual over its standard error.
    score
        ``(n,)`` the same as a normal deviate of equal tail probability; NaN
        where no other row is left to compare with.
    leverage
        ``(n,)`` share of the row in the merged intensity of its voxel.
    """

    z: Float[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]
    leverage: Float[np.ndarray, " n"]


def find_outliers(
    rows: VoxelRows,
    predicted: Prediction,
    expected: Expected,
    error_model: ErrorModel,
    kept: Bool[np.ndarray, " n"],
    *,
    cutoff: float,
    curve: Curve | None = None,
) -> Bool[np.ndarray, " n"]:
    """Decide which rows to keep, starting from those that were kept before.

    Rows whose voxel has no other kept row are never tested and stay.

    Parameters
    ----------
    rows, predicted, expected, error_model
        The rows, their scales, what is expected of voxels, and the variance.
    kept
        ``(n,)`` where to start: rows that were rejected are tried again.
    cutoff
        In standard errors.
    curve
        What to expect by resolution, where the rows are a part of all; by
        default these rows tell.

    Returns
    -------
    kept
        ``(n,)`` bool.
    """
    state = _drop_worst(rows, predicted, expected, error_model, kept.copy(), cutoff)
    for _ in range(2):
        again = _readmitted(rows, predicted, expected, error_model, state, cutoff, curve)
        if not np.any(again & ~state):
            break
        state = _drop_worst(rows, predicted, expected, error_model, again, cutoff)
    return state


def residuals(
    rows: VoxelRows,
    predicted: Prediction,
    expected: Expected,
    merged: Intensities,
    error_model: ErrorModel,
) -> Residuals:
    """Compare each row with what the others predict; see the top of this file."""
    counts = rows.observations.counts
    e, v = predicted.effective, rows.voxel
    prior = 1 / expected.prior_variance(merged.intensity)
    total = merged.information + prior
    mean = (merged.information * merged.intensity + prior * expected.mean) / total
    own = merged.weight * e**2
    share = np.minimum(own / total[v], 1 - 1e-9)
    residual = counts - predicted.flat - e * mean[v]
    # A row without weight took no part: the prediction is the whole merge.
    inside = own > 0
    spread = np.where(inside, merged.variance * (1 - share), merged.variance + e**2 / total[v])
    z = residual / np.sqrt(spread)
    others = merged.information[v] - own
    tested = others > 1e-6 * np.maximum(own, prior[v] * 1e-6)
    others_mean = mean[v] - np.where(inside, share * residual / ((1 - share) * e), 0.0)
    others_variance = 1 / (total[v] - own)
    at_others = np.maximum(e * others_mean + predicted.flat, 1e-3)
    wide = error_model.variance(at_others, e * others_mean, rows.observations.background_sigma)
    excess = np.maximum(wide - at_others, 0) + e**2 * others_variance
    score = _tail_score(z, counts, at_others, excess)
    leverage = np.where(inside, own / np.where(inside, merged.information[v], 1.0), 0.0)
    return Residuals(z, np.where(tested, score, np.nan), leverage)


def _tail_score(
    z: np.ndarray,
    counts: np.ndarray,
    mean: np.ndarray,
    excess: np.ndarray,
) -> np.ndarray:
    """Return z, or at few counts the normal deviate of the negative-binomial tail.

    Its mean is what the others predict, its variance that and the excess.
    """
    from scipy.special import betainc, ndtri

    score = z.copy()
    few = np.flatnonzero((np.abs(z) > _CANDIDATE) & (np.maximum(mean, counts) < _FEW_COUNTS))
    if len(few) == 0:
        return score
    m = mean[few]
    size = m**2 / np.maximum(excess[few], 1e-6 * m)
    chance = size / (size + m)
    n = np.maximum(np.round(counts[few]), 0)
    bright = counts[few] > m
    tail = np.where(
        bright,
        betainc(np.maximum(n, 1e-12), size, 1 - chance),
        betainc(size, n + 1, chance),
    )
    with np.errstate(divide="ignore"):
        deviate = np.minimum(-ndtri(tail), _SURE)
    score[few] = np.where(bright, np.maximum(deviate, 0), -np.maximum(deviate, 0))
    return score


def _drop_worst(
    rows: VoxelRows,
    predicted: Prediction,
    expected: Expected,
    error_model: ErrorModel,
    kept: np.ndarray,
    cutoff: float,
) -> np.ndarray:
    """Reject the worst row of each voxel until all agree; later passes look at those alone."""
    part, at = rows, np.arange(len(rows))
    scales, known = predicted, expected
    for _ in range(_MOST_PASSES):
        worst = _worst(part, scales, known, error_model, kept[at], cutoff)
        if len(worst) == 0:
            break
        kept[at[worst]] = False
        touched = np.zeros(part.n_voxels, dtype=bool)
        touched[part.voxel[worst]] = True
        inside = np.flatnonzero(touched[part.voxel])
        part, at = part.take_voxels(touched), at[inside]
        scales = Prediction(scales.effective[inside], scales.flat[inside])
        known = Expected(known.mean[touched], known.variance[touched], known.shrunk[touched])
    return kept


def _worst(
    rows: VoxelRows,
    predicted: Prediction,
    expected: Expected,
    error_model: ErrorModel,
    kept: np.ndarray,
    cutoff: float,
) -> np.ndarray:
    """Return one row for each voxel that has an outlier."""
    merged = merge_voxels(rows, predicted, expected, error_model, kept.astype(float))
    found = residuals(rows, predicted, expected, merged, error_model)
    flagged = kept & (np.abs(np.nan_to_num(found.score)) > cutoff)
    if not flagged.any():
        return np.zeros(0, dtype=np.int64)
    gain = _gain(rows, predicted, expected, merged, found)
    gain[~flagged] = -np.inf
    best = np.maximum.reduceat(gain, rows.start)
    at_best = np.flatnonzero(flagged & (gain == best[rows.voxel]))
    _, first = np.unique(rows.voxel[at_best], return_index=True)
    worst: np.ndarray = at_best[first]
    return worst


def _gain(
    rows: VoxelRows,
    predicted: Prediction,
    expected: Expected,
    merged: Intensities,
    found: Residuals,
) -> np.ndarray:
    """By how much the rest agrees better without the row: χ² lost, distance from its shell."""
    v, e = rows.voxel, predicted.effective
    spare = np.maximum(1 - found.leverage, 1e-9)
    residual = rows.observations.counts - predicted.flat - e * merged.intensity[v]
    chi_square = residual**2 / (merged.variance * spare)
    others = merged.intensity[v] - found.leverage * residual / (spare * e)
    noise = 1 / np.maximum(merged.information[v] * spare, 1e-300)
    distance = (others - expected.mean[v]) ** 2 / (expected.variance[v] + noise)
    # The logarithm: intensities far from their shell are rare, but not impossible.
    gain: np.ndarray = chi_square - 4 * np.log1p(distance)
    return gain


def _readmitted(
    rows: VoxelRows,
    predicted: Prediction,
    expected: Expected,
    error_model: ErrorModel,
    kept: np.ndarray,
    cutoff: float,
    curve: Curve | None,
) -> np.ndarray:
    """Take back rejected rows that the kept ones predict."""
    merged = merge_voxels(rows, predicted, expected, error_model, kept.astype(float))
    known = expect(rows, merged, curve)
    found = residuals(rows, predicted, known, merged, error_model)
    fits = np.abs(np.nan_to_num(found.score, nan=np.inf)) < cutoff
    # Nor is a voxel lost: where nothing is kept all rows are.
    empty = rows.sums(kept.astype(float)) == 0
    back: np.ndarray = kept | fits | empty[rows.voxel]
    return back


def reasons(kept: Bool[np.ndarray, " n"], residual: Float[np.ndarray, " n"]) -> np.ndarray:
    """Return 0 for kept rows, 1 for bright and 2 for dark outliers (int8)."""
    reason: np.ndarray = np.where(kept, KEPT, np.where(residual > 0, BRIGHT, DARK))
    return reason.astype(np.int8)
