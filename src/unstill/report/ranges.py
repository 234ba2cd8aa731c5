"""Before and after, one row each: an open dot, and a dot with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, INK, LINE, SOFT, STYLE, inline_svg, new_figure

_ROW = 0.32


@dataclass(frozen=True)
class Range:
    """A row.

    Parameters
    ----------
    label
        Its name.
    before, after
        The two values.
    low, high
        Ends of the interval of ``after``; not finite where there is none.
    """

    label: str
    before: float
    after: float
    low: float = float("nan")
    high: float = float("nan")


def range_plot(
    ranges: Sequence[Range],
    *,
    name: str,
    title: str,
    xlabel: str,
    limits: tuple[float, float] | None = None,
) -> str:
    """Inline SVG of rows from top to bottom on a common axis."""
    n = len(ranges)
    height = 0.62 + _ROW * n
    longest = max(len(row.label) for row in ranges)
    left = min(0.3, 0.03 + 0.0135 * longest)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(6.4, height)
        axes = figure.add_axes((left, 0.46 / height, 0.97 - left, (_ROW * n + 0.08) / height))
        axes.grid(axis="x", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        for place, row in enumerate(ranges):
            if np.isfinite([row.low, row.high]).all():
                axes.plot([row.low, row.high], [place, place], color=ACCENT, linewidth=2.0)
            axes.plot(
                [row.before],
                [place],
                "o",
                markersize=6,
                markerfacecolor="none",
                markeredgecolor=INK,
                markeredgewidth=1.1,
            )
            axes.plot([row.after], [place], "o", color=ACCENT, markersize=6, markeredgewidth=0)
        axes.set_yticks(range(n), [row.label for row in ranges])
        axes.set_ylim(n - 0.5, -0.5)
        if limits is not None:
            axes.set_xlim(*limits)
        axes.set_xlabel(xlabel)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(SOFT)
        return inline_svg(figure, name, title=title)
