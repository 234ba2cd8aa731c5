"""The scales as curves and maps, for plots."""

from __future__ import annotations

import numpy as np

from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.model import ScaleModel
from unstill.shapes import Float


def scale_curve(
    model: ScaleModel, sweep: int
) -> tuple[Float[np.ndarray, " n_phi"], Float[np.ndarray, " n_phi"]]:
    """Return φ (degrees) and b at the knots of a sweep."""
    track = model.b.track
    assert track is not None  # b lies along φ
    own = track.key_of_knot == sweep
    return track.positions(sweep), np.exp(model.b.values[own])


def absorption_maps(
    model: ScaleModel, sweep: int, panel: int = 0
) -> tuple[Float[np.ndarray, " n_phi"], Float[np.ndarray, "n_phi n_y n_x"]]:
    """Return φ (degrees) and a over a panel at the knots of a sweep; no φ without a."""
    if model.a is None or model.a.track is None:
        return np.zeros(0), np.zeros((0, 0, 0))
    own = model.a.track.key_of_knot == sweep
    table = np.exp(model.a.values.reshape(model.a.shape)[:, own])
    maps = np.stack([_over_panel(model.a, column, panel) for column in table.T])
    return model.a.track.positions(sweep), maps


def detector_map(model: ScaleModel, panel: int = 0) -> Float[np.ndarray, "n_y n_x"]:
    """Return d over a panel at its knots; empty without d."""
    if model.d is None:
        return np.zeros((0, 0))
    return _over_panel(model.d, np.exp(model.d.values), panel)


def offset_map(
    model: ScaleModel, sweep: int
) -> tuple[Float[np.ndarray, " n_s"], Float[np.ndarray, " n_phi"], Float[np.ndarray, "n_s n_phi"]]:
    """Return 1/d (Å⁻¹), φ (degrees) and c of a sweep, its floor added; empty without c."""
    c, track = model.c, model.b.track
    if c is None or c.line is None or c.track is None or track is None:
        return np.zeros(0), np.zeros(0), np.zeros((0, 0))
    phi, s = c.track.positions(sweep), c.line.positions()
    own = c.track.key_of_knot == sweep
    at = track.locate(np.full(len(phi), sweep), phi)
    scale = np.exp(np.einsum("nm,nm->n", model.b.values[at.index], at.weight))
    return s, phi, c.values.reshape(c.shape)[:, own] + np.outer(model.floor_at(s), scale)


def _over_panel(component: Component, values: np.ndarray, panel: int) -> np.ndarray:
    plane = component.plane
    assert plane is not None  # a and d lie on the detector
    own = values[plane.key_of_knot == panel]
    grid: np.ndarray = own.reshape(int(plane.x.count[panel]), int(plane.y.count[panel])).T
    return grid
