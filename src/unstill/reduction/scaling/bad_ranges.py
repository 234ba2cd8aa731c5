"""Ranges of frames that do not fit: rows disagree with their mates, or the scale jumps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.maps.observations import Observations
from unstill.reduction.scaling.model import ScaleModel
from unstill.shapes import Float

_FEWEST_ROWS = 20
_CLIP = 6.0
_WORSE = 1.5
_SIGNIFICANT = 6.0
_JUMP = 0.15
_NEIGHBOURS = 3


@dataclass(frozen=True)
class BadRange:
    """Neighbouring blocks of a sweep that do not fit the others.

    Parameters
    ----------
    sweep, sweep_name
        Which sweep.
    first_block, last_block
        Blocks, both included.
    phi
        First and last centroid of φ (degrees).
    reason
        ``"disagrees"``: its rows disagree with their mates; ``"jumps"``: its
        scale is off that of its neighbours.
    value, usual
        Mean squared residual (or scale) in the range, and what is usual.
    """

    sweep: int
    sweep_name: str
    first_block: int
    last_block: int
    phi: tuple[float, float]
    reason: str
    value: float
    usual: float

    def text(self, frames: Sequence[tuple[int, int]] | None = None) -> str:
        """Say it in words, with frames where the first and last + 1 of each block are given."""
        blocks = f"blocks {self.first_block}–{self.last_block}"
        if frames is not None:
            blocks = f"frames {frames[self.first_block][0]}–{frames[self.last_block][1] - 1}"
        what = (
            f"mean squared residual {self.value:.2f}"
            if self.reason == "disagrees"
            else f"scale {self.value:.3f}"
        )
        return (
            f"{self.sweep_name}, {blocks} (φ {self.phi[0]:.1f} to {self.phi[1]:.1f}°): "
            f"{what} where {self.usual:.2f} is usual"
        )


@dataclass(frozen=True, eq=False)
class BlockStatistics:
    """Each block of each sweep in numbers, for plots.

    Parameters
    ----------
    sweep, block, phi
        ``(n_blocks,)`` which block, and its mean φ (degrees).
    n_rows, n_rejected
        ``(n_blocks,)`` rows, and outliers among them.
    chi2
        ``(n_blocks,)`` mean squared leave-one-out residual of all its rows, in
        units of its variance, each row at most 36.
    scale
        ``(n_blocks,)`` b at its φ.
    """

    sweep: np.ndarray
    block: np.ndarray
    phi: Float[np.ndarray, " n_blocks"]
    n_rows: np.ndarray
    n_rejected: np.ndarray
    chi2: Float[np.ndarray, " n_blocks"]
    scale: Float[np.ndarray, " n_blocks"]


class BlockSums:
    """Sums over the rows of each block, from rows that come in parts.

    Rows are added one after the other, so that parts of one order give the
    same bits however they are cut.
    """

    def __init__(self) -> None:
        self._key = np.zeros(0, dtype=np.int64)
        self._sums = np.zeros((5, 0))

    def add(
        self,
        observations: Observations,
        rejected: np.ndarray,
        residual: Float[np.ndarray, " n"],
        square: Float[np.ndarray, " n"],
    ) -> None:
        """Add rows, with what was found of them; those that cannot be tested give χ² alone."""
        wide = (observations.sweep.astype(np.int64) << 32) | observations.block
        key = np.unique(np.concatenate([self._key, wide]))
        sums = np.zeros((len(self._sums), len(key)))
        sums[:, np.searchsorted(key, self._key)] = self._sums
        tested = np.isfinite(residual)
        label = np.searchsorted(key, wide)
        at = label[tested]
        np.add.at(sums[0], at, 1.0)
        np.add.at(sums[1], at, observations.phi[tested])
        np.add.at(sums[2], at, (rejected[tested] > 0).astype(float))
        np.add.at(sums[3], at, np.minimum(residual[tested] ** 2, _CLIP**2))
        np.add.at(sums[4], label, square)
        self._key, self._sums = key, sums

    @property
    def square(self) -> float:
        """χ² of all rows."""
        return float(np.sum(self._sums[4]))

    def result(self, model: ScaleModel) -> BlockStatistics:
        """Sum up; blocks without rows that can be tested are left out."""
        some = self._sums[0] > 0
        key, (n, phi, rejected, chi2, _) = self._key[some], self._sums[:, some]
        sweep, phi = key >> 32, phi / n
        track = model.b.track
        scale = np.ones(len(key))
        if track is not None and len(key):
            at = track.locate(sweep, phi)
            scale = np.exp(np.einsum("nm,nm->n", model.b.values[at.index], at.weight))
        return BlockStatistics(
            sweep=sweep,
            block=key & 0xFFFFFFFF,
            phi=phi,
            n_rows=n.astype(np.int64),
            n_rejected=rejected.astype(np.int64),
            chi2=chi2 / n,
            scale=scale,
        )


def find_bad_ranges(statistics: BlockStatistics, sweep_names: Sequence[str]) -> list[BadRange]:
    """Name ranges that stand out of all blocks.

    A block disagrees if its mean squared residual is at least 1.5 times the
    median and six robust standard deviations (or six standard errors) above
    it; its scale jumps if it is 15 % and six robust standard deviations off the
    median of the three blocks on either side.
    """
    enough = statistics.n_rows >= _FEWEST_ROWS
    if np.count_nonzero(enough) < 2 * _NEIGHBOURS:
        return []
    usual = float(np.median(statistics.chi2[enough]))
    spread = 1.4826 * float(np.median(np.abs(statistics.chi2[enough] - usual)))
    error = usual * np.sqrt(2 / np.maximum(statistics.n_rows, 1))
    limit = usual + _SIGNIFICANT * np.maximum(spread, error)
    disagrees = enough & (statistics.chi2 > np.maximum(limit, _WORSE * usual))
    around = _around(statistics)
    off = np.abs(np.log(statistics.scale / around))
    usual_off = 1.4826 * float(np.median(off[enough]))
    jumps = enough & ~disagrees & (off > max(_JUMP, _SIGNIFICANT * usual_off))
    constant = {"disagrees": np.full(len(off), usual), "jumps": around}
    values = {"disagrees": statistics.chi2, "jumps": statistics.scale}
    found = []
    for reason, bad in (("disagrees", disagrees), ("jumps", jumps)):
        for run in _runs(statistics, bad):
            found.append(
                _named(statistics, run, reason, values[reason], constant[reason], sweep_names)
            )
    return sorted(found, key=lambda item: (item.sweep, item.first_block))


def rows_in(observations: Observations, ranges: Sequence[BadRange]) -> np.ndarray:
    """Tell which rows (boolean mask) are in one of the ranges."""
    inside = np.zeros(len(observations), dtype=bool)
    for bad in ranges:
        inside |= (
            (observations.sweep == bad.sweep)
            & (observations.block >= bad.first_block)
            & (observations.block <= bad.last_block)
        )
    return inside


def _around(statistics: BlockStatistics) -> np.ndarray:
    """Median scale of the neighbours of each block."""
    around = statistics.scale.copy()
    for sweep in np.unique(statistics.sweep):
        own = np.flatnonzero(statistics.sweep == sweep)
        for place, number in enumerate(own):
            low, high = max(0, place - _NEIGHBOURS), place + _NEIGHBOURS + 1
            others = np.r_[own[low:place], own[place + 1 : high]]
            if len(others) >= 2:
                around[number] = np.median(statistics.scale[others])
    return around


def _runs(statistics: BlockStatistics, bad: np.ndarray) -> list[np.ndarray]:
    numbers = np.flatnonzero(bad)
    if len(numbers) == 0:
        return []
    same = np.diff(statistics.sweep[numbers]) == 0
    next_to = np.diff(numbers) == 1
    return np.split(numbers, np.flatnonzero(~(same & next_to)) + 1)


def _named(
    statistics: BlockStatistics,
    run: np.ndarray,
    reason: str,
    values: np.ndarray,
    usual: np.ndarray,
    sweep_names: Sequence[str],
) -> BadRange:
    sweep = int(statistics.sweep[run[0]])
    worst = run[np.argmax(np.abs(np.log(np.maximum(values[run], 1e-12) / usual[run])))]
    return BadRange(
        sweep=sweep,
        sweep_name=sweep_names[sweep] if sweep < len(sweep_names) else f"sweep {sweep + 1}",
        first_block=int(statistics.block[run[0]]),
        last_block=int(statistics.block[run[-1]]),
        phi=(float(statistics.phi[run[0]]), float(statistics.phi[run[-1]])),
        reason=reason,
        value=float(values[worst]),
        usual=float(usual[worst]),
    )
