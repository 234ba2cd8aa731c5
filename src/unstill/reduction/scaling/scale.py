"""Scale observations: the surfaces a, b, c, d, the error model and the outliers together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.maps.observations import Observations
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.row_pool import MemoryRows, RowPool
from unstill.reduction.scaling.bad_ranges import (
    BadRange,
    BlockStatistics,
    BlockSums,
    find_bad_ranges,
    rows_in,
)
from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.fit import (
    Fitted,
    Round,
    begin,
    fit_components,
    settle,
)
from unstill.reduction.scaling.gauge import lowest_floor
from unstill.reduction.scaling.intensities import Prediction, shell_curve
from unstill.reduction.scaling.judge import Judged, judge_rows, predicted_by
from unstill.reduction.scaling.knots import make_component, measure_extent
from unstill.reduction.scaling.model import ScaleModel
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.outliers import BAD_RANGE
from unstill.reduction.scaling.prescale import prescale
from unstill.reduction.scaling.rows import VoxelRows
from unstill.reduction.scaling.sample import Counted, SortedSlabs, count_rows, draw_voxels
from unstill.reduction.scaling.select import MOST_ROWS, choose_components
from unstill.shapes import Float, Integer

Watch = Callable[[Observations, np.ndarray, np.ndarray], None]
"""Sees the rows of a slab, why they are left out (0: they are not), and their residuals."""

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
        cannot be used. Rows that are not in memory have neither this nor
        ``residual``.
    error_model
        Variance of expected counts.
    chi2
        χ² per degree of freedom of the kept rows with mates. Rows sample different
        parts of a voxel; how much its intensity varies is in the error model.
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
    pool = MemoryRows(observations)
    return scale_pool(pool, options, seed=seed, progress=progress)


def scale_pool(
    pool: RowPool,
    options: ScaleOptions | None = None,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> ScaleResult:
    """Fit scales to rows that are read slab by slab; see :func:`scale_observations`.

    The surfaces, the error model and the spread by resolution come from whole
    voxels of about ``max_rows`` rows, drawn by a hash of the voxel; then all
    rows are judged, slab by slab. The result does not depend on the slabs.

    Parameters
    ----------
    pool
        The rows. Where they are not in memory ``residual`` and ``intensity`` of the
        result are empty.
    options, seed, progress
        As of :func:`scale_observations`.
    watch
        Called for each slab with its rows, why they are left out, and their residuals.
    """
    options = ScaleOptions() if options is None else options
    if options.reject_bad_ranges:
        # Who watches shall see each row once.
        result = _scaled(pool, options, seed, progress, None)
        if result.bad_ranges:
            better = WithoutRanges(pool, result.bad_ranges)
            again = _scaled(better, options, seed, progress, watch)
            return replace(again, blocks=result.blocks, bad_ranges=result.bad_ranges)
        if watch is None:
            return result
    return _scaled(pool, options, seed, progress, watch)


@dataclass(frozen=True, eq=False)
class WithoutRanges:
    """Rows of a pool, those of bad ranges without exposure."""

    pool: RowPool
    ranges: tuple[BadRange, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.pool.n_rows

    @property
    def in_memory(self) -> bool:
        """As the rows are."""
        return self.pool.in_memory

    def slabs(self) -> Iterator[tuple[slice, Observations]]:
        """Yield slab after slab."""
        for places, rows in self.pool.slabs():
            bad = rows_in(rows, self.ranges)
            yield places, rows.replace(exposure=np.where(bad, 0.0, rows.exposure))

    def mark(self, rows: Observations, rejected: np.ndarray) -> np.ndarray:
        """Name the reason for rows of bad ranges."""
        marked: np.ndarray = np.where(rows_in(rows, self.ranges), np.int8(BAD_RANGE), rejected)
        return marked


def _scaled(
    pool: RowPool,
    options: ScaleOptions,
    seed: int,
    progress: Callable[[str], None] | None,
    watch: Watch | None,
) -> ScaleResult:
    slabs = SortedSlabs(pool)
    counted = count_rows(slabs)
    if counted.usable == 0:
        raise InputError(
            "no observation can be scaled",
            found=f"{pool.n_rows} rows, none with exposure and finite numbers",
            fix="check exposure times and masks",
        )
    unscaled = counted.with_mates < _FEWEST_MATES or options.scale == "off"
    n_rows = counted.usable if unscaled else counted.with_mates
    part = draw_voxels(slabs, n_rows, options.max_rows, seed, lonely=unscaled)
    gains: Mapping[str, float] = {}
    if unscaled:
        fitted, names = _unscaled(counted, part, options), counted.sweep_names
    else:
        components, gains = _components(part, options, seed, progress)
        fitted = fit_components(components, part, options, progress=progress)
        names = part.observations.sweep_names
    model = _model(fitted, names)
    return _judged(slabs, part, model, fitted, options, gains, watch)


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


def _model(fitted: Fitted, names: Sequence[str]) -> ScaleModel:
    parts = fitted.components
    n_keys = parts["b"].track.n_keys if parts["b"].track is not None else 1
    names = tuple(names)
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
    slabs: SortedSlabs,
    part: VoxelRows,
    model: ScaleModel,
    fitted: Fitted,
    options: ScaleOptions,
    gains: Mapping[str, float],
    watch: Watch | None,
) -> ScaleResult:
    """Apply the scales to all rows, and judge every row by its mates."""
    state = begin(part, predicted_by(model, part))
    state = replace(state, error_model=fitted.state.error_model, kept=fitted.state.kept)
    state = settle(part, state, options)
    curve = shell_curve(part, state.merged)
    sums, book = BlockSums(), _Book(slabs.pool)
    freedom = n_untested = 0
    for places, table, rows in slabs:
        found = judge_rows(rows, model, curve, state.error_model, options.outlier_sigma)
        sums.add(rows.observations, found.reason, found.residual, found.square)
        freedom, n_untested = freedom + found.freedom, n_untested + found.n_untested
        rejected, residual = book.enter(places, table, rows, found)
        if watch is not None:
            watch(table, rejected, residual)
    blocks = sums.result(model)
    return ScaleResult(
        model,
        book.rejected,
        book.residual,
        book.intensity,
        state.error_model,
        sums.square / max(freedom, 1),
        tuple(fitted.history),
        n_untested,
        gains,
        blocks,
        tuple(find_bad_ranges(blocks, model.sweep_names)),
    )


class _Book:
    """What was found of every row, in the order of the pool; a byte a row where they are many."""

    def __init__(self, pool: RowPool) -> None:
        self.pool = pool
        n = pool.n_rows if pool.in_memory else 0
        self.rejected = np.zeros(pool.n_rows, dtype=np.int8)
        self.residual, self.intensity = np.full(n, np.nan), np.full(n, np.nan)

    def enter(
        self, places: slice, table: Observations, rows: VoxelRows, found: Judged
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bring what was found of sorted rows back to the order of the table."""
        rejected = np.zeros(len(table), dtype=np.int8)
        rejected[rows.source] = found.reason
        if isinstance(self.pool, WithoutRanges):
            rejected = self.pool.mark(table, rejected)
        residual = np.full(len(table), np.nan)
        residual[rows.source] = found.residual
        self.rejected[places] = rejected
        if self.pool.in_memory:
            self.residual[places] = residual
            self.intensity[rows.source] = found.intensity
        return rejected, residual


def _unscaled(counted: Counted, part: VoxelRows, options: ScaleOptions) -> Fitted:
    if options.scale != "off":
        warnings.warn(
            f"only {counted.with_mates} of {counted.voxels} voxels are seen more than once: too "
            "few to scale, so all scales are 1; measure more of reciprocal space twice, or lower "
            "the divisions",
            UnstillWarning,
            stacklevel=5,
        )
    table = part.observations
    extent = measure_extent(part, np.zeros(len(part)), options)
    b = make_component("b", extent, options)
    return Fitted({"b": b}, begin(part, Prediction(table.exposure, table.background)), None, [])
