"""One quantity against another, a series a method: the plot of a trade-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, HATCH, INK, LINE, SOFT, STYLE, inline_svg, new_figure

_WIDTH, _HEIGHT = 6.4, 3.6
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": ACCENT, "marker": "o", "linestyle": "-"},
    {"color": INK, "marker": "s", "linestyle": "-"},
    {"color": SOFT, "marker": "^", "linestyle": "--"},
    {"color": INK, "marker": "D", "linestyle": ":"},
)


@dataclass(frozen=True, eq=False)
class Trace:
    """Points of one method, in the order of its strength.

    Parameters
    ----------
    label
        Name in the legend.
    x, y
        ``(n,)`` each.
    notes
        One text a point, set beside it; empty for none.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    notes: Sequence[str] = ()


def trade_off(
    traces: Sequence[Trace],
    *,
    xlabel: str,
    ylabel: str,
    name: str,
    title: str,
    level: tuple[float, str] | None = None,
) -> str:
    """Inline SVG of traces in one plane.

    Parameters
    ----------
    traces
        At most four are told apart.
    xlabel, ylabel
        Axes, with their units.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    level
        ``(y, label)`` of a thin line across, such as a limit.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, _HEIGHT)
        axes = figure.add_axes((0.115, 0.145, 0.865, 0.8))
        axes.grid(color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        for number, trace in enumerate(traces):
            look = _LOOKS[number % len(_LOOKS)]
            axes.plot(trace.x, trace.y, label=trace.label, linewidth=1.2, markersize=5, **look)
            for x, y, note in zip(trace.x, trace.y, trace.notes, strict=False):
                axes.annotate(
                    note,
                    (x, y),
                    xytext=(5, 4),
                    textcoords="offset points",
                    fontsize=8,
                    color=look["color"],
                )
        if level is not None:
            axes.axhline(level[0], color=HATCH, linewidth=1.0)
            axes.annotate(
                level[1],
                (1.0, level[0]),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=8,
                color=SOFT,
            )
        axes.margins(0.12)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.spines[["top", "right"]].set_visible(False)
        if len(traces) > 1:
            axes.legend(frameon=False, fontsize=8.5)
        return inline_svg(figure, name, title=title)
