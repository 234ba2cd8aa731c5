"""A segment in its density: contours of a slab of the map, with the models as sticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import scipy.ndimage

from unstill.maps.density_map import DensityMap
from unstill.report.svg import ACCENT, HATCH, INK, SOFT, STYLE, WASH, inline_svg, new_figure
from unstill.shapes import Coord, Coords, Float, Int

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 9.0
_GAP, _TOP, _BOTTOM, _SIDE = 0.12, 0.32, 0.12, 0.06
_MOST = 3.6
_MARGIN, _STEP = 2.2, 0.15
_SLAB = np.linspace(-1.2, 1.2, 7)
_LEVELS = (1.0, 2.0, 3.5)
"""Contours, in standard deviations of the map."""


@dataclass(frozen=True, eq=False)
class Sticks:
    """A model to draw.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` in Å.
    bonds
        ``(m, 2)`` atoms joined by a stick.
    weights
        ``(n_members,)``: members of more weight are darker. Equal by default.
    reference
        Drawn thin and dashed: what is to be found, not what was found.
    """

    coord: Coords
    bonds: Int[np.ndarray, "m 2"]
    weights: Float[np.ndarray, " n_members"] | None = None
    reference: bool = False


@dataclass(frozen=True, eq=False)
class DensityPanel:
    """One look at a segment.

    Parameters
    ----------
    title
        Set above the panel.
    density
        Map whose contours are drawn.
    models
        Sticks, the later ones above the earlier.
    spread
        Contours stand at 1, 2 and 3.5 of it above the mean; the standard deviation of the map
        by default. Panels that are to be compared take the same.
    """

    title: str
    density: DensityMap
    models: Sequence[Sticks]
    spread: float | None = None


def density_panels(panels: Sequence[DensityPanel], around: Coord, *, name: str, title: str) -> str:
    """Inline SVG of panels side by side, all in the plane that the atoms span best.

    Parameters
    ----------
    panels
        Left to right; at most four.
    around
        ``(n, 3)`` atoms (Å) that decide plane, place and size of the view.
    name, title
        As for :func:`unstill.report.svg.inline_svg`.
    """
    centre, axes3, half = _view(np.asarray(around, dtype=float))
    width = min(_MOST, (_WIDTH - 2 * _SIDE - (len(panels) - 1) * _GAP) / len(panels))
    height = width * half[1] / half[0]
    whole = (2 * _SIDE + len(panels) * width + (len(panels) - 1) * _GAP, _TOP + height + _BOTTOM)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(*whole)
        for place, panel in enumerate(panels):
            left = (_SIDE + place * (width + _GAP)) / whole[0]
            box = (left, _BOTTOM / whole[1], width / whole[0], height / whole[1])
            _draw(figure.add_axes(box), panel, centre, axes3, half, scale=place == 0)
        return inline_svg(figure, name, title=title)


def _view(around: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre, axes (rows: right, up, towards the reader) and half sizes (Å) of the view."""
    centre = (around.min(axis=0) + around.max(axis=0)) / 2
    _, _, axes = np.linalg.svd(around - around.mean(axis=0), full_matrices=True)
    # A right-handed view whose signs do not depend on the decomposition.
    for row in range(2):
        axes[row] *= np.sign(axes[row][np.argmax(np.abs(axes[row]))])
    axes[2] = np.cross(axes[0], axes[1])
    flat = (around - centre) @ axes[:2].T
    centre = centre + (flat.max(axis=0) + flat.min(axis=0)) / 2 @ axes[:2]
    half = np.ptp(flat, axis=0) / 2 + _MARGIN
    # Neither a sliver nor a tower.
    half[1] = np.clip(half[1], 0.6 * half[0], 1.1 * half[0])
    return centre, axes, half


def _draw(
    axes: Axes,
    panel: DensityPanel,
    centre: np.ndarray,
    axes3: np.ndarray,
    half: np.ndarray,
    *,
    scale: bool,
) -> None:
    values = _slab(panel.density, centre, axes3, half)
    spread = panel.spread or float(np.nanstd(panel.density.values)) or 1.0
    middle = float(np.nanmean(panel.density.values))
    extent = (-half[0], half[0], -half[1], half[1])
    levels = [middle + level * spread for level in _LEVELS]
    if np.isfinite(values).any() and float(np.nanmax(values)) > levels[0]:
        top = max(float(np.nanmax(values)), levels[-1]) + spread
        axes.contourf(values, levels=[*levels, top], colors=[WASH, WASH, WASH], extent=extent)
        axes.contour(values, levels=levels, colors=SOFT, linewidths=(0.5, 0.7, 0.9), extent=extent)
    for model in panel.models:
        _stick(axes, model, centre, axes3)
    axes.set_xlim(-half[0], half[0])
    axes.set_ylim(-half[1], half[1])
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(HATCH)
    axes.set_title(panel.title, loc="left", pad=5)
    if scale:
        _scale_bar(axes, half)


def _stick(axes: Axes, model: Sticks, centre: np.ndarray, axes3: np.ndarray) -> None:
    n_members = len(model.coord)
    weights = np.full(n_members, 1 / n_members) if model.weights is None else model.weights
    look: dict[str, Any]
    if model.reference:
        look = {"color": INK, "linewidth": 0.9, "linestyle": (0, (3, 1.6)), "alpha": 0.8}
    else:
        look = {"color": ACCENT, "linewidth": 1.7, "solid_capstyle": "round"}
    for member, weight in zip(model.coord, weights, strict=True):
        flat = (member - centre) @ axes3[:2].T
        lines = flat[model.bonds]
        # One path a member, interrupted between bonds.
        gaps = np.full((len(lines), 1, 2), np.nan)
        path = np.concatenate([lines, gaps], axis=1).reshape(-1, 2)
        own = dict(look)
        if not model.reference:
            own["alpha"] = float(np.clip(0.35 + 0.65 * weight * n_members / 2, 0.12, 1.0))
        axes.plot(path[:, 0], path[:, 1], **own)


def _scale_bar(axes: Axes, half: np.ndarray) -> None:
    x, y = -half[0] + 0.5, -half[1] + 0.5
    axes.plot([x, x + 2.0], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
    axes.text(x + 1.0, y + 0.15, "2 Å", ha="center", va="bottom", fontsize=8)


def _slab(
    density: DensityMap, centre: np.ndarray, axes3: np.ndarray, half: np.ndarray
) -> np.ndarray:
    """Largest density through a slab about the plane, ``(ny, nx)``, rows from below."""
    nx, ny = (int(np.ceil(2 * size / _STEP)) + 1 for size in half)
    x, y = np.linspace(-half[0], half[0], nx), np.linspace(-half[1], half[1], ny)
    right, up, front = axes3
    plane = centre + x[None, :, None] * right + y[:, None, None] * up
    points = plane[None] + _SLAB[:, None, None, None] * front
    frac = density.crystal.fractional(points.reshape(-1, 3))
    at = (frac - np.floor(frac)) * np.array(density.shape)
    values = np.where(density.known, density.values, density.values[density.known].mean())
    found = scipy.ndimage.map_coordinates(values, at.T, order=1, mode="grid-wrap")
    deepest: np.ndarray = found.reshape(points.shape[:-1]).max(axis=0)
    return deepest
