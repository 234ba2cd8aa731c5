"""Weights along time: which part of a simulation the data ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Float, Int
from unstill.weighting.softmax import log_ratio
from unstill.weighting.statistical_inefficiency import statistical_inefficiency

_SMALLEST = 1e-6
"""Ratios of a weight to its prior below this count as this: a logarithm sees little else."""

_WINDOWS = 50


@dataclass(frozen=True, eq=False)
class WeightSeries:
    """Weights of members in the order of time.

    Parameters
    ----------
    first_frame, last_frame, n_frames
        ``(n_members,)`` frames of each member, counting from 0, the last included.
    prior, weight
        ``(n_members,)`` before and after the fit.
    error
        ``(n_members,)`` standard deviation of the weight over draws; NaN without.
    smoothed
        ``(n_members,)`` Σw/Σw⁰ over the window around each member.
    window
        Members in a window; fewer at the ends.
    inefficiency
        Of ln(w/w⁰): how many members move together.
    """

    first_frame: Int[np.ndarray, " members"]
    last_frame: Int[np.ndarray, " members"]
    n_frames: Int[np.ndarray, " members"]
    prior: Float[np.ndarray, " members"]
    weight: Float[np.ndarray, " members"]
    error: Float[np.ndarray, " members"]
    smoothed: Float[np.ndarray, " members"]
    window: int
    inefficiency: float

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.weight)

    @property
    def ratio(self) -> Float[np.ndarray, " members"]:
        """``(n_members,)`` w/w⁰: above one where the data ask for more."""
        ratio: np.ndarray = self.weight / self.prior
        return ratio

    @property
    def n_independent(self) -> float:
        """Stretches of the simulation that got their weights independently, n/g."""
        return self.n_members / self.inefficiency


def weights_along_time(
    weights: Float[np.ndarray, " members"],
    prior: Float[np.ndarray, " members"],
    n_frames: Int[np.ndarray, " members"],
    weight_draws: Float[np.ndarray, "draws members"] | None = None,
    *,
    window: int | None = None,
) -> WeightSeries:
    """Set weights out along time.

    Parameters
    ----------
    weights, prior
        ``(n_members,)`` after and before the fit.
    n_frames
        ``(n_members,)`` frames behind each; members follow one another in time.
    weight_draws
        ``(n_draws, n_members)`` weights refitted to blocks of reciprocal space.
    window
        Members that are averaged for ``smoothed``, an odd number; by default a
        fiftieth of them.

    Raises
    ------
    InputError
        If the arrays do not fit each other, a prior weight is not positive, or
        the window is not odd.
    """
    after, before = np.asarray(weights, dtype=float), np.asarray(prior, dtype=float)
    counts = np.asarray(n_frames)
    draws = np.zeros((0, len(after))) if weight_draws is None else np.asarray(weight_draws)
    shapes = {after.shape, before.shape, counts.shape, draws.shape[1:]}
    if len(shapes) > 1 or after.size == 0 or not (before > 0).all() or not (after >= 0).all():
        raise InputError(
            "weights along time need a weight and a positive prior weight for each member",
            found=f"{after.size} weights, {before.size} prior weights, {counts.size} numbers of "
            f"frames, draws of shape {draws.shape}",
            fix="pass the arrays of one result",
        )
    if window is None:
        window = len(after) // _WINDOWS // 2 * 2 + 1
    ends = np.cumsum(counts)
    ratio = np.exp(log_ratio(after[None], before)[0])
    return WeightSeries(
        first_frame=ends - counts,
        last_frame=ends - 1,
        n_frames=counts,
        prior=before,
        weight=after,
        error=draws.std(axis=0, ddof=1) if len(draws) > 1 else np.full(len(after), np.nan),
        smoothed=_sums(after, window) / _sums(before, window),
        window=window,
        inefficiency=statistical_inefficiency(np.log(np.maximum(ratio, _SMALLEST))),
    )


def _sums(values: np.ndarray, window: int) -> np.ndarray:
    """Sum over the window around each entry, as far as it reaches."""
    if window < 1 or window % 2 == 0:
        raise InputError(
            "a window around a member holds an odd number of members",
            found=window,
            fix="give 1, 3, 5, …",
        )
    n, half = len(values), window // 2
    up_to = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(n)
    sums: np.ndarray = up_to[np.minimum(at + half + 1, n)] - up_to[np.maximum(at - half, 0)]
    return sums
