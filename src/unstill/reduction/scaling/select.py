"""Which of a, c and d the data ask for: rows left out of the fit tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from unstill.reduction.merging.halves import hashed_half
from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.fit import State, fit_components
from unstill.reduction.scaling.intensities import (
    Expected,
    Intensities,
    Prediction,
    row_variance,
)
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.rows import VoxelRows, random_voxels
from unstill.shapes import Bool, Float

MOST_ROWS = 200_000
"""Rows that take part in the choice."""

_ROUNDS = 4
_SIGNIFICANT = 4.0
_WORTH = 2e-4
_CLIP = 5.0


def choose_components(
    base: Mapping[str, Component],
    candidates: Mapping[str, Component],
    rows: VoxelRows,
    state: State,
    options: ScaleOptions,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[str], dict[str, float]]:
    """Add a, c and d one by one as long as rows left out are predicted better.

    A quarter of the rows is left out, chosen by a hash. Each is predicted from
    the fitted scales and the rows of its voxel that were not left out. A surface
    is added if the squared residual over the variance falls by more than four
    standard errors of that fall and by 0.02 % of the whole.

    Parameters
    ----------
    base
        Components that are used in any case, with values to start from.
    candidates
        Those to choose from.
    rows, state
        Rows of voxels with mates, and outliers and error model so far.
    options
        Of scaling.
    seed
        Of the rows to leave out.

    Returns
    -------
    chosen
        Names that were added.
    gains
        Relative fall of the mean squared residual by each candidate on its own.
    """
    rows, state = _part(rows, state, seed)
    left_out = _left_out(rows, seed)
    trained = replace_kept(state, state.kept & ~left_out)
    tested = left_out & state.kept & (rows.sums(trained.kept.astype(float))[rows.voxel] > 0)
    short = replace(options, max_rounds=_ROUNDS, outlier_sigma=None)
    variance = row_variance(rows, state.predicted, state.expected.shrunk, state.error_model)

    def errors(components: Mapping[str, Component]) -> tuple[dict[str, Component], np.ndarray]:
        fitted = fit_components(components, rows, short, start=trained)
        return fitted.components, _errors(rows, fitted.state, variance)[tested]

    chosen: list[str] = []
    gains: dict[str, float] = {}
    current, reference = errors(base)
    remaining = dict(candidates)
    while remaining:
        if progress is not None:
            progress(f"scaling: trying {', '.join(remaining)}")
        trials = {name: errors({**current, name: part}) for name, part in remaining.items()}
        falls = {name: reference - squares for name, (_, squares) in trials.items()}
        for name, fall in falls.items():
            gains.setdefault(name, float(fall.mean() / max(reference.mean(), 1e-12)))
        useful = [name for name, fall in falls.items() if _is_useful(fall, reference)]
        if not useful:
            break
        best = max(useful, key=lambda name: float(falls[name].mean()))
        chosen.append(best)
        current, reference = trials[best]
        remaining = {name: candidates[name] for name in useful if name != best}
    return chosen, gains


def replace_kept(state: State, kept: Bool[np.ndarray, " n"]) -> State:
    """Return the state with other rows kept."""
    return State(state.predicted, state.expected, state.merged, state.error_model, kept)


def _is_useful(fall: np.ndarray, reference: np.ndarray) -> bool:
    if len(fall) < 2:
        return False
    error = float(fall.std()) / np.sqrt(len(fall))
    return bool(fall.mean() > max(_SIGNIFICANT * error, _WORTH * reference.mean()))


def _part(rows: VoxelRows, state: State, seed: int) -> tuple[VoxelRows, State]:
    if len(rows) <= MOST_ROWS:
        return rows, state
    chosen = random_voxels(rows, MOST_ROWS / len(rows), seed + 1)
    inside = chosen[rows.voxel]
    part = rows.take_voxels(chosen)
    return part, State(
        Prediction(state.predicted.effective[inside], state.predicted.flat[inside]),
        Expected(
            state.expected.mean[chosen],
            state.expected.variance[chosen],
            state.expected.shrunk[chosen],
        ),
        Intensities(
            state.merged.intensity[chosen],
            state.merged.information[chosen],
            state.merged.weight[inside],
            state.merged.variance[inside],
        ),
        state.error_model,
        state.kept[inside],
    )


def _left_out(rows: VoxelRows, seed: int) -> np.ndarray:
    table = rows.observations
    columns = (table.sweep, table.block, *np.moveaxis(table.index, -1, 0))
    out: np.ndarray = (hashed_half(seed + 11, *columns) == 1) & (
        hashed_half(seed + 12, *columns) == 1
    )
    return out


def _errors(
    rows: VoxelRows, state: State, variance: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Squared residuals from the merge of kept rows, over a variance that all trials share."""
    fitted = state.predicted.effective * state.merged.intensity[rows.voxel]
    residual = rows.observations.counts - state.predicted.flat - fitted
    squares: np.ndarray = np.minimum(residual**2 / variance, _CLIP**2)
    return squares
