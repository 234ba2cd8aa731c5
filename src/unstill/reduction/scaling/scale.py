"""Scale observations: the surfaces a, b, c, d, the error model and the outliers together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.maps.observations import Observations
from unstill.reduction.error_model import ErrorModel
from unstill.reduction.scaling.bad_ranges import (
    BadRange,
    BlockStatistics,
    block_statistics,
    find_bad_ranges,
    rows_in,
)
from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.fit import (
    Fitted,
    Round,
    State,
    begin,
    chi_square,
    fit_components,
    settle,
)
from unstill.reduction.scaling.gauge import lowest_floor
from unstill.reduction.scaling.intensities import Prediction
from unstill.reduction.scaling.knots import make_component, measure_extent
from unstill.reduction.scaling.model import ScaleModel
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.outliers import BAD_RANGE, reasons, residuals
from unstill.reduction.scaling.prescale import prescale
from unstill.reduction.scaling.rows import VoxelRows, random_voxels, voxel_rows
from unstill.reduction.scaling.select import MOST_ROWS, choose_components
from unstill.shapes import Float, Integer

_FEWEST_MATES = 50
_NAMES = {"a": "absorption", "c": "offset", "d": "detector"}


@dataclass(frozen=True, eq=False)
class ScaleResult:
    """Scales of a table of observations.

    Parameters
    ----------
    model
        The surfaces; evaluates to scale and offset of any rows of these sweeps.
    rejected
        ``(n,)`` int8, why a row of the table must not be merged: 0 kept,
        1 bright and 2 dark outlier, 3 of a bad range.
    residual
        ``(n,)`` leave-one-out residual in standard errors; NaN where no other
        row of the voxel is left to compare with.
    intensity
        ``(n,)`` merged intensity of the voxel of each row; NaN for rows that
        cannot be used.
    error_model
        Variance of expected counts.
    chi2
        χ² per degree of freedom of the kept rows with mates.
    history
        One entry a round of the fit.
    n_untested
        Kept rows whose voxel has no other row.
    gains
        By how much a, c and d lowered the squared residual of rows that were
        left out of the fit, where that was tried.
    blocks, bad_ranges
        Statistics of each block, and the ranges that do not fit.
    """

    model: ScaleModel
    rejected: Integer[np.ndarray, " n"]
    residual: Float[np.ndarray, " n"]
    intensity: Float[np.ndarray, " n"]
    error_model: ErrorModel
    chi2: float
    history: tuple[Round, ...]
    n_untested: int
    gains: Mapping[str, float]
    blocks: BlockStatistics
    bad_ranges: tuple[BadRange, ...]


def scale_observations(
    observations: Observations,
    options: ScaleOptions | None = None,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> ScaleResult:
    r"""Fit scales to observations of the same voxels at different places and times.

    .. math:: \mu = e\,a(x, y, \varphi)\,d(x, y)\,[b(\varphi) I_{hkl} + c(s, \varphi)] + B

    by the Poisson quasi-likelihood with intensities eliminated, an error model
    refined, and outliers found on both sides, in turns. Laue symmetry relates
    voxels, Friedel mates together. Voxels seen once tell nothing about scales.

    Parameters
    ----------
    observations
        All sweeps together.
    options
        By default b, and of a, c and d what improves the prediction of rows
        that were left out.
    seed
        Of the random choice of voxels and rows; the same seed gives the same bits.
    progress
        Called with a line of text after each round.

    Returns
    -------
    result
        The scales, and which rows to leave out.

    Raises
    ------
    InputError
        If no row can be used.

    Warns
    -----
    UnstillWarning
        If too few voxels are seen more than once; the scales are then 1.

    References
    ----------
    Meisburger, S. P., Case, D. A. & Ando, N. (2020). *Nat. Commun.* 11, 1271.
    https://doi.org/10.1038/s41467-020-14933-6
    """
    options = ScaleOptions() if options is None else options
    result = _scaled(observations, options, seed, progress)
    if not (options.reject_bad_ranges and result.bad_ranges):
        return result
    bad = rows_in(observations, result.bad_ranges)
    again = _scaled(
        observations.replace(exposure=np.where(bad, 0.0, observations.exposure)),
        options,
        seed,
        progress,
    )
    return replace(
        again,
        rejected=np.where(bad, np.int8(BAD_RANGE), again.rejected),
        blocks=result.blocks,
        bad_ranges=result.bad_ranges,
    )


def _scaled(
    observations: Observations,
    options: ScaleOptions,
    seed: int,
    progress: Callable[[str], None] | None,
) -> ScaleResult:
    rows = voxel_rows(observations)
    if len(rows) == 0:
        raise InputError(
            "no observation can be scaled",
            found=f"{len(observations)} rows, none with exposure and finite numbers",
            fix="check exposure times and masks",
        )
    mates = rows.multiplicity() > 1
    if int(mates.sum()) < _FEWEST_MATES or options.scale == "off":
        return _unscaled(observations, rows, int(mates.sum()), options)
    part = _part_to_fit(rows, mates, options, seed)
    components, gains = _components(part, options, seed, progress)
    fitted = fit_components(components, part, options, progress=progress)
    model = _model(fitted, part, observations)
    return _judged(observations, rows, model, fitted, options, gains)


def _part_to_fit(
    rows: VoxelRows, mates: np.ndarray, options: ScaleOptions, seed: int
) -> VoxelRows:
    part = rows.take_voxels(mates)
    if len(part) > options.max_rows:
        part = part.take_voxels(random_voxels(part, options.max_rows / len(part), seed))
    return part


def _components(
    rows: VoxelRows,
    options: ScaleOptions,
    seed: int,
    progress: Callable[[str], None] | None,
) -> tuple[dict[str, Component], dict[str, float]]:
    """Lay out knots by what the counts support, and choose the surfaces."""
    table = rows.observations
    of_sweep = prescale(rows)
    effective = table.exposure * np.exp(of_sweep)[table.sweep]
    state = begin(rows, Prediction(effective, table.background))
    signal = state.predicted.effective * state.expected.mean[rows.voxel]
    spare = 1 - 1 / rows.multiplicity()[rows.voxel]
    extent = measure_extent(rows, spare * signal**2 / state.merged.variance, options)
    b = make_component("b", extent, options)
    assert b.track is not None  # b lies along φ
    components = {"b": b.with_values(of_sweep[b.track.key_of_knot])}
    choices = {name: getattr(options, long_name) for name, long_name in _NAMES.items()}
    for name in [name for name, choice in choices.items() if choice == "on"]:
        components[name] = make_component(name, extent, options)
    undecided = [name for name, choice in choices.items() if choice == "auto"]
    if not undecided or extent.knots.max() < 2:
        return components, {}
    # Laid out for the rows that take part in the choice.
    coarse = extent.of_part(min(1.0, MOST_ROWS / len(rows)))
    candidates = {name: make_component(name, coarse, options) for name in undecided}
    rough = fit_components(components, rows, _rough(options))
    chosen, gains = choose_components(
        rough.components, candidates, rows, rough.state, options, seed=seed, progress=progress
    )
    added = {name: make_component(name, extent, options) for name in chosen}
    return rough.components | added, gains


def _rough(options: ScaleOptions) -> ScaleOptions:
    return replace(options, max_rounds=2)


def _model(fitted: Fitted, rows: VoxelRows, observations: Observations) -> ScaleModel:
    parts = fitted.components
    n_keys = parts["b"].track.n_keys if parts["b"].track is not None else 1
    names = tuple(observations.sweep_names)
    names += tuple(f"sweep {number + 1}" for number in range(len(names), n_keys))
    floor = _floor(fitted) if "c" in parts else None
    return ScaleModel(
        names, parts["b"], a=parts.get("a"), c=parts.get("c"), d=parts.get("d"), floor=floor
    )


def _floor(fitted: Fitted) -> np.ndarray:
    b, c = fitted.components["b"], fitted.components["c"]
    assert b.track is not None
    assert c.track is not None
    phi = np.concatenate([c.track.positions(key) for key in range(c.track.n_keys)])
    at = b.track.locate(c.track.key_of_knot, phi)
    scale = np.exp(np.einsum("nm,nm->n", b.values[at.index], at.weight))
    assert fitted.offset_sigma is not None
    return lowest_floor(c.values.reshape(c.shape), scale, fitted.offset_sigma.reshape(c.shape))


def _judged(
    observations: Observations,
    rows: VoxelRows,
    model: ScaleModel,
    fitted: Fitted,
    options: ScaleOptions,
    gains: Mapping[str, float],
) -> ScaleResult:
    """Apply the scales to all rows, and judge every row by its mates."""
    table = rows.observations
    scale, offset = model.scale_and_offset(table)
    predicted = Prediction(table.exposure * scale, table.background + table.exposure * offset)
    state = begin(rows, predicted)
    state = State(predicted, state.expected, state.merged, fitted.state.error_model, state.kept)
    state = settle(rows, state, options)
    found = residuals(rows, predicted, state.expected, state.merged, state.error_model)
    chi2, freedom = chi_square(rows, state)
    rejected = _spread(observations, rows, reasons(state.kept, found.z), np.int8(0))
    residual = _spread(observations, rows, found.score, np.nan)
    blocks = block_statistics(observations, model, rejected, residual)
    return ScaleResult(
        model,
        rejected,
        residual,
        _spread(observations, rows, state.merged.intensity[rows.voxel], np.nan),
        state.error_model,
        chi2 / max(freedom, 1),
        tuple(fitted.history),
        int(np.count_nonzero(state.kept & np.isnan(found.score))),
        gains,
        blocks,
        tuple(find_bad_ranges(blocks, model.sweep_names)),
    )


def _unscaled(
    observations: Observations, rows: VoxelRows, n_mates: int, options: ScaleOptions
) -> ScaleResult:
    if options.scale != "off":
        warnings.warn(
            f"only {n_mates} of {rows.n_voxels} voxels are seen more than once: too few to "
            "scale, so all scales are 1; measure more of reciprocal space twice, or lower the "
            "divisions",
            UnstillWarning,
            stacklevel=4,
        )
    table = rows.observations
    extent = measure_extent(rows, np.zeros(len(rows)), options)
    b = make_component("b", extent, options)
    fitted = Fitted({"b": b}, begin(rows, Prediction(table.exposure, table.background)), None, [])
    model = _model(fitted, rows, observations)
    return _judged(observations, rows, model, fitted, options, {})


def _spread(
    observations: Observations, rows: VoxelRows, values: np.ndarray, fill: object
) -> np.ndarray:
    """Bring values of sorted rows back to the order of the table."""
    result = np.full(len(observations), fill, dtype=values.dtype)
    result[rows.source] = values
    return result
