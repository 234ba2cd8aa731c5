"""Every row held against its mates with finished scales, one slab of voxels after the other.

What all rows tell together, the mean and spread by resolution and the error
model, is fixed before. What is left to do for a voxel depends on its own rows
alone, so that nothing depends on how the voxels are cut into slabs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.scaling.fit import State
from unstill.reduction.scaling.intensities import Curve, Prediction, expect, merge_voxels
from unstill.reduction.scaling.model import ScaleModel
from unstill.reduction.scaling.outliers import find_outliers, reasons, residuals
from unstill.reduction.scaling.rows import VoxelRows
from unstill.shapes import Float, Integer

_PASSES = 2


@dataclass(frozen=True, eq=False)
class Judged:
    """What became of the rows of some voxels.

    Parameters
    ----------
    reason
        ``(n,)`` int8: 0 kept, 1 bright, 2 dark.
    residual
        ``(n,)`` leave-one-out residual as a normal deviate; NaN without mates.
    intensity
        ``(n,)`` merged intensity of the voxel of each row.
    square
        ``(n,)`` squared residual from the merged intensity over its variance;
        0 for rows that were left out.
    freedom
        Degrees of freedom of those.
    n_untested
        Kept rows without others to compare with.
    """

    reason: Integer[np.ndarray, " n"]
    residual: Float[np.ndarray, " n"]
    intensity: Float[np.ndarray, " n"]
    square: Float[np.ndarray, " n"]
    freedom: int
    n_untested: int


def judge_rows(
    rows: VoxelRows,
    model: ScaleModel,
    curve: Curve,
    error_model: ErrorModel,
    cutoff: float | None,
) -> Judged:
    """Find the outliers among the rows of whole voxels.

    Parameters
    ----------
    rows
        The rows.
    model, curve, error_model
        Scales, what to expect by resolution, variance of counts.
    cutoff
        In standard errors; ``None`` keeps all.
    """
    predicted = predicted_by(model, rows)
    state = _merged(rows, predicted, curve, error_model, np.ones(len(rows), dtype=bool))
    for _ in range(_PASSES if cutoff is not None else 0):
        assert cutoff is not None
        kept = find_outliers(
            rows, predicted, state.expected, error_model, state.kept, cutoff=cutoff, curve=curve
        )
        if np.array_equal(kept, state.kept):
            break
        state = _merged(rows, predicted, curve, error_model, kept)
    found = residuals(rows, predicted, state.expected, state.merged, error_model)
    used = state.kept & (state.merged.weight > 0)
    of_row = state.merged.intensity[rows.voxel]
    off = rows.observations.counts - predicted.flat - predicted.effective * of_row
    return Judged(
        reasons(state.kept, found.z),
        found.score,
        of_row,
        np.where(used, off**2 / state.merged.variance, 0.0),
        int(used.sum()) - int(np.count_nonzero(rows.sums(used.astype(float)))),
        int(np.count_nonzero(state.kept & np.isnan(found.score))),
    )


def predicted_by(model: ScaleModel, rows: VoxelRows) -> Prediction:
    """Evaluate the scales at the rows."""
    table = rows.observations
    scale, offset = model.scale_and_offset(table)
    return Prediction(table.exposure * scale, table.background + table.exposure * offset)


def _merged(
    rows: VoxelRows,
    predicted: Prediction,
    curve: Curve,
    error_model: ErrorModel,
    kept: np.ndarray,
) -> State:
    """Merge what is kept; weights follow the intensity, so twice."""
    expected = curve.before(rows.s)
    for _ in range(2):
        merged = merge_voxels(rows, predicted, expected, error_model, kept.astype(float))
        expected = expect(rows, merged, curve)
    return State(predicted, expected, merged, error_model, kept)
