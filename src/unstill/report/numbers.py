"""Numbers for people: as many digits as the uncertainty allows."""

from __future__ import annotations

import math


def decimals_for(uncertainty: float, *, most: int = 6) -> int:
    """Decimals that show two significant digits of an uncertainty.

    Examples
    --------
    >>> decimals_for(0.013), decimals_for(4.2), decimals_for(0.0)
    (3, 1, 3)
    """
    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return 3
    return min(most, max(0, 1 - math.floor(math.log10(uncertainty))))


def number(value: float | None, decimals: int = 3) -> str:
    """Write fixed decimals, a true minus sign, and a dash where there is no value.

    Thousands are set apart by a narrow space that does not break.

    Examples
    --------
    >>> number(-0.0214), number(None), number(-0.0001)
    ('−0.021', '–', '0.000')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if float(text.replace("\N{NARROW NO-BREAK SPACE}", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: float | None, decimals: int = 3) -> str:
    """Write a difference: with its sign, unless it rounds to zero.

    Examples
    --------
    >>> signed(0.0173), signed(-0.006), signed(-0.0001)
    ('+0.017', '−0.006', '0.000')
    """
    text = number(value, decimals)
    if value is None or not math.isfinite(value) or value <= 0:
        return text
    return text if all(digit in "0." for digit in text) else f"+{text}"


def with_error(value: float, stderr: float | None) -> str:
    """Value ± standard error, to two digits of the error.

    Examples
    --------
    >>> with_error(8.0371, 0.0123)
    '8.037 ± 0.012'
    """
    if stderr is None or not math.isfinite(stderr):
        return number(value)
    decimals = decimals_for(stderr)
    return f"{number(value, decimals)} ± {number(stderr, decimals)}"


def interval(low: float | None, high: float | None, decimals: int = 3) -> str:
    """Write an interval in brackets.

    Examples
    --------
    >>> interval(0.741, 0.762)
    '[0.741, 0.762]'
    """
    if low is None or high is None:
        return "–"
    return f"[{number(low, decimals)}, {number(high, decimals)}]"
