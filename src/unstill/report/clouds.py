"""A cloud of points in three dimensions, as its three projections with an ellipsoid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, HATCH, INK, LINE, STYLE, inline_svg, italic, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _LEFT, _GAP, _RIGHT, _BOTTOM, _TOP = 9.0, 0.78, 0.86, 0.14, 0.52, 0.3
_MOST_POINTS = 3000


@dataclass(frozen=True)
class Cloud:
    """Points about a centre.

    Parameters
    ----------
    points
        ``(n, 3)``; may be empty.
    centre, covariance
        ``(3,)`` and ``(3, 3)`` of the ellipsoid.
    cutoff
        Half axes of the ellipsoid, in standard deviations.
    """

    points: np.ndarray
    centre: np.ndarray
    covariance: np.ndarray
    cutoff: float


def cloud_plot(
    cloud: Cloud, *, names: tuple[str, str, str], unit: str, name: str, title: str
) -> str:
    """Inline SVG of the three projections, all to one scale.

    Parameters
    ----------
    cloud
        What to draw; of many points an even sample is drawn.
    names, unit
        Of the axes.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    """
    side = (_WIDTH - _LEFT - _RIGHT - 2 * _GAP) / 3
    height = side + _BOTTOM + _TOP
    half = cloud.cutoff * np.sqrt(np.diag(cloud.covariance))
    reach = 1.35 * float(np.max(np.abs(cloud.centre) + half))
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, height)
        for place, pair in enumerate(combinations(range(3), 2)):
            left = (_LEFT + place * (side + _GAP)) / _WIDTH
            axes = figure.add_axes((left, _BOTTOM / height, side / _WIDTH, side / height))
            _draw(axes, cloud, pair, reach)
            axes.set_xlabel(f"δ{italic(names[pair[0]])} ({unit})")
            axes.set_ylabel(f"δ{italic(names[pair[1]])} ({unit})")
        return inline_svg(figure, name, title=title)


def _draw(axes: Axes, cloud: Cloud, pair: tuple[int, int], reach: float) -> None:
    axes.grid(color=LINE, linewidth=0.6)
    axes.axhline(0, color=HATCH, linewidth=0.9)
    axes.axvline(0, color=HATCH, linewidth=0.9)
    axes.set_axisbelow(True)
    points = np.asarray(cloud.points, dtype=float).reshape(-1, 3)
    points = points[:: max(1, len(points) // _MOST_POINTS)][:, list(pair)]
    axes.plot(
        points[:, 0], points[:, 1], "o", color=INK, markersize=1.8, markeredgewidth=0, alpha=0.35,
        rasterized=True,
    )  # fmt: skip
    outline = _ellipse(cloud, pair)
    axes.plot(outline[0], outline[1], color=ACCENT, linewidth=1.6)
    at = cloud.centre[list(pair)]
    axes.plot([at[0]], [at[1]], "+", color=ACCENT, markersize=8, markeredgewidth=1.6)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.locator_params(nbins=5)
    axes.spines[["top", "right"]].set_visible(False)


def _ellipse(cloud: Cloud, pair: tuple[int, int]) -> np.ndarray:
    """Outline of the shadow of the ellipsoid: that of the covariance of the two axes."""
    part = cloud.covariance[np.ix_(pair, pair)]
    values, vectors = np.linalg.eigh(part)
    angle = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    axes = vectors * (cloud.cutoff * np.sqrt(np.maximum(values, 0)))
    outline: np.ndarray = axes @ circle + cloud.centre[list(pair)][:, None]
    return outline
