"""How unevenly something is shared: cumulative share of the largest."""

from __future__ import annotations

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, HATCH, INK, LINE, STYLE, inline_svg, new_figure


def share_curve(
    x: np.ndarray,
    y: np.ndarray,
    *,
    name: str,
    title: str,
    xlabel: str,
    ylabel: str,
    even: str,
    half: str,
) -> str:
    """Inline SVG of a cumulative share against the share of those who hold it.

    Parameters
    ----------
    x, y
        ``(n + 1,)`` both from 0 to 1, largest first, so that the curve lies
        above the diagonal.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    xlabel, ylabel
        Axes; both are labelled in percent.
    even, half
        What the diagonal is, and what to say of the point where y is one half.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(6.4, 3.1)
        axes = figure.add_axes((0.085, 0.155, 0.9, 0.81))
        axes.grid(color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.plot([0, 1], [0, 1], color=HATCH, linewidth=1.0, linestyle=(0, (5, 2)))
        axes.text(0.72, 0.68, even, fontsize=8.6, ha="left", va="top", color=INK)
        axes.plot(x, y, color=ACCENT, linewidth=2.0, solid_joinstyle="round")
        at = float(np.interp(0.5, y, x))
        axes.plot([0, at, at], [0.5, 0.5, 0], color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.plot([at], [0.5], "o", color=ACCENT, markersize=5.5)
        axes.text(0.985, 0.04, half, ha="right", fontsize=8.8, fontweight="bold", color=ACCENT)
        ticks = np.linspace(0, 1, 6)
        percent = [f"{100 * tick:.0f}" for tick in ticks]
        axes.set_xticks(ticks, percent)
        axes.set_yticks(ticks, percent)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.01)
        axes.set_xlabel(f"{xlabel} (%)")
        axes.set_ylabel(f"{ylabel} (%)")
        axes.spines[["top", "right"]].set_visible(False)
        return inline_svg(figure, name, title=title)
