"""A scan of one parameter: panels side by side with the step that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from unstill.report.log_axis import label_log_axis
from unstill.report.svg import ACCENT, INK, LINE, STYLE, inline_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 9.0, 2.75
_LEFT, _GAP, _RIGHT, _BOTTOM, _TOP = 0.72, 0.82, 0.12, 0.52, 0.3


@dataclass(frozen=True)
class ScanPanel:
    """One quantity along the scan.

    Parameters
    ----------
    title
        What is drawn, above the panel.
    x, y
        ``(n,)`` steps in the order they were taken.
    xlabel, ylabel
        Axes.
    error
        ``(n,)`` standard errors, or ``None``.
    log
        Logarithmic x; all x must be positive. Infinite ones stand at the right, labelled ∞.
    floor
        Lowest end of the y axis, or ``None`` to fit.
    """

    title: str
    x: np.ndarray
    y: np.ndarray
    xlabel: str
    ylabel: str
    error: np.ndarray | None = None
    log: bool = False
    floor: float | None = None


def scan_plot(
    panels: Sequence[ScanPanel], chosen: int, *, label: str, name: str, title: str
) -> str:
    """Inline SVG of panels that share their steps; the chosen step is marked in each.

    Parameters
    ----------
    panels
        Left to right.
    chosen
        Number of the step that was chosen.
    label
        Set beside the mark in the first panel.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    """
    n = len(panels)
    width = (_WIDTH - _LEFT - _RIGHT - (n - 1) * _GAP) / n
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, _HEIGHT)
        for place, panel in enumerate(panels):
            axes = figure.add_axes(
                (
                    (_LEFT + place * (width + _GAP)) / _WIDTH,
                    _BOTTOM / _HEIGHT,
                    width / _WIDTH,
                    (_HEIGHT - _BOTTOM - _TOP) / _HEIGHT,
                )
            )
            _draw(axes, panel, chosen, label if place == 0 else "")
        return inline_svg(figure, name, title=title)


def _draw(axes: Axes, panel: ScanPanel, chosen: int, label: str) -> None:
    at = panel.x
    if panel.log:
        axes.set_xscale("log")
        at = _within_reach(panel.x)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.plot(at, panel.y, color=INK, linewidth=1.2)
    if panel.error is not None:
        axes.errorbar(at, panel.y, panel.error, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)
    axes.plot(at, panel.y, "o", color=INK, markersize=3.6, markeredgewidth=0)
    x, y = float(at[chosen]), float(panel.y[chosen])
    axes.axvline(x, color=ACCENT, linewidth=1.2)
    axes.plot([x], [y], "o", color=ACCENT, markersize=7, markeredgewidth=0)
    if panel.floor is not None:
        axes.set_ylim(panel.floor, None)
    _set_x(axes, panel, at)
    if label:
        share, level = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
        axes.annotate(
            label,
            (x, 1.0 if level < 0.5 else 0.0),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if share > 0.5 else 5, -2 if level < 0.5 else 3),
            textcoords="offset points",
            ha="right" if share > 0.5 else "left",
            va="top" if level < 0.5 else "bottom",
            fontsize=8.6,
            fontweight="bold",
            color=ACCENT,
        )
    axes.locator_params(axis="y", nbins=5)
    axes.set_title(panel.title, loc="left", pad=5)
    axes.set_xlabel(panel.xlabel)
    axes.set_ylabel(panel.ylabel)
    axes.spines[["top", "right"]].set_visible(False)


def _within_reach(x: np.ndarray) -> np.ndarray:
    """Bring infinite values to where they can be drawn, half a decade beyond the others."""
    finite = x[np.isfinite(x)]
    beyond = 10**0.5 * float(finite.max()) if len(finite) else 1.0
    return np.where(np.isfinite(x), x, beyond)


def _set_x(axes: Axes, panel: ScanPanel, at: np.ndarray) -> None:
    low, high = float(at.min()), float(at.max())
    if panel.log:
        room = max((high / low) ** 0.05, 1.1)
        axes.set_xlim(low / room, high * room)
        endless = not np.isfinite(panel.x).all()
        finite = panel.x[np.isfinite(panel.x)]
        # The tick of infinity takes the place of the last ones before it.
        last = float(finite.max()) if endless and len(finite) else high * room
        label_log_axis(axes.xaxis, low / room, last, most=4, endless=high if endless else None)
        return
    room = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-3)
    axes.set_xlim(low - room, high + room)
    axes.locator_params(axis="x", nbins=4)
