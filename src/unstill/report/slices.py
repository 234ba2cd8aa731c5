"""Slices of reciprocal space, with true angles and equal aspect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import matplotlib
import numpy as np

from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.report.svg import HATCH, PAPER, SOFT, STYLE, inline_svg, italic, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon

Axis = Literal["h", "k", "l"]
_NAMES: tuple[Axis, Axis, Axis] = ("h", "k", "l")
_GAP = 0.24  # inches between panels
_RINGS = (10.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0)


@dataclass(frozen=True)
class ColourScale:
    """How numbers become colours, shared by panels that are to be compared.

    Parameters
    ----------
    low, high
        Ends of the scale; values beyond them take the end colours.
    unit
        Name and unit, set beside the colour bar.
    signed
        Diverging and centred on zero, for anisotropic maps and differences;
        otherwise sequential, for totals.
    """

    low: float
    high: float
    unit: str
    signed: bool

    @property
    def power(self) -> int:
        """Power of ten, a multiple of three, that is taken out of the tick labels."""
        top = max(abs(self.low), abs(self.high))
        return 3 * int(np.floor(np.log10(top) / 3 + 1e-9)) if top > 0 else 0

    @property
    def label(self) -> str:
        """Unit with the power of ten in front."""
        if self.power == 0:
            return self.unit
        raised = str(self.power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        name, bracket, unit = self.unit.partition("(")
        return f"{name}{bracket or ' ('}10{raised} {unit or ')'}"


@dataclass(frozen=True)
class SlicePanel:
    """One slice.

    Parameters
    ----------
    title
        What is drawn.
    data
        The map; ``mask`` decides what is hatched.
    axis, value
        The plane, for example ``"l"`` and 0.5.
    scale
        Colours.
    """

    title: str
    data: IntensityMap
    axis: Axis
    value: float
    scale: ColourScale


def scale_for(
    planes: Sequence[IntensityMap], unit: str, *, signed: bool, percent: float = 99.0
) -> ColourScale:
    """Return a scale from the percentiles of all the maps, symmetric about zero if signed."""
    values = np.concatenate([plane.intensity[plane.measured] for plane in planes])
    if values.size == 0:
        return ColourScale(-1.0 if signed else 0.0, 1.0, unit, signed)
    if signed:
        top = float(np.percentile(np.abs(values), percent)) or 1.0
        return ColourScale(-top, top, unit, signed)
    low, high = (float(v) for v in np.percentile(values, [100 - percent, percent]))
    return ColourScale(low, high if high > low else low + 1.0, unit, signed)


def holds_plane(data: IntensityMap, axis: Axis, value: float) -> bool:
    """Whether a map has that plane, exactly."""
    return _plane_number(data, axis, value) is not None


def draw_slices(rows: Sequence[Sequence[SlicePanel]], *, name: str, title: str) -> str:
    """Inline SVG of rows of slices; panels of a row that share a scale share a colour bar.

    Raises
    ------
    InputError
        If a map does not hold its plane.
    """
    with matplotlib.rc_context(STYLE):
        geometry = [[_Geometry(panel) for panel in row] for row in rows]
        columns = max(len(row) for row in rows)
        aspect = max(g.height / g.width for row in geometry for g in row)
        panel_width = (9.0 - 0.55 - 0.9 * _bars(rows)) / columns - _GAP
        panel_width = min(panel_width, 3.55)
        panel_height = panel_width * aspect
        width, height = 9.0, len(rows) * (panel_height + 0.78) + 0.05
        figure = new_figure(width, height)
        for i, (row, shapes) in enumerate(zip(rows, geometry, strict=True)):
            bottom = height - (i + 1) * (panel_height + 0.78) + 0.42
            _draw_row(figure, row, shapes, (0.52, bottom, panel_width, panel_height))
        return inline_svg(figure, name, title=title, dpi=160)


class _Geometry:
    """Where the voxels of a plane lie in the plane: cartesian s (Å⁻¹)."""

    def __init__(self, panel: SlicePanel) -> None:
        data, fixed = panel.data, _NAMES.index(panel.axis)
        self.free = [i for i in range(3) if i != fixed]
        number = _plane_number(data, panel.axis, panel.value)
        if number is None:
            raise InputError(
                "the map does not hold that plane",
                found=f"{panel.axis} = {panel.value:g}",
                fix="choose a plane on the grid of the map",
            )
        self.values = np.take(data.intensity, number, axis=fixed)
        self.mask = np.take(data.mask, number, axis=fixed)
        basis = data.crystal.s(np.eye(3))
        first, second, across = basis[self.free[0]], basis[self.free[1]], basis[fixed]
        along = first / np.linalg.norm(first)
        up = second - (second @ along) * along
        up /= np.linalg.norm(up)
        self.base = np.array([[v @ along, v @ up] for v in (first, second)])
        offset = panel.value * across
        self.origin = np.array([offset @ along, offset @ up])
        self.height_above = float(np.sqrt(max(offset @ offset - self.origin @ self.origin, 0.0)))
        axes = data.grid.axes()
        steps = [1 / data.grid.divisions[i] for i in self.free]
        self.edges = [
            np.append(axes[i] - step / 2, axes[i][-1] + step / 2)
            for i, step in zip(self.free, steps, strict=True)
        ]
        self.names = [_NAMES[i] for i in self.free]
        s_max = 1 / data.d_min if np.isfinite(data.d_min) else 0.0
        self.s_max = float(np.sqrt(max(s_max**2 - self.height_above**2, 0.0)))
        self.limits = [
            np.array([max(e[0], -r), min(e[-1], r)])
            for e, r in zip(self.edges, self._reach(), strict=True)
        ]
        corners = self.corners()
        self.low, self.high = corners.min(axis=0), corners.max(axis=0)
        self.width, self.height = (self.high - self.low).tolist()

    def _reach(self) -> list[float]:
        # Largest index that the sphere reaches in the plane, with a little room.
        inverse = np.linalg.inv(self.base)
        shift = self.origin @ inverse
        return [
            float(self.s_max * np.linalg.norm(inverse[:, i]) * 1.03 + abs(shift[i]))
            for i in range(2)
        ]

    def corners(self) -> np.ndarray:
        (a, b), (c, d) = self.limits
        return self.place(np.array([[a, c], [b, c], [b, d], [a, d]]))

    def place(self, indices: np.ndarray) -> np.ndarray:
        placed: np.ndarray = indices @ self.base + self.origin
        return placed


def _plane_number(data: IntensityMap, axis: Axis, value: float) -> int | None:
    i = _NAMES.index(axis)
    exact = value * data.grid.divisions[i] - data.grid.start[i]
    number = round(exact)
    inside = abs(exact - number) < 1e-6 and 0 <= number < data.grid.shape[i]
    return number if inside else None


def _bars(rows: Sequence[Sequence[SlicePanel]]) -> int:
    return max(len(_runs(row)) for row in rows)


def _runs(row: Sequence[SlicePanel]) -> list[int]:
    """Lengths of runs of panels that share one scale."""
    runs: list[int] = []
    for i, panel in enumerate(row):
        if i and panel.scale == row[i - 1].scale:
            runs[-1] += 1
        else:
            runs.append(1)
    return runs


def _draw_row(
    figure: Figure,
    row: Sequence[SlicePanel],
    shapes: Sequence[_Geometry],
    box: tuple[float, float, float, float],
) -> None:
    left, bottom, width, height = box
    total_width, total_height = figure.get_size_inches()

    def place(x: float, w: float, y: float = bottom, h: float = height) -> Axes:
        scaled = (x / total_width, y / total_height, w / total_width, h / total_height)
        return figure.add_axes(scaled)

    at = 0
    for run in _runs(row):
        meshes = []
        for i in range(at, at + run):
            meshes.append(
                _draw_panel(place(left, width), row[i], shapes[i], width=width, first=i == at)
            )
            left += width + _GAP
        bar = place(left - _GAP + 0.1, 0.085, bottom + 0.08 * height, 0.84 * height)
        colours = figure.colorbar(meshes[-1], cax=bar, extend="both", extendfrac=0.03)
        if colours.solids is not None:
            colours.solids.set_rasterized(True)
        colours.outline.set_visible(False)
        colours.set_label(row[at].scale.label, fontsize=8.5)
        colours.ax.tick_params(length=2, labelsize=8)
        colours.ax.locator_params(nbins=5)
        ticks = [t for t in colours.get_ticks() if row[at].scale.low <= t <= row[at].scale.high]
        colours.set_ticks(ticks, labels=[_tick(t / 10.0 ** row[at].scale.power) for t in ticks])
        left += 0.98
        at += run


def _draw_panel(
    axes: Axes, panel: SlicePanel, shape: _Geometry, *, width: float, first: bool
) -> QuadMesh:
    from matplotlib.patches import Circle, Polygon

    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(shape.low[0], shape.high[0])
    axes.set_ylim(shape.low[1], shape.high[1])
    frame = Polygon(shape.corners(), closed=True, facecolor="none", edgecolor=SOFT, linewidth=0.7)
    axes.add_patch(frame)
    sphere = Circle(
        (0, 0), shape.s_max, facecolor="none", edgecolor=HATCH, hatch="//////", linewidth=0
    )
    axes.add_patch(sphere)
    sphere.set_clip_path(frame)
    mesh = _paint(axes, panel, shape)
    mesh.set_clip_path(frame)
    frame.set_zorder(4)
    _rings(axes, panel, shape, frame)
    # One inch on paper, so that labels clear the ticks in panels of any size.
    inch = shape.width / width
    _index_axis(axes, shape, 0, inch=inch)
    _index_axis(axes, shape, 1, inch=inch, label=first)
    axes.text(
        shape.low[0], shape.high[1] + 0.02 * shape.height, panel.title, fontsize=9, va="bottom"
    )
    return mesh


def _paint(axes: Axes, panel: SlicePanel, shape: _Geometry) -> QuadMesh:
    corners = shape.place(np.stack(np.meshgrid(*shape.edges, indexing="ij"), axis=-1))
    values = np.ma.masked_array(shape.values, shape.mask | ~np.isfinite(shape.values))
    return axes.pcolormesh(
        corners[..., 0],
        corners[..., 1],
        values,
        cmap="RdBu_r" if panel.scale.signed else "viridis",
        vmin=panel.scale.low,
        vmax=panel.scale.high,
        rasterized=True,
        zorder=2,
    )


def _rings(axes: Axes, panel: SlicePanel, shape: _Geometry, frame: Polygon) -> None:
    from matplotlib.patches import Circle

    ink = "#000000" if panel.scale.signed else "#ffffff"
    shown = [d for d in _RINGS if 1 / d < 1.0001 * np.hypot(shape.s_max, shape.height_above)]
    for d in shown[-3:]:
        radius_squared = 1 / d**2 - shape.height_above**2
        if radius_squared <= 0:
            continue
        radius = float(np.sqrt(radius_squared))
        ring = Circle((0, 0), radius, facecolor="none", edgecolor=ink, linewidth=0.6, alpha=0.5)
        ring.set_zorder(3)
        axes.add_patch(ring)
        ring.set_clip_path(frame)
        angle = np.radians(52)
        axes.text(
            radius * np.cos(angle),
            radius * np.sin(angle),
            f"{d:g} Å",
            fontsize=7.2,
            ha="center",
            va="center",
            zorder=5,
            clip_on=True,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.2, "alpha": 0.82},
        )


def _index_axis(
    axes: Axes, shape: _Geometry, which: int, *, inch: float, label: bool = True
) -> None:
    """Ticks in r.l.u. along the lower (0) or left (1) edge, at the true angle."""
    other = 1 - which
    low, high = shape.limits[which]
    edge = np.zeros((2, 2))
    edge[:, which] = low, high
    edge[:, other] = shape.limits[other][0]
    outward = -shape.base[other] / np.linalg.norm(shape.base[other])
    size = 0.055 * inch
    for tick in _round_ticks(low, high):
        index = edge[0].copy()
        index[which] = tick
        start = shape.place(index[None])[0]
        end = start + outward * size
        axes.plot(*np.transpose([start, end]), color=SOFT, linewidth=0.7, clip_on=False)
        if which == 1 and not label:
            continue
        text = end + outward * size * 0.5
        axes.text(
            text[0],
            text[1],
            _tick(tick),
            fontsize=8,
            ha="center" if which == 0 else "right",
            va="top" if which == 0 else "center",
        )
    if label:
        middle = shape.place(edge.mean(axis=0)[None])[0] + outward * inch * (
            0.43 if which else 0.36
        )
        tilt = np.degrees(np.arctan2(*shape.base[which][::-1]))
        axes.text(
            middle[0],
            middle[1],
            f"{italic(shape.names[which])} (r.l.u.)",
            fontsize=8.5,
            ha="center",
            va="center",
            rotation=tilt,
            rotation_mode="anchor",
        )


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _round_ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if (high - low) / s <= 8.5)
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [float(step * i) for i in range(first, last + 1)]
