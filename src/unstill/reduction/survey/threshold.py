r"""When a pixel counted too much to be chance: Poisson thresholds from the frame itself.

No count is set by hand. Zone by zone (shell in |s| × sector in azimuth) the rate
λ of the bulk of the pixels is taken from the histogram of their counts: from the
share of empty pixels, λ = −ln P(0), where most are empty, and from the median
elsewhere. Both hardly feel the few per cent of Bragg pixels. A pixel is strong if

.. math:: P(X \ge k \mid \lambda) < p .

Detectors that do not count photons spread wider than Poisson; there the width of
the lower half of the histogram scales the counts first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unstill.compiled import kernel
from unstill.experiment import Detector
from unstill.reduction.integration.tables import PixelTables

CHANCE = 1e-6
"""Probability p that a pixel of the bulk is called strong."""

HEADROOM = 50.0
"""How many times the rate of its zone a diffuse feature may have; see :func:`frame_limits`."""

SAMPLES = 200_000
"""Pixels of a frame that the histograms look at, about."""

_EXACT, _PARTS = 512, 128
N_BINS = _EXACT + 22 * _PARTS


@dataclass(frozen=True, eq=False)
class ZoneRates:
    """Counts of the bulk of the pixels of one frame.

    Parameters
    ----------
    rate
        ``(n_zones + 1,)`` photons a pixel; zone 0 is not used.
    spread
        ``(n_zones + 1,)`` variance over that of Poisson, 1 at least.
    n_samples
        ``(n_zones + 1,)`` pixels looked at.
    """

    rate: np.ndarray
    spread: np.ndarray
    n_samples: np.ndarray

    def thresholds(self, chance: float = CHANCE, headroom: float = 1.0) -> np.ndarray:
        """Smallest count (photons) that is strong, zone by zone.

        Parameters
        ----------
        chance
            p.
        headroom
            The rate is multiplied by it first.
        """
        # An empty zone still has a rate: less than one count in the pixels that were seen.
        rate = np.maximum(self.rate, 1 / (self.n_samples + 1)) * headroom
        thresholds: np.ndarray = self.spread * poisson_threshold(rate / self.spread, chance)
        return thresholds


def zone_rates(
    frame: tuple[np.ndarray, ...], tables: PixelTables, detector: Detector
) -> ZoneRates:
    """Measure the rate of every zone of one frame.

    Parameters
    ----------
    frame
        One int32 array a panel.
    tables
        Zones of the pixels.
    detector
        Gain, pedestal and trusted range.
    """
    histograms = np.zeros((tables.n_zones + 1, N_BINS), np.int64)
    total = sum(values.size for values in frame)
    stride = max(1, int(np.sqrt(total / SAMPLES)))
    for values, table, panel in zip(frame, tables.panels, detector.panels, strict=True):
        low, high = trusted_values(panel.trusted_range)
        _count(values, table.zone, stride, low, high, panel.pedestal, panel.gain, histograms)
    return rates_of(histograms)


def rates_of(histograms: np.ndarray) -> ZoneRates:
    """Robust rate and spread from histograms of counts ``(n_zones, N_BINS)``."""
    # Bins above the highest count say nothing and cost time.
    histograms = histograms[:, : np.flatnonzero(histograms.any(axis=0))[-1:].sum() + 1]
    n = histograms.sum(axis=1)
    cumulative = np.cumsum(histograms, axis=1) / np.maximum(n, 1)[:, None]
    median, low = _quantile(cumulative, 0.5), _quantile(cumulative, 0.1587)
    empty = cumulative[:, 0]
    with np.errstate(divide="ignore"):
        from_empty = -np.log(empty)
    # The median of a Poisson variable is about λ − 0.17 on the scale on which a
    # count k fills the interval k ± ½.
    rate = np.where(empty > 0.3, from_empty, np.maximum(median + 0.17, 0.0))
    spread = np.ones(len(n))
    wide = rate > 20
    spread[wide] = np.maximum(1.0, (median - low)[wide] ** 2 / rate[wide])
    return ZoneRates(np.where(n > 0, rate, 0.0), spread, n)


def frame_limits(
    rates: ZoneRates, detector: Detector, *, headroom: float = HEADROOM, chance: float = CHANCE
) -> list[np.ndarray]:
    """Largest pixel value that goes into the diffuse map, panel by panel and zone by zone.

    Cutting off the tail of a distribution makes its mean too low. A limit may
    therefore stand only where no pixel of a true diffuse feature gets to by
    chance: a count with P(X ≥ k | H λ) < p is left out, where λ is the rate of
    the zone and H = 50 the headroom. Halos near Bragg peaks rise to some ten
    times the rate of their shell; a feature of H λ loses a share p of its
    pixels, which changes its mean by less than 1e-5. What stays above the limit are
    Bragg peaks of another lattice, ice, cosmic rays and hot pixels. Weaker
    contaminants are left to the two-sided test of outliers among observations,
    which compares equivalents.

    Returns
    -------
    limits
        One ``(n_zones + 1,)`` int32 array a panel, on the scale of the pixel values.
    """
    counts = rates.thresholds(chance, headroom) - 1
    limits = []
    for panel in detector.panels:
        values = np.floor(counts * panel.gain + panel.pedestal)
        limit = np.clip(values, -(2**31), 2**31 - 1).astype(np.int32)
        limit[0] = -(2**31)
        limits.append(limit)
    return limits


def poisson_threshold(rate: np.ndarray, chance: float = CHANCE) -> np.ndarray:
    """Smallest k with P(X ≥ k | rate) < chance.

    Examples
    --------
    >>> poisson_threshold(np.array([1e-9, 0.1, 1.0, 100.0])).tolist()
    [1.0, 5.0, 10.0, 152.0]
    """
    # P(X ≥ k | λ) is the regularised incomplete gamma function P(k, λ): the table
    # holds the rate at which k is reached with the given chance.
    table = _rates_reaching(chance)
    rate = np.asarray(rate, float)
    k = np.searchsorted(table, rate, side="right") + 1.0
    z = _deviate(chance)
    far = rate > table[-1]
    if np.any(far):
        # Cornish-Fisher expansion; right to less than one count at such rates.
        wide = rate + z * np.sqrt(rate) + (z * z - 1) / 6 + 0.5
        k = np.where(far, np.ceil(wide) + 1, k)
    return np.asarray(k)


def trusted_values(trusted: tuple[float, float]) -> tuple[int, int]:
    """Trusted range in whole numbers; negative values never count."""
    low = int(np.clip(np.ceil(trusted[0]), 0, 2**31 - 1))
    high = int(np.clip(np.floor(trusted[1]), -(2**31), 2**31 - 1))
    return low, high


@lru_cache(maxsize=8)
def _rates_reaching(chance: float) -> np.ndarray:
    from scipy.special import gammaincinv

    return np.asarray(gammaincinv(np.arange(1, 4097), chance))


@lru_cache(maxsize=8)
def _deviate(chance: float) -> float:
    from scipy.special import ndtri

    return float(-ndtri(chance))


def _quantile(cumulative: np.ndarray, share: float) -> np.ndarray:
    """Quantile of binned counts; a count k is spread over k − ½ to k + ½."""
    edges = _bin_edges()
    place = np.minimum(np.sum(cumulative < share, axis=1), cumulative.shape[1] - 1)
    rows = np.arange(len(cumulative))
    before = np.where(place > 0, cumulative[rows, np.maximum(place - 1, 0)], 0.0)
    inside = cumulative[rows, place] - before
    part = np.where(inside > 0, (share - before) / np.where(inside > 0, inside, 1), 0.5)
    quantile: np.ndarray = edges[place] + part * (edges[place + 1] - edges[place])
    return quantile


@lru_cache(maxsize=1)
def _bin_edges() -> np.ndarray:
    first = np.arange(_EXACT)
    octave, part = np.divmod(np.arange(N_BINS + 1 - _EXACT), _PARTS)
    upper = (_PARTS + part) * 2.0 ** (octave + 2)
    return np.concatenate([first, upper]) - 0.5


@kernel
def _count(
    values: np.ndarray,
    zone: np.ndarray,
    stride: int,
    low: int,
    high: int,
    pedestal: float,
    gain: float,
    histograms: np.ndarray,
) -> None:
    rows, columns = values.shape
    for y in range(stride // 2, rows, stride):
        for x in range(stride // 2, columns, stride):
            value = values[y, x]
            if zone[y, x] == 0 or value < low or value > high:
                continue
            photons = int(max((value - pedestal) / gain + 0.5, 0.0))
            histograms[zone[y, x], _bin_of(photons)] += 1


@kernel
def _bin_of(count: int) -> int:
    """Exact to 511, then 128 bins an octave."""
    if count < 512:
        return count
    octave, rest = 0, count >> 2
    while rest >= 256:
        rest >>= 1
        octave += 1
    return 512 + octave * 128 + rest - 128
