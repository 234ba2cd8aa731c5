"""How many knots the counts support, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unstill.reduction.scaling.basis import Knots, PanelKnots
from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.rows import VoxelRows
from unstill.shapes import Float

_FEWEST = 3


@dataclass(frozen=True, eq=False)
class Extent:
    """Where the rows are, and how much they tell.

    Parameters
    ----------
    phi
        ``(n_sweeps, 2)`` first and last φ.
    knots
        ``(n_sweeps,)`` knots of any surface that each sweep supports.
    x, y
        ``(n_panels, 2)`` outermost centroids.
    panel_knots
        ``(n_panels,)`` knots of a surface on the panel, all sweeps together.
    s
        Smallest and largest 1/d.
    """

    phi: Float[np.ndarray, "n_sweeps 2"]
    knots: Float[np.ndarray, " n_sweeps"]
    x: Float[np.ndarray, "n_panels 2"]
    y: Float[np.ndarray, "n_panels 2"]
    panel_knots: Float[np.ndarray, " n_panels"]
    s: tuple[float, float]

    def of_part(self, fraction: float) -> Extent:
        """Return what a part of the rows supports."""
        return replace(self, knots=fraction * self.knots, panel_knots=fraction * self.panel_knots)


def measure_extent(
    rows: VoxelRows, information: Float[np.ndarray, " n"], options: ScaleOptions
) -> Extent:
    """Find ranges and supported knots.

    Parameters
    ----------
    rows
        Of voxels seen more than once; others tell nothing about scales.
    information
        ``(n,)`` inverse variance of the logarithm of a scale from each row.
    options
        ``min_rows``, ``precision`` and ``most_knots``.
    """
    table = rows.observations
    n_sweeps = len(table.sweep_names)
    n_sweeps = max(n_sweeps, int(table.sweep.max(initial=0)) + 1)
    n_panels = int(table.panel.max(initial=0)) + 1
    return Extent(
        phi=_ranges(table.sweep, table.phi, n_sweeps),
        knots=_supported(table.sweep, information, n_sweeps, options),
        x=_ranges(table.panel, table.x, n_panels),
        y=_ranges(table.panel, table.y, n_panels),
        panel_knots=_supported(table.panel, information, n_panels, options),
        s=(float(table.s.min()), float(table.s.max())),
    )


def make_component(name: str, extent: Extent, options: ScaleOptions) -> Component:
    """Lay out the knots of a, b, c or d; all values 0."""
    if name == "b":
        track = _track(extent, options.b_phi, extent.knots)
        return _flat(Component("b", np.zeros(0), track=track))
    if name == "c":
        finest = _steps(extent, options.c_phi)
        shrink = _shrink(extent.knots / (options.c_s * finest), 2)
        line = Knots.spanning(
            [extent.s[0]], [extent.s[1]], [max(_FEWEST, round(options.c_s * shrink))]
        )
        track = _track(extent, options.c_phi, extent.knots / line.total)
        return _flat(Component("c", np.zeros(0), line=line, track=track))
    n_panels = int(np.count_nonzero(np.ptp(extent.x, axis=1) > 0)) or 1
    if name == "d":
        most = np.sqrt(extent.panel_knots)
        side = np.clip(most, 1, options.d_xy / np.sqrt(n_panels))
        return _flat(Component("d", np.zeros(0), plane=_plane(extent, side)))
    finest = _steps(extent, options.a_phi)
    shrink = _shrink(extent.knots / (options.a_xy**2 * finest), 3)
    side = max(float(_FEWEST), options.a_xy * shrink) / np.sqrt(n_panels)
    plane = _plane(extent, np.full(len(extent.x), side))
    track = _track(extent, options.a_phi, extent.knots / plane.total)
    return _flat(Component("a", np.zeros(0), plane=plane, track=track))


def _flat(component: Component) -> Component:
    return component.with_values(np.zeros(component.n_knots))


def _ranges(key: np.ndarray, position: np.ndarray, n_keys: int) -> np.ndarray:
    low, high = np.full(n_keys, np.inf), np.full(n_keys, -np.inf)
    np.minimum.at(low, key, position)
    np.maximum.at(high, key, position)
    seen = np.isfinite(low)
    return np.stack([np.where(seen, low, 0.0), np.where(seen, high, 0.0)], axis=1)


def _supported(
    key: np.ndarray, information: np.ndarray, n_keys: int, options: ScaleOptions
) -> np.ndarray:
    rows = np.bincount(key, minlength=n_keys) / options.min_rows
    known = np.bincount(key, weights=information, minlength=n_keys) * options.precision**2
    supported: np.ndarray = np.minimum(rows, known)
    return supported * min(1.0, options.most_knots / max(float(supported.sum()), 1.0))


def _steps(extent: Extent, step: float) -> float:
    """Knots along φ that the sweeps would have, those that support most counting most."""
    spans = np.maximum(np.ptp(extent.phi, axis=1) / step, 0) + 1
    weight = np.maximum(extent.knots, 1e-12)
    return float(spans @ weight / weight.sum())


def _shrink(supported: np.ndarray, dimensions: int) -> float:
    """Factor of the knots along each axis; the median of the sweeps that have data."""
    usable = supported[supported > 0]
    ratio = float(np.median(usable)) if len(usable) else 0.0
    return float(min(1.0, ratio ** (1 / dimensions)))


def _track(extent: Extent, step: float, supported: np.ndarray) -> Knots:
    span = np.ptp(extent.phi, axis=1)
    # A sweep shorter than half a step is a still: one constant.
    wished = np.where(span > 0.5 * step, np.round(span / step) + 1, 1)
    count = np.where(wished > 1, np.clip(np.floor(supported), 1, wished), 1)
    return Knots.spanning(extent.phi[:, 0], extent.phi[:, 1], count.astype(np.int64))


def _plane(extent: Extent, side: np.ndarray) -> PanelKnots:
    count = np.maximum(np.round(side), 1).astype(np.int64)
    return PanelKnots(
        Knots.spanning(extent.x[:, 0], extent.x[:, 1], count),
        Knots.spanning(extent.y[:, 0], extent.y[:, 1], count),
    )
