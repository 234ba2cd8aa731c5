"""Curves: correlation against resolution, and correlation against frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, HATCH, INK, LINE, SOFT, STYLE, inline_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROUND_D = (20, 10, 7, 5, 4, 3.5, 3, 2.8, 2.6, 2.4, 2.2, 2, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2)

_LOOK: dict[str, dict[str, Any]] = {
    "main": {"color": ACCENT, "linewidth": 2.0, "linestyle": "-"},
    "other": {"color": INK, "linewidth": 1.2, "linestyle": "-"},
    "third": {"color": INK, "linewidth": 1.2, "linestyle": (0, (5, 2))},
    "soft": {"color": SOFT, "linewidth": 1.2, "linestyle": (0, (1, 1.6))},
    "ceiling": {"color": SOFT, "linewidth": 1.1, "linestyle": (0, (7, 2.5))},
    "null": {"color": SOFT, "linewidth": 1.0, "linestyle": "-"},
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot, named at its end.

    Parameters
    ----------
    label
        Name, set beside the last point.
    x, y
        ``(n,)`` each; where y is not finite the line is interrupted.
    low, high
        ``(n,)`` ends of the shaded interval, or ``None``.
    look
        ``"main"`` (accent), ``"other"``, ``"third"``, ``"soft"``, ``"ceiling"`` (CC_max) or
        ``"null"`` (control).
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    look: str = "other"


def resolution_curves(
    curves: Sequence[Curve],
    *,
    name: str,
    title: str,
    ylabel: str = "Correlation (CC)",
    difference: bool = False,
) -> str:
    """Inline SVG of curves whose x is 1/d² (Å⁻²); the axis is labelled with d (Å).

    ``difference`` for differences of correlations: the axis then fits the curves.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(6.4, 3.5)
        axes = figure.add_axes((0.085, 0.145, 0.665, 0.82))
        _draw(axes, curves)
        if difference:
            _difference_axis(axes, curves, ylabel)
        else:
            _correlation_axis(axes, curves, ylabel)
        right = max(float(np.nanmax(curve.x)) for curve in curves)
        axes.set_xlim(0, right * 1.02)
        ticks = _d_ticks(right)
        axes.set_xticks([1 / d**2 for d in ticks], [f"{d:g}" for d in ticks])
        axes.set_xlabel("d (Å), spaced by 1/d²")
        _name_ends(axes, curves)
        return inline_svg(figure, name, title=title)


def convergence_curves(curves: Sequence[Curve], *, name: str, title: str) -> str:
    """Inline SVG of correlation against the number of frames, on a logarithmic axis."""
    from matplotlib.ticker import FixedLocator, NullLocator

    with matplotlib.rc_context(STYLE):
        figure = new_figure(6.4, 3.5)
        axes = figure.add_axes((0.085, 0.145, 0.665, 0.82))
        axes.set_xscale("log", base=2)
        _draw(axes, curves)
        _correlation_axis(axes, curves, "Anisotropic correlation (CC)")
        frames = np.unique(np.concatenate([curve.x for curve in curves])).astype(int)
        shown = frames if len(frames) <= 9 else frames[:: -(-len(frames) // 8)]
        axes.xaxis.set_major_locator(FixedLocator(shown.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(n) for n in shown])
        axes.set_xlim(frames.min() * 0.93, frames.max() * 1.03)
        axes.set_xlabel("Frames in the ensemble")
        _name_ends(axes, curves)
        return inline_svg(figure, name, title=title)


def fisher_interval(cc: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a correlation of n independent pairs, by Fisher's z.

    Parameters
    ----------
    cc, n
        ``(n_shells,)`` correlation, and number of **independent** pairs: Laue
        mates count once.

    Examples
    --------
    >>> low, high = fisher_interval(np.array([0.5]), np.array([100]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.337], [0.634])
    """
    pairs = np.asarray(n, dtype=float)
    half = 1.959964 / np.sqrt(np.maximum(pairs - 3, 1e-12))
    with np.errstate(divide="ignore"):
        z = np.arctanh(np.clip(np.asarray(cc, dtype=float), -1, 1))
    low, high = np.tanh(z - half), np.tanh(z + half)
    few = pairs <= 3
    return np.where(few, -1.0, low), np.where(few, 1.0, high)


def _draw(axes: Axes, curves: Sequence[Curve]) -> None:
    for curve in curves:
        look = _LOOK[curve.look]
        axes.plot(curve.x, curve.y, solid_capstyle="round", **look)
        if curve.low is not None and curve.high is not None:
            axes.fill_between(
                curve.x, curve.low, curve.high, color=look["color"], alpha=0.16, linewidth=0
            )


def _correlation_axis(axes: Axes, curves: Sequence[Curve], ylabel: str) -> None:
    values = np.concatenate([np.ravel(curve.y) for curve in curves])
    lowest = float(np.nanmin(values))
    axes.set_ylim(-0.04 if lowest > -0.03 else max(-1.03, lowest - 0.05), 1.03)
    axes.set_yticks(np.arange(-1 if lowest < -0.2 else 0, 1.01, 0.2))
    _frame(axes, ylabel)


def _difference_axis(axes: Axes, curves: Sequence[Curve], ylabel: str) -> None:
    drawn = [np.ravel(curve.y) for curve in curves]
    drawn += [end for curve in curves for end in (curve.low, curve.high) if end is not None]
    values = np.concatenate([*drawn, np.array([-0.01, 0.01])])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.05 * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.locator_params(axis="y", nbins=7)
    _frame(axes, ylabel)


def _frame(axes: Axes, ylabel: str) -> None:
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.axhline(0, color=HATCH, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)


def _d_ticks(right: float) -> list[float]:
    """Round spacings, thinned so that their labels do not touch on a 1/d² axis."""
    ticks: list[float] = []
    last = -np.inf
    for d in _ROUND_D:
        x = 1 / d**2
        if x <= right * 1.01 and x - last >= 0.062 * right:
            ticks.append(d)
            last = x
    return ticks


def _name_ends(axes: Axes, curves: Sequence[Curve]) -> None:
    """Names at the right ends, pushed apart until they do not touch."""
    ends = []
    for curve in curves:
        finite = np.flatnonzero(np.isfinite(curve.y))
        if len(finite):
            ends.append((float(curve.y[finite[-1]]), curve))
    ends.sort(key=lambda end: end[0])
    places = np.array([y for y, _ in ends])
    low, high = axes.get_ylim()
    gap = 0.058 * (high - low)
    for _ in range(200):
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 1e-9:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
        places = np.clip(places, low + gap / 2, high)
    for place, (_, curve) in zip(places, ends, strict=True):
        axes.annotate(
            curve.label,
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=_LOOK[curve.look]["color"],
            fontsize=8.8,
            fontweight="bold" if curve.look == "main" else "normal",
            annotation_clip=False,
        )
