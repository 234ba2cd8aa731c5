"""How many entries of a time series stand for one independent value."""

from __future__ import annotations

import numpy as np
import scipy.fft

from unstill.errors import InputError
from unstill.shapes import Float


def statistical_inefficiency(series: Float[np.ndarray, " times"]) -> float:
    r"""Return g: the mean of T entries is as sure as that of T/g independent ones.

    .. math:: g = 1 + 2 \sum_{t=1}^{T-1} \left(1 - \frac{t}{T}\right) \rho_t

    with the autocorrelation ρ (Chodera et al. 2007,
    https://doi.org/10.1021/ct0502864). The sum ends before the first pair
    ρ₂ₘ + ρ₂ₘ₊₁ that is not positive, and a pair that is larger than the one
    before it counts as that one: the initial monotone sequence of Geyer 1992
    (https://doi.org/10.1214/ss/1177011137). What is left out is noise, which
    would make g too large.

    Parameters
    ----------
    series
        ``(n_times,)`` in the order of time, at even steps.

    Returns
    -------
    float
        Between 1 and T. Series that alternate count as independent, which is
        on the safe side. A series that never moves gives T: as far as anyone
        can tell, it is one value.

    Raises
    ------
    InputError
        If there is no entry, or one is not finite.

    Examples
    --------
    >>> statistical_inefficiency(np.array([1.0, -1.0, 1.0, -1.0]))
    1.0
    >>> statistical_inefficiency(np.full(8, 0.25))
    8.0
    """
    values = np.asarray(series, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise InputError(
            "a time series needs numbers that are finite",
            found=f"shape {values.shape}, {int((~np.isfinite(values)).sum())} not finite",
            fix="give one number a time",
        )
    n = len(values)
    if np.ptp(values) == 0:
        return float(n)
    # Divided by T at every lag, which is the factor 1 − t/T of the sum.
    correlation = _autocovariance(values - values.mean())
    pairs = correlation[: n // 2 * 2].reshape(-1, 2).sum(axis=1) / correlation[0]
    ends = np.flatnonzero(pairs <= 0)
    stop = int(ends[0]) if len(ends) else len(pairs)
    falling = np.minimum.accumulate(pairs[:stop])
    return float(np.clip(2 * falling.sum() - 1, 1, n))


def _autocovariance(centred: np.ndarray) -> np.ndarray:
    """``(n,)`` Σ x(t) x(t + lag) / n."""
    n = len(centred)
    # Padded, so that the end does not meet the beginning.
    size = scipy.fft.next_fast_len(2 * n, real=True)
    power = np.abs(scipy.fft.rfft(centred, size)) ** 2
    found: np.ndarray = scipy.fft.irfft(power, size)[:n] / n
    return found
