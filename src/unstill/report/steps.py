"""Ratios along a sequence, as steps on a logarithmic axis centred on one."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
import numpy as np

from unstill.report.log_axis import label_log_axis
from unstill.report.svg import ACCENT, HATCH, LINE, SOFT, STYLE, inline_svg, new_figure

_FLOOR = 1e-2
"""Ratios below this are drawn at the foot of the axis."""


@dataclass(frozen=True)
class Steps:
    """One number an interval of x.

    Parameters
    ----------
    edges
        ``(n + 1,)`` where the intervals begin and end.
    ratio
        ``(n,)`` positive; 1 is no change.
    low, high
        ``(n,)`` ends of the shaded interval, or ``None``.
    """

    edges: np.ndarray
    ratio: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def step_plot(steps: Steps, *, name: str, title: str, xlabel: str, ylabel: str) -> str:
    """Inline SVG of ratios along x; below 0.01 they stand on the floor of the plot."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(6.4, 2.9)
        axes = figure.add_axes((0.085, 0.165, 0.9, 0.79))
        axes.set_yscale("log")
        low, high = _limits(steps)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.axhline(1.0, color=HATCH, linewidth=1.0)
        axes.set_axisbelow(True)
        if steps.low is not None and steps.high is not None:
            axes.stairs(
                np.clip(steps.high, low, high),
                steps.edges,
                baseline=np.clip(steps.low, low, high),
                fill=True,
                facecolor=ACCENT,
                edgecolor="none",
                alpha=0.18,
            )
        drawn = np.clip(steps.ratio, low, high)
        axes.stairs(
            drawn,
            steps.edges,
            baseline=None,
            color=ACCENT,
            linewidth=1.6 if len(drawn) <= 200 else 0.8,
        )
        axes.set_ylim(low, high)
        label_log_axis(axes.yaxis, low, high)
        axes.set_xlim(float(steps.edges[0]), float(steps.edges[-1]))
        axes.locator_params(axis="x", nbins=8)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.spines[["top", "right"]].set_visible(False)
        if (steps.ratio < _FLOOR).any():
            axes.annotate(
                f"≤ {_FLOOR:g}",
                (1.0, low),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 3),
                textcoords="offset points",
                ha="right",
                va="bottom",
                color=SOFT,
                fontsize=8,
            )
        return inline_svg(figure, name, title=title)


def _limits(steps: Steps) -> tuple[float, float]:
    """Return the ends of the axis: everything, but at least a factor of two either way."""
    drawn = [steps.ratio]
    if steps.low is not None and steps.high is not None:
        drawn += [steps.low, steps.high]
    values = np.clip(np.concatenate(drawn), _FLOOR, None)
    low, high = float(values.min()), float(values.max())
    return max(_FLOOR, min(low / 1.15, 0.45)), max(high * 1.15, 2.2)
