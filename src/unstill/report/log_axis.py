"""Logarithmic axes with plain labels: 0.01, 0.1, 1, 10, and powers of ten beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axis import Axis

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def log_ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Ticks between two positive numbers: powers of ten, or 1, 2, 5 where these are few.

    Examples
    --------
    >>> log_ticks(0.003, 40.0)
    [0.01, 0.1, 1.0, 10.0]
    >>> log_ticks(0.4, 3.0)
    [0.5, 1.0, 2.0]
    """
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    for leading in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{digit}e{power}") for power in decades for digit in leading]
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) <= most:
            return inside
    return inside[:: -(-len(inside) // most)]


def log_label(value: float) -> str:
    """Write a tick.

    Examples
    --------
    >>> log_label(0.01), log_label(500.0), log_label(2e-5)
    ('0.01', '500', '2·10⁻⁵')
    """
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    digit, power = f"{value:.0e}".split("e")
    raised = f"10{str(int(power)).translate(_RAISED)}"
    return raised if digit == "1" else f"{digit}·{raised}"


def label_log_axis(
    axis: Axis, low: float, high: float, *, most: int = 6, endless: float | None = None
) -> None:
    """Put these ticks, and no others, on an axis that is logarithmic.

    ``endless`` is where infinity is drawn, if it is.
    """
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

    ticks = log_ticks(low, high, most=most)
    labels = [log_label(tick) for tick in ticks]
    if endless is not None:
        ticks, labels = [*ticks, endless], [*labels, "∞"]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_ticklabels(labels)
