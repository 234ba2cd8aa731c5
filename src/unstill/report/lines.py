"""Panels of lines side by side: one quantity against another, for one or many series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, HATCH, INK, LINE, SOFT, STYLE, inline_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 9.0
_LEFT, _GAP, _RIGHT, _BOTTOM, _TOP = 0.72, 0.86, 0.16, 0.52, 0.32
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": ACCENT, "linewidth": 1.6, "linestyle": "-"},
    {"color": INK, "linewidth": 1.1, "linestyle": "-"},
    {"color": INK, "linewidth": 1.1, "linestyle": (0, (5, 2))},
    {"color": SOFT, "linewidth": 1.2, "linestyle": (0, (1, 1.6))},
    {"color": SOFT, "linewidth": 1.1, "linestyle": "-"},
    {"color": ACCENT, "linewidth": 1.2, "linestyle": (0, (5, 2))},
)

_FAINT: dict[str, Any] = {"color": INK, "linewidth": 0.6, "alpha": 0.35}


@dataclass(frozen=True)
class Line:
    """One series.

    Parameters
    ----------
    label
        Name in the legend; empty draws it without one.
    x, y
        ``(n,)`` each; interrupted where y is not finite.
    dots
        Draw points in place of a line.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    dots: bool = False


@dataclass(frozen=True)
class LinePanel:
    """One pair of axes.

    Parameters
    ----------
    title
        What is drawn, above the panel.
    xlabel, ylabel
        Axes, with their units.
    lines
        At most six are told apart; more are all drawn alike.
    level
        Draws a thin line at that value, such as 1 for a scale.
    floor
        Lowest end of the y axis, or ``None`` to fit.
    log
        Logarithmic y.
    """

    title: str
    xlabel: str
    ylabel: str
    lines: Sequence[Line]
    level: float | None = None
    floor: float | None = None
    log: bool = False


def line_panels(panels: Sequence[LinePanel], *, name: str, title: str, height: float = 2.7) -> str:
    """Inline SVG of panels side by side.

    Parameters
    ----------
    panels
        Left to right; at most four.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    height
        Of the figure (inches).
    """
    n = len(panels)
    width = (_WIDTH - _LEFT - _RIGHT - (n - 1) * _GAP) / n
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, height)
        for place, panel in enumerate(panels):
            left = (_LEFT + place * (width + _GAP)) / _WIDTH
            box = (left, _BOTTOM / height, width / _WIDTH, (height - _BOTTOM - _TOP) / height)
            _draw(figure.add_axes(box), panel)
        return inline_svg(figure, name, title=title)


def _draw(axes: Axes, panel: LinePanel) -> None:
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    if panel.level is not None:
        axes.axhline(panel.level, color=HATCH, linewidth=1.0)
    if panel.log:
        axes.set_yscale("log")
    many = len(panel.lines) > len(_LOOKS)
    for number, line in enumerate(panel.lines):
        look: dict[str, Any] = _FAINT if many else _LOOKS[number]
        if line.dots:
            axes.plot(
                line.x, line.y, "o", color=look["color"], markersize=2.6, markeredgewidth=0,
                label=line.label, rasterized=len(line.x) > 2000,
            )  # fmt: skip
        else:
            axes.plot(line.x, line.y, label=line.label, solid_capstyle="round", **look)
            if len(line.x) == 1:
                axes.plot(line.x, line.y, "o", color=look["color"], markersize=4)
    axes.margins(x=0.02)
    _room(axes, panel)
    axes.set_title(panel.title, loc="left", pad=5)
    axes.set_xlabel(panel.xlabel)
    axes.set_ylabel(panel.ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    if not panel.log:
        axes.locator_params(axis="y", nbins=5)
    axes.locator_params(axis="x", nbins=6)
    if not many and sum(bool(line.label) for line in panel.lines) > 1:
        axes.legend(frameon=False, fontsize=8, loc="best", handlelength=1.8, labelspacing=0.25)


def _room(axes: Axes, panel: LinePanel) -> None:
    """Keep a constant from being drawn as noise: an axis spans 2 % of its values at least."""
    values = np.concatenate([np.ravel(line.y) for line in panel.lines])
    values = values[np.isfinite(values)]
    if panel.log or not len(values):
        return
    low, high = float(values.min()), float(values.max())
    if panel.floor is not None:
        reach = high - panel.floor
        axes.set_ylim(panel.floor, panel.floor + 1.08 * reach if reach > 0 else panel.floor + 1)
        return
    least = 0.02 * max(abs(low), abs(high), 1e-12)
    if high - low < least:
        middle = (low + high) / 2
        axes.set_ylim(middle - least, middle + least)
