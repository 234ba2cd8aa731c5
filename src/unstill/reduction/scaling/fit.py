"""The loop: surfaces, intensities, error model and outliers, until none of them moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from unstill.reduction.merging.error_model import ErrorModel, fit_error_model
from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.design import Alphas, Design, make_design, predict
from unstill.reduction.scaling.intensities import (
    Expected,
    Intensities,
    Prediction,
    expect,
    first_expected,
    merge_voxels,
)
from unstill.reduction.scaling.irls import Step, fit_step, noise_of_values
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.outliers import Residuals, find_outliers, residuals
from unstill.reduction.scaling.rows import VoxelRows
from unstill.reduction.scaling.smoothness import (
    first_alphas,
    largest_change,
    refined_alphas,
)
from unstill.shapes import Bool, Float

_TRUSTED = 4.0
_FIRST_CUTOFF = 8.0
_STEPS_A_ROUND = 3
_SMALL = 3e-3
_FRESH_ROUNDS = 2
_SETTLED = 0.25


@dataclass(frozen=True, eq=False)
class Round:
    """One line of the history.

    Parameters
    ----------
    deviance
        Mean Poisson deviance of kept rows that have mates, per degree of freedom.
    chi2
        χ² per degree of freedom with the error model of the round.
    change
        Root mean square change of the logarithm of the scale.
    n_rejected
        Rows left out as outliers.
    iterations
        Of conjugate gradients.
    """

    deviance: float
    chi2: float
    change: float
    n_rejected: int
    iterations: int


@dataclass(frozen=True, eq=False)
class State:
    """Scales of rows with what they give.

    Parameters
    ----------
    predicted
        The scales at the rows.
    expected, merged
        What is expected of voxels, and their merged intensities.
    error_model
        Variance of expected counts.
    kept
        ``(n,)`` rows that are not outliers.
    """

    predicted: Prediction
    expected: Expected
    merged: Intensities
    error_model: ErrorModel
    kept: Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What the loop ends with.

    Parameters
    ----------
    components
        With their values.
    state
        Of the rows that were fitted.
    offset_sigma
        ``(n_knots of c,)`` standard errors of c, couplings included; ``None`` without c.
    history
        One entry a round.
    """

    components: dict[str, Component]
    state: State
    offset_sigma: Float[np.ndarray, " n_knots"] | None
    history: list[Round]


def fit_components(
    components: Mapping[str, Component],
    rows: VoxelRows,
    options: ScaleOptions,
    *,
    start: State | None = None,
    progress: Callable[[str], None] | None = None,
) -> Fitted:
    """Fit surfaces to rows of voxels with mates.

    Parameters
    ----------
    components
        Where to start.
    rows
        Rows to fit.
    options
        How far, how smooth, which outliers.
    start
        Outliers and error model to begin with, and to keep to the end: nothing
        but the surfaces is then fitted.
    """
    design = make_design(components, rows, options)
    theta = design.project(np.concatenate([part.values for part in design.components]))
    predicted = predict(design, rows, theta)[0]
    state = begin(rows, predicted) if start is None else replace(start, predicted=predicted)
    alphas = first_alphas(design)
    history: list[Round] = []
    step = Step(theta, np.inf, 0, ())
    for number in range(options.max_rounds):
        before = state
        if number < _FRESH_ROUNDS:
            step = replace(step, blocks=())
        step, state = _surfaces(design, rows, step, state, alphas)
        smoother = refined_alphas(design, step, alphas) if options.adapt else alphas
        moving, alphas = largest_change(alphas, smoother), smoother
        if start is None:
            dispersion = _dispersion(rows, state) if number == 0 else 1.0
            state = settle(rows, state, options, dispersion=dispersion)
        history.append(_round(rows, state, step))
        if progress is not None:
            progress(f"scaling: round {number + 1}, χ² {history[-1].chi2:.3f}")
        moved = int(np.count_nonzero(state.kept != before.kept))
        settled = moving < _SETTLED or (number > 1 and step.change < options.tolerance)
        if settled and step.change < options.tolerance and moved <= 1e-4 * len(rows):
            break
    return _result(design, rows, step, state, alphas, history, with_errors=start is None)


def begin(rows: VoxelRows, predicted: Prediction) -> State:
    """Return the state before anything is known: Poisson errors, all rows kept."""
    model, kept = ErrorModel(), np.ones(len(rows), dtype=bool)
    expected = first_expected(rows, predicted)
    for _ in range(2):
        merged = merge_voxels(rows, predicted, expected, model, kept.astype(float))
        expected = expect(rows, merged)
    return State(predicted, expected, merged, model, kept)


def settle(
    rows: VoxelRows, state: State, options: ScaleOptions, *, dispersion: float = 1.0
) -> State:
    """Fit the error model and find the outliers for given scales.

    Parameters
    ----------
    rows, state
        The rows and their scales.
    options
        ``outlier_sigma``.
    dispersion
        Standard deviation of the residuals in units of their errors while the
        scales are rough; outliers are those of this wider distribution.
    """
    cutoff = options.outlier_sigma
    for _ in range(2):
        if cutoff is not None:
            wide = max(cutoff, _FIRST_CUTOFF) * dispersion if dispersion > 1 else cutoff
            kept = find_outliers(
                rows, state.predicted, state.expected, state.error_model, state.kept, cutoff=wide
            )
        else:
            kept = state.kept
        state = with_kept(rows, state, kept)
        found = residuals(rows, state.predicted, state.expected, state.merged, state.error_model)
        state = replace(state, error_model=_error_model(rows, state, found))
        state = with_kept(rows, state, kept)
    return state


def with_kept(rows: VoxelRows, state: State, kept: np.ndarray) -> State:
    """Merge again with other rows kept."""
    expected = state.expected
    for _ in range(2):
        merged = merge_voxels(
            rows, state.predicted, expected, state.error_model, kept.astype(float)
        )
        expected = expect(rows, merged)
    return State(state.predicted, expected, merged, state.error_model, kept)


def chi_square(rows: VoxelRows, state: State) -> tuple[float, int]:
    """χ² of kept rows around the intensity of their voxel, and its degrees of freedom."""
    residual = _residual(rows, state)
    used = state.kept & (state.merged.weight > 0)
    freedom = int(used.sum()) - int(np.count_nonzero(rows.sums(used.astype(float))))
    chi2 = float(np.sum(residual[used] ** 2 / state.merged.variance[used]))
    return chi2, freedom


def _surfaces(
    design: Design, rows: VoxelRows, step: Step, state: State, alphas: Alphas
) -> tuple[Step, State]:
    """Take steps with outliers and error model as they are."""
    iterations = 0
    for _ in range(_STEPS_A_ROUND):
        trust = _trust(rows, state)
        merged = merge_voxels(rows, state.predicted, state.expected, state.error_model, trust)
        step = fit_step(
            design,
            rows,
            step.theta,
            state.expected.shrunk,
            merged,
            alphas,
            before=step.blocks,
        )
        iterations += step.iterations
        predicted = predict(design, rows, step.theta)[0]
        merged = merge_voxels(
            rows, predicted, state.expected, state.error_model, state.kept.astype(float)
        )
        state = replace(state, predicted=predicted, merged=merged, expected=expect(rows, merged))
        if step.change < _SMALL:
            break
    return replace(step, iterations=iterations), state


def _trust(rows: VoxelRows, state: State) -> Float[np.ndarray, " n"]:
    """Huber weights on leave-one-out residuals; rows left out have none."""
    found = residuals(rows, state.predicted, state.expected, state.merged, state.error_model)
    score = np.abs(np.nan_to_num(found.score))
    used = score[state.kept]
    wide = max(1.0, 1.4826 * float(np.median(used))) if len(used) else 1.0
    return np.where(state.kept, np.minimum(1.0, _TRUSTED * wide / np.maximum(score, 1e-9)), 0.0)


def _dispersion(rows: VoxelRows, state: State) -> float:
    found = residuals(rows, state.predicted, state.expected, state.merged, state.error_model)
    used = found.score[state.kept & np.isfinite(found.score)]
    return max(1.0, 1.4826 * float(np.median(np.abs(used)))) if len(used) else 1.0


def _error_model(rows: VoxelRows, state: State, found: Residuals) -> ErrorModel:
    table = rows.observations
    exposure = np.where(table.exposure > 0, table.exposure, 1.0)
    return fit_error_model(
        table,
        state.predicted.effective / exposure,
        (state.predicted.flat - table.background) / exposure,
        state.merged.intensity[rows.voxel],
        found.leverage,
        keep=state.kept & np.isfinite(found.score),
    )


def _residual(rows: VoxelRows, state: State) -> np.ndarray:
    residual: np.ndarray = (
        rows.observations.counts
        - state.predicted.flat
        - state.predicted.effective * state.merged.intensity[rows.voxel]
    )
    return residual


def _round(rows: VoxelRows, state: State, step: Step) -> Round:
    chi2, freedom = chi_square(rows, state)
    counts = rows.observations.counts
    model = np.maximum(counts - _residual(rows, state), 1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(counts > 0, counts * np.log(counts / model), 0.0)
    deviance = 2 * float(np.sum((log - counts + model)[state.kept]))
    return Round(
        deviance / max(freedom, 1),
        chi2 / max(freedom, 1),
        step.change,
        int(np.count_nonzero(~state.kept)),
        step.iterations,
    )


def _offset_sigma(
    design: Design, rows: VoxelRows, step: Step, state: State, alphas: Alphas
) -> np.ndarray | None:
    """Estimate standard errors of c from draws of the noise, the same at all φ of a sweep."""
    places = dict(zip((part.name for part in design.components), design.slices, strict=True))
    if "c" not in places:
        return None
    draws = noise_of_values(
        design,
        rows,
        step.theta,
        state.expected.shrunk,
        state.merged,
        alphas,
        before=step.blocks,
    )
    part = next(part for part in design.components if part.name == "c")
    assert part.track is not None  # c lies along φ
    table = np.mean(draws[:, places["c"]] ** 2, axis=0).reshape(part.shape)
    sweep = part.track.key_of_knot
    mean = np.stack([np.bincount(sweep, weights=row) for row in table]) / np.bincount(sweep)
    sigma: np.ndarray = np.sqrt(mean[:, sweep]).ravel()
    return sigma


def _result(
    design: Design,
    rows: VoxelRows,
    step: Step,
    state: State,
    alphas: Alphas,
    history: list[Round],
    *,
    with_errors: bool,
) -> Fitted:
    places = zip(design.components, design.slices, strict=True)
    return Fitted(
        {part.name: part.with_values(step.theta[where]) for part, where in places},
        state,
        _offset_sigma(design, rows, step, state, alphas) if with_errors else None,
        history,
    )
