"""How far counts may scatter: Poisson with a gain, a relative error, the background's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.maps.observations import Observations
from unstill.shapes import Float

MIN_ROWS = 500
"""Fewer residuals do not tell an error model from chance."""

MIN_REDUNDANCY = 0.05
"""A row that decides more than 95 % of its own prediction says nothing about its error."""

_N_BINS = 24
_N_SHELLS = 40
_OUTLIER = 4.0
"""Rows further out take no part: outliers that were not found yet would hide themselves."""

_ROUNDS = 8


@dataclass(frozen=True)
class ErrorModel:
    r"""Variance of the counts of a row, from what is *expected* there.

    .. math:: \sigma^2 = g\,\mu + (k\,\mathrm{signal})^2 + \sigma_b^2

    Never from the observed counts: rows that happened to count little would
    seem to be known better, and pull every mean down.

    Parameters
    ----------
    gain
        g, 1 for a photon counter.
    relative
        k, relative standard error of a signal that is scaled imperfectly.
    gain_sigma, relative_sigma
        Standard uncertainties of the two; 0 for a model that was not fitted.

    Examples
    --------
    >>> model = ErrorModel(gain=1.0, relative=0.1)
    >>> model.variance(np.array([100.0]), np.array([80.0]), np.array([6.0])).tolist()
    [200.0]
    """

    gain: float = 1.0
    relative: float = 0.0
    gain_sigma: float = 0.0
    relative_sigma: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.gain) and self.gain > 0 and 0 <= self.relative < np.inf):
            raise InputError(
                "an error model needs a positive gain and a relative error of 0 or more",
                found=f"gain {self.gain}, relative {self.relative}",
                fix="use gain 1 and relative 0 for a photon counter",
            )

    def variance(
        self,
        expected: Float[np.ndarray, " n"],
        signal: Float[np.ndarray, " n"],
        background_sigma: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """Variance of the counts.

        Parameters
        ----------
        expected
            ``(n,)`` expected counts, background included; taken as 0 where negative.
        signal
            ``(n,)`` the part of them that the scales multiply.
        background_sigma
            ``(n,)`` standard uncertainty of the background in the row (counts).
        """
        variance: np.ndarray = (
            self.gain * np.maximum(expected, 0.0)
            + (self.relative * signal) ** 2
            + background_sigma**2
        )
        return variance


def fit_error_model(
    observations: Observations,
    scale: Float[np.ndarray, " n"],
    offset: Float[np.ndarray, " n"],
    intensity_of_rows: Float[np.ndarray, " n"],
    leverage: Float[np.ndarray, " n"],
    *,
    keep: np.ndarray | None = None,
    start: ErrorModel | None = None,
) -> ErrorModel:
    r"""Fit gain and relative error to residuals that each row had no part in.

    With the intensity merged from all rows of the voxel, I, and the share h of
    the row in it, the others alone give I₋ = (I − h y/e)/(1 − h), where y is
    the signal counted and e = exposure · scale. Then

    .. math:: (1-h)\,(y - e I_-)^2 \approx g\,\mu_- + k^2 e^2 I_-^2 + \sigma_b^2

    on average. Rows are binned by the counts that their resolution makes expect,
    so that no row chooses its own bin; the two unknowns follow from weighted,
    non-negative least squares on the bins, repeated as the weights settle.

    Parameters
    ----------
    observations, scale, offset
        Rows and their model, counts ≈ exposure (scale · I + offset) + background.
    intensity_of_rows
        ``(n,)`` merged intensity of the voxel of each row, the row included.
    leverage
        ``(n,)`` h, the share of the row in that intensity, 0 to 1.
    keep
        ``(n,)`` bool; rows that were rejected take no part.
    start
        What is returned where the data do not tell; gain 1, relative 0 by default.

    Returns
    -------
    model
        A parameter that is not identifiable keeps its start: the relative
        error if it is less than two standard uncertainties above zero, both
        with fewer than 500 usable rows.
    """
    start = ErrorModel() if start is None else start
    rows = _residuals(observations, scale, offset, intensity_of_rows, leverage, keep)
    if len(rows.squared) < MIN_ROWS:
        return start
    model = start
    for _ in range(_ROUNDS):
        model, before = _fitted(rows, model, start), model
        if abs(model.gain - before.gain) + abs(model.relative - before.relative) < 1e-7:
            break
    return model


@dataclass(frozen=True, eq=False)
class _Residuals:
    squared: np.ndarray  # (1 − h) times the square of the leave-one-out residual
    expected: np.ndarray  # counts that the other rows expect
    signal: np.ndarray
    odds: np.ndarray  # h / (1 − h): the noise of e I₋ is so many times that of the row
    label: np.ndarray  # bin
    noise: np.ndarray  # variance of the background


def _residuals(
    observations: Observations,
    scale: np.ndarray,
    offset: np.ndarray,
    intensity: np.ndarray,
    leverage: np.ndarray,
    keep: np.ndarray | None,
) -> _Residuals:
    exposure = observations.exposure * scale
    flat = observations.background + observations.exposure * offset
    usable = (exposure > 0) & np.isfinite(intensity) & (1 - leverage >= MIN_REDUNDANCY)
    if keep is not None:
        usable &= np.asarray(keep, bool)
    e, b, h = exposure[usable], flat[usable], leverage[usable]
    y = observations.counts[usable] - b
    others = (intensity[usable] - h * y / e) / (1 - h)
    signal = e * others
    expected = signal + b
    label = _bins(observations.s[usable], y, e, b)
    noise = observations.background_sigma[usable] ** 2
    squared = (1 - h) * (y - signal) ** 2
    return _Residuals(squared, expected, signal, h / (1 - h), label, noise)


def _bins(s: np.ndarray, y: np.ndarray, e: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bin rows by the counts that the mean intensity of their shell makes expect.

    Not by what the other rows expect: where those are few, a low bin would
    hold the rows whose others counted too little.
    """
    if not len(s):
        return np.zeros(0, dtype=np.int64)
    edges = np.unique(np.quantile(s, np.linspace(0, 1, _N_SHELLS + 1)[1:-1]))
    shell = np.searchsorted(edges, s)
    mean = np.bincount(shell, weights=y) / np.maximum(np.bincount(shell, weights=e), 1e-300)
    expected = np.maximum(e * mean[shell], 0.0) + b
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    label: np.ndarray = np.searchsorted(edges, expected)
    return label


def _fitted(rows: _Residuals, model: ErrorModel, start: ErrorModel) -> ErrorModel:
    """One round: bins, their weights from the model so far, and the two unknowns."""
    variance = model.variance(rows.expected, rows.signal, np.sqrt(rows.noise))
    excess = variance * rows.odds
    # Where the others are few they may expect too little: a standard error more.
    unsure = np.sqrt(np.maximum(excess, 0.0))
    wide = model.variance(rows.expected + unsure, rows.signal + unsure, np.sqrt(rows.noise))
    fair = rows.squared < _OUTLIER**2 * np.maximum(wide, model.gain)
    label = rows.label[fair]
    number = np.bincount(label)
    full = number > 0

    def mean(values: np.ndarray) -> np.ndarray:
        averaged: np.ndarray = (np.bincount(label, weights=values[fair])[full]) / number[full]
        return averaged

    target = mean(rows.squared - rows.noise)
    columns = np.stack(
        [
            mean(rows.expected),
            np.maximum(mean(rows.signal**2 - excess), 0.0),
        ],
        axis=1,
    )
    # Fourth moment of a Poisson residual: 3 V² + V.
    size = np.maximum(mean(variance), 1e-12)
    spread = size * np.sqrt((2 + model.gain / size) / number[full])
    return _solved(columns / spread[:, None], target / spread, start)


def _solved(design: np.ndarray, target: np.ndarray, start: ErrorModel) -> ErrorModel:
    """Weighted least squares for g and k² where both are told, else for g alone."""
    normal = design.T @ design
    if np.all(np.diag(normal) > 0) and np.linalg.cond(normal / _outer(normal)) < 1e8:
        covariance = np.linalg.inv(normal)
        gain, square = covariance @ design.T @ target
        if gain > 0 and square > 2 * np.sqrt(covariance[1, 1]):
            relative = float(np.sqrt(square))
            return ErrorModel(
                float(gain),
                relative,
                float(np.sqrt(covariance[0, 0])),
                float(np.sqrt(covariance[1, 1])) / (2 * relative),
            )
    if normal[0, 0] <= 0:
        return start
    left = target - design[:, 1] * start.relative**2
    gain = float(design[:, 0] @ left / normal[0, 0])
    if not gain > 0:
        return start
    return ErrorModel(gain, start.relative, float(normal[0, 0] ** -0.5))


def _outer(normal: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.diag(normal))
    outer: np.ndarray = np.outer(size, size)
    return outer
