r"""Radiation damage: how the intensity decays with resolution along a sweep.

Scaled rows of a range of φ are compared with the other rows of their voxels:

.. math:: \ln R(\varphi, s) = k(\varphi) - \Delta B(\varphi)\, s^2 / 2

is the change of the intensity with resolution as a relative B factor (Å²),
0 where the range scatters like the average of its mates. Many mates were measured
at nearly the same φ and have decayed as much: what is found is taken off and the
comparison made again, until nothing is left. A trend of ΔB
with φ, at a constant dose rate, is damage. An offset c that was fitted is not
taken off: it could hide the decay. One that is no decay bends ln R instead,
and widens the error of ΔB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unstill.maps.observations import Observations
from unstill.reduction.scaling.fit import State, begin
from unstill.reduction.scaling.intensities import Prediction, expect, merge_voxels
from unstill.reduction.scaling.model import ScaleModel
from unstill.reduction.scaling.rows import VoxelRows, voxel_rows
from unstill.shapes import Float

_S_BINS = 10
_PHI_BINS = 20
_NARROWEST = 2.0
_FEWEST_BINS = 4
_FEWEST_COUNTS = 100.0
_SIGNIFICANT = 5.0
_ROUNDS = 12
_SMALL = 0.1


@dataclass(frozen=True, eq=False)
class Decay:
    """Relative B factor along one sweep.

    Parameters
    ----------
    sweep
        Which sweep.
    phi
        ``(n_ranges,)`` middle of the ranges (degrees).
    relative_b, sigma
        ``(n_ranges,)`` ΔB (Å²) and its standard error, scatter included; grows with damage.
    rate, rate_sigma
        Slope of ΔB (Å² per degree) and its standard error.
    """

    sweep: int
    phi: Float[np.ndarray, " n_ranges"]
    relative_b: Float[np.ndarray, " n_ranges"]
    sigma: Float[np.ndarray, " n_ranges"]
    rate: float
    rate_sigma: float

    @property
    def significant(self) -> bool:
        """Whether ΔB grows by more than five standard errors of its slope."""
        return bool(self.rate > _SIGNIFICANT * self.rate_sigma > 0)


def radiation_damage(
    observations: Observations, model: ScaleModel, rejected: np.ndarray
) -> list[Decay]:
    """Measure the decay along each sweep that is long enough.

    Parameters
    ----------
    observations, model, rejected
        Rows, their scales, and ``(n,)`` not 0 where a row is left out.
    """
    rows = voxel_rows(observations.take(np.flatnonzero(rejected == 0)))
    rows = rows.take_voxels(rows.multiplicity() > 1)
    if len(rows) == 0:
        return []
    table = rows.observations
    scale, _ = model.scale_and_offset(table)
    predicted = Prediction(table.exposure * scale, table.background)
    sweeps = [int(k) for k in np.unique(table.sweep)]
    first = _compared(rows, predicted, sweeps)
    total, left = first, first
    for _ in range(_ROUNDS):
        if all(abs(one.rate) < _SMALL * one.rate_sigma for one in left.values()):
            break
        left = _compared(rows, _faded(rows, predicted, total), sweeps)
        total = {k: _sum(total[k], left[k]) for k in total if k in left}
    return [_with_errors(total[k], first[k]) for k in total]


def _compared(rows: VoxelRows, predicted: Prediction, sweeps: list[int]) -> dict[int, Decay]:
    """Compare each range of φ with the mates of its rows, once."""
    state = begin(rows, predicted)
    merged = merge_voxels(
        rows, predicted, expect(rows, state.merged), state.error_model, np.ones(len(rows))
    )
    others = _others(rows, State(predicted, state.expected, merged, state.error_model, state.kept))
    found = {k: _of_sweep(rows, predicted, others, k) for k in sweeps}
    return {k: decay for k, decay in found.items() if decay is not None}


def _faded(rows: VoxelRows, predicted: Prediction, decay: dict[int, Decay]) -> Prediction:
    """Return expected counts with the decay that was found so far."""
    table, exponent = rows.observations, np.zeros(len(rows))
    for k, one in decay.items():
        own = table.sweep == k
        b = np.interp(table.phi[own], one.phi, one.relative_b)
        exponent[own] = b * table.s[own] ** 2 / -2
    return replace(predicted, effective=predicted.effective * np.exp(exponent))


def _sum(decay: Decay, more: Decay) -> Decay:
    b = decay.relative_b + np.interp(decay.phi, more.phi, more.relative_b)
    return replace(decay, relative_b=b, rate=decay.rate + more.rate)


def _with_errors(total: Decay, first: Decay) -> Decay:
    """Errors grow as the decay did when that of the mates was taken off."""
    gain = float(np.clip(total.rate / first.rate, 1.0, 10.0)) if first.rate else 1.0
    return replace(total, sigma=gain * first.sigma, rate_sigma=gain * first.rate_sigma)


def _others(rows: VoxelRows, state: State) -> np.ndarray:
    """Intensity of the voxel of each row, from its other rows."""
    e, merged = state.predicted.effective, state.merged
    pull = merged.weight * e
    signal = pull * (rows.observations.counts - state.predicted.flat)
    total, own = merged.information[rows.voxel], pull * e
    left = np.maximum(total - own, 1e-12 * total)
    others: np.ndarray = (merged.intensity[rows.voxel] * total - signal) / left
    return others


def _of_sweep(
    rows: VoxelRows, predicted: Prediction, others: np.ndarray, sweep: int
) -> Decay | None:
    table = rows.observations
    chosen = np.flatnonzero(table.sweep == sweep)
    phi = table.phi[chosen]
    n_ranges = int(min(_PHI_BINS, np.ptp(phi) / _NARROWEST))
    if n_ranges < _FEWEST_BINS:
        return None
    edges = np.linspace(phi.min(), phi.max(), n_ranges + 1)
    place = np.clip(np.searchsorted(edges, phi, side="right") - 1, 0, n_ranges - 1)
    squares = np.quantile(table.s[chosen] ** 2, np.linspace(0, 1, _S_BINS + 1)[1:-1])
    shell = np.searchsorted(squares, table.s[chosen] ** 2)
    cell = place * _S_BINS + shell

    def sums(values: np.ndarray) -> np.ndarray:
        total = np.bincount(cell, weights=values, minlength=n_ranges * _S_BINS)
        return total.reshape(n_ranges, _S_BINS)

    signal = sums(table.counts[chosen] - predicted.flat[chosen])
    counts = sums(table.counts[chosen])
    expected = sums(predicted.effective[chosen] * others[chosen])
    s_squared = sums(table.s[chosen] ** 2) / np.maximum(sums(np.ones(len(chosen))), 1)
    told = (signal > 0) & (expected > 0) & (counts > _FEWEST_COUNTS)
    log_ratio = np.log(np.where(told, signal, 1.0) / np.where(told, expected, 1.0))
    # The mates are as uncertain as the rows, or less.
    weight = np.where(told, signal**2 / np.maximum(2 * counts, 1.0), 0.0)
    fits = [
        _line(s_squared[k] / -2, log_ratio[k], weight[k])
        for k in range(n_ranges)
        if np.count_nonzero(told[k]) >= _FEWEST_BINS
    ]
    used = np.array([np.count_nonzero(row) >= _FEWEST_BINS for row in told])
    if np.count_nonzero(used) < _FEWEST_BINS:
        return None
    slope, sigma = np.array(fits).T
    middle = ((edges[1:] + edges[:-1]) / 2)[used]
    rate, rate_sigma = _line(middle, slope, 1 / sigma**2)
    return Decay(sweep, middle, slope, sigma, rate, rate_sigma)


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Slope of a weighted line and its standard error, widened by scatter beyond the weights."""
    total = weight.sum()
    x = x - (weight @ x) / total
    y = y - (weight @ y) / total
    spread = float(weight @ x**2)
    slope = float(weight @ (x * y)) / spread
    freedom = max(int(np.count_nonzero(weight)) - 2, 1)
    scatter = float(weight @ (y - slope * x) ** 2) / freedom
    return slope, float(np.sqrt(max(scatter, 1.0) / spread))
