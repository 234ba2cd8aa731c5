"""A plane of a map as an image file, with true angles and equal scales."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unstill.errors import InputError
from unstill.io.atomic import atomic_path
from unstill.maps.slices import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")


def write_plane_image(plane: Plane, path: Path, *, signed: bool, percent: float = 99.0) -> None:
    """Draw a plane; masked voxels are grey.

    Parameters
    ----------
    plane
        From :func:`unstill.maps.slices.extract_plane`.
    path
        ``.png``, ``.svg`` or ``.pdf``.
    signed
        Diverging colours centred on zero, for anisotropic maps and
        differences; otherwise sequential ones.
    percent
        Percentile of the values at which the colours saturate.

    Raises
    ------
    InputError
        If no voxel of the plane is usable, or the suffix is another.
    OutputError
        If the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            "no image format has this suffix",
            found=repr(path.suffix),
            fix=f"use one of: {', '.join(SUFFIXES)}",
        )
    low, high = _range(plane, signed, percent)
    figure = _draw(plane, low, high, signed)
    # In memory first: on a full disk matplotlib raises errors of its own making.
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.lower()[1:], dpi=160, bbox_inches="tight")
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture.getvalue())


def _range(plane: Plane, signed: bool, percent: float) -> tuple[float, float]:
    values = plane.intensity[np.isfinite(plane.intensity)]
    if not values.size:
        raise InputError(
            "no voxel of the plane is usable",
            found=f"{plane.normal} = {plane.value:g}",
            fix="choose another plane",
        )
    if signed:
        top = float(np.percentile(np.abs(values), percent)) or 1.0
        return -top, top
    low, high = (float(value) for value in np.percentile(values, [100 - percent, percent]))
    return low, high if high > low else low + 1.0


def _draw(plane: Plane, low: float, high: float, signed: bool) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges = np.stack(np.meshgrid(_edges(plane.x), _edges(plane.y), indexing="ij"), axis=-1)
    corners = edges @ plane.basis
    axes.set_facecolor("#c8c8c8")
    mesh = axes.pcolormesh(
        corners[..., 0],
        corners[..., 1],
        np.ma.masked_invalid(plane.intensity),
        cmap="RdBu_r" if signed else "viridis",
        vmin=low,
        vmax=high,
        rasterized=True,
    )
    axes.set_aspect("equal")
    _index_axes(axes, plane)
    axes.set_title(f"{plane.normal} = {plane.value:g}", fontsize=10)
    figure.colorbar(mesh, ax=axes, extend="both", shrink=0.8, label="intensity")
    return figure


def _index_axes(axes: Axes, plane: Plane) -> None:
    """Label the horizontal axis in units of the first index, and draw the second at its angle."""
    step = _tick_step(plane.x)
    ticks = np.arange(np.ceil(plane.x[0] / step), np.floor(plane.x[-1] / step) + 1) * step
    bottom = plane.y[0] * plane.basis[1]
    axes.set_xticks(ticks * plane.basis[0, 0] + bottom[0], [f"{tick:g}" for tick in ticks])
    step = _tick_step(plane.y)
    ticks = np.arange(np.ceil(plane.y[0] / step), np.floor(plane.y[-1] / step) + 1) * step
    axes.set_yticks(ticks * plane.basis[1, 1], [f"{tick:g}" for tick in ticks])
    tilt = "" if abs(plane.angle - 90) < 0.05 else f", {plane.angle:.1f}° to {plane.axes[0]}"
    axes.set_xlabel(f"{plane.axes[0]} (r.l.u.)")
    axes.set_ylabel(f"{plane.axes[1]} (r.l.u.{tilt})")


def _edges(axis: np.ndarray) -> np.ndarray:
    half = (axis[1] - axis[0]) / 2 if len(axis) > 1 else 0.5
    return np.append(axis - half, axis[-1] + half)


def _tick_step(axis: np.ndarray) -> float:
    span = float(axis[-1] - axis[0]) or 1.0
    return next(
        step for step in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e9) if span / step <= 9
    )
