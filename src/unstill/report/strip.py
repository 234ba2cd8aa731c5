"""A strip of controls: what happened in each of them, and the one number that is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, HATCH, SOFT, STYLE, inline_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 6.4, 1.95
_BINS = 64
_LOW = 0.75
"""Piles up to this share of the height leave room for their name above them."""

_ROOM = 3.0
"""A reference more than this many times beyond everything else is not drawn."""


@dataclass(frozen=True)
class Judged:
    """The number that the controls are for.

    Parameters
    ----------
    label
        Name, set above its line.
    value
        Where it is.
    low, high
        Ends of its interval; not finite where there is none.
    """

    label: str
    value: float
    low: float = float("nan")
    high: float = float("nan")


def strip_plot(
    controls: Sequence[float] | np.ndarray,
    judged: Judged,
    *,
    name: str,
    title: str,
    xlabel: str,
    controls_label: str,
    reference: tuple[float, str] | None = None,
) -> str:
    """Inline SVG of controls as dots, piled where they coincide, and the judged value as a line.

    Parameters
    ----------
    controls
        One value a control; may be empty.
    judged
        The value to hold against them.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    xlabel, controls_label
        Axis, and what a dot is.
    reference
        ``(value, label)`` drawn dotted at ± value, if that is not far outside.
    """
    values = np.asarray(controls, dtype=float)
    values = values[np.isfinite(values)]
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, _HEIGHT)
        axes = figure.add_axes((0.03, 0.245, 0.94, 0.55))
        low, high = _limits(values, judged, reference)
        axes.set_xlim(low, high)
        axes.set_ylim(0, 1)
        axes.axvline(0, color=HATCH, linewidth=1.0)
        if reference is not None:
            _draw_reference(axes, reference)
        _draw_controls(axes, values, controls_label, judged.value)
        _draw_judged(axes, judged)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.locator_params(axis="x", nbins=7)
        axes.set_xlabel(xlabel)
        return inline_svg(figure, name, title=title)


def _limits(
    values: np.ndarray, judged: Judged, reference: tuple[float, str] | None
) -> tuple[float, float]:
    ends = np.array([0.0, judged.value, judged.low, judged.high, *values])
    ends = ends[np.isfinite(ends)]
    low, high = float(ends.min()), float(ends.max())
    reach = max(-low, high)
    if reference is not None and 0 < reference[0] <= _ROOM * max(reach, 1e-12):
        low, high = min(low, -reference[0]), max(high, reference[0])
    if high - low < 1e-9:
        low, high = low - 0.01, high + 0.01
    room = 0.06 * (high - low)
    return low - room, high + room


def _draw_reference(axes: Axes, reference: tuple[float, str]) -> None:
    value, label = reference
    low, high = axes.get_xlim()
    for sign, text in ((-1, f"−{label}"), (1, f"+{label}")):
        if low < sign * value < high:
            axes.axvline(sign * value, color=SOFT, linewidth=1.0, linestyle=(0, (1, 2)))
            axes.annotate(
                text,
                (sign * value, 1.0),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=SOFT,
                fontsize=8,
            )


def _draw_controls(axes: Axes, values: np.ndarray, label: str, judged: float) -> None:
    if not len(values):
        return
    low, high = axes.get_xlim()
    width = (high - low) / _BINS
    # Piles are centred on zero, so that a control without any gain stands on its line.
    column = np.rint(values / width).astype(int)
    place = np.array([np.count_nonzero(column[:i] == column[i]) + 1 for i in range(len(column))])
    step = min(0.105, 0.9 / place.max())
    at = column * width
    size = 5.4 if step > 0.06 else 3.6
    axes.plot(at, (place - 0.5) * step + 0.02, "o", color=SOFT, markersize=size, markeredgewidth=0)
    tallest = int(np.argmax(place))
    x = float(at[tallest])
    # Away from the line of the judged value, as far as there is room.
    share = (x - low) / (high - low)
    to_left = share > 0.75 or (share > 0.25 and not judged < x)
    top = 0.02 + step * float(place.max())
    above = top <= _LOW
    aside = 0 if above else 9
    axes.annotate(
        label,
        (x, top if above else top / 2),
        xytext=(-aside if to_left else aside, 4 if above else 0),
        textcoords="offset points",
        ha="right" if to_left else "left",
        va="bottom" if above else "center",
        color=SOFT,
        fontsize=8.6,
    )


def _draw_judged(axes: Axes, judged: Judged) -> None:
    if not np.isfinite(judged.value):
        return
    if np.isfinite([judged.low, judged.high]).all():
        axes.axvspan(judged.low, judged.high, color=ACCENT, alpha=0.16, linewidth=0)
    axes.axvline(judged.value, color=ACCENT, linewidth=2.0)
    low, high = axes.get_xlim()
    share = (judged.value - low) / (high - low)
    side = "left" if share < 0.15 else "right" if share > 0.85 else "center"
    axes.annotate(
        judged.label,
        (judged.value, 1.0),
        xytext=(0, 13),
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=ACCENT,
        fontsize=8.8,
        fontweight="bold",
    )
