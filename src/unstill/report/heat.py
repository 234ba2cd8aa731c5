"""Numbers over a plane, such as a detector, as colours; panels share one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np

from unstill.report.svg import HATCH, STYLE, inline_svg, new_figure

_WIDTH = 9.0
_LEFT, _GAP, _RIGHT, _BOTTOM, _TOP = 0.62, 0.42, 1.05, 0.5, 0.34
_MOST = 3.3
"""Largest width of a panel (inches)."""


@dataclass(frozen=True)
class HeatPanel:
    """One plane.

    Parameters
    ----------
    title
        What is drawn, above the panel.
    values
        ``(rows, columns)``; where it is not finite the paper shows, hatched.
    extent
        Left, right, bottom and top of the array, as the axes count.
    """

    title: str
    values: np.ndarray
    extent: tuple[float, float, float, float]


def heat_maps(
    panels: Sequence[HeatPanel],
    *,
    name: str,
    title: str,
    xlabel: str,
    ylabel: str,
    unit: str,
    centre: float | None = None,
    equal: bool = True,
) -> str:
    """Inline SVG of planes side by side, with one colour bar.

    Parameters
    ----------
    panels
        Left to right; at most four.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    xlabel, ylabel, unit
        Axes and colour bar, with their units.
    centre
        Value of no effect: colours then diverge from it. ``None`` for a plain scale.
    equal
        Same scale along x and y, and y downwards, as on a detector.
    """
    look = _look(np.concatenate([np.ravel(panel.values) for panel in panels]), centre)
    n = len(panels)
    width = min((_WIDTH - _LEFT - _RIGHT - (n - 1) * _GAP) / n, _MOST)
    left, right, bottom, top = panels[0].extent
    aspect = abs((top - bottom) / (right - left)) if equal else 0.62
    tall = float(np.clip(width * aspect, 0.9, 4.2))
    height = tall + _BOTTOM + _TOP
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, height)
        for place, panel in enumerate(panels):
            at = (_LEFT + place * (width + _GAP)) / _WIDTH
            axes = figure.add_axes((at, _BOTTOM / height, width / _WIDTH, tall / height))
            axes.patch.set(hatch="//////", edgecolor=HATCH, facecolor="none")
            image = axes.imshow(
                np.ma.masked_invalid(panel.values),
                extent=panel.extent,
                origin="lower",
                aspect="equal" if equal else "auto",
                interpolation="nearest",
                **look,
            )
            if equal:  # rows of a detector count downwards
                axes.invert_yaxis()
            axes.set_title(panel.title, loc="left", pad=5)
            axes.set_xlabel(xlabel)
            axes.locator_params(nbins=5)
            if place == 0:
                axes.set_ylabel(ylabel)
            else:
                axes.tick_params(labelleft=False)
            axes.spines[["top", "right"]].set_visible(False)
        end = (_LEFT + n * width + (n - 1) * _GAP + 0.14) / _WIDTH
        bar = figure.add_axes((end, (_BOTTOM + 0.06 * tall) / height, 0.01, 0.88 * tall / height))
        colours = figure.colorbar(image, cax=bar)
        if colours.solids is not None:
            colours.solids.set_rasterized(True)
        colours.outline.set_visible(False)
        colours.set_label(unit, fontsize=8.5)
        colours.ax.tick_params(length=2, labelsize=8)
        colours.ax.locator_params(nbins=5)
        return inline_svg(figure, name, title=title)


def _look(values: np.ndarray, centre: float | None) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0}
    low, high = (float(value) for value in np.percentile(finite, [0.5, 99.5]))
    if centre is None:
        return {"cmap": "viridis", "vmin": low, "vmax": max(high, low + 1e-12)}
    # Less than 1 % about the centre is no structure worth a strong colour.
    reach = max(abs(low - centre), abs(high - centre), 0.01 * max(abs(centre), 1e-9))
    return {"cmap": "RdBu_r", "vmin": centre - reach, "vmax": centre + reach}
