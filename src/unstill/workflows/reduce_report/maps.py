"""Slices of the map, total and anisotropic."""

from __future__ import annotations

import numpy as np

from unstill.maps import IntensityMap
from unstill.maps.isotropic import split_isotropic
from unstill.reduction.outcome import Outcome
from unstill.report.blocks import Block, FigureBlock
from unstill.report.slices import Axis, SlicePanel, draw_slices, holds_plane, scale_for
from unstill.report.svg import italic

_MOST_PLANES = 3


def map_blocks(found: Outcome) -> list[Block]:
    """Planes through the origin and between Bragg peaks."""
    if found.merged is None:
        return []
    whole = found.merged.map
    if whole.n_measured < 100:
        return []
    anisotropic = split_isotropic(whole).anisotropic
    planes = _planes(whole)
    total_scale = scale_for([whole], "I (photons s⁻¹ sr⁻¹)", signed=False)
    aniso_scale = scale_for([anisotropic], "I − isotropic", signed=True, percent=98.0)
    rows = [
        [
            SlicePanel(f"Total, {_name(axis, value)}", whole, axis, value, total_scale),
            SlicePanel("Anisotropic", anisotropic, axis, value, aniso_scale),
        ]
        for axis, value in planes
    ]
    if not rows:
        return []
    return [
        FigureBlock(
            draw_slices(rows, name="slices", title="Slices of the map"),
            "Slices of the merged map, and of what is left when its smooth fall with resolution "
            "is taken away. Hatched: not measured, or masked as Bragg peaks.",
            "Good: features with the symmetry of the crystal, and noise that grows outwards. Bad: "
            "rings (ice, or a wrong background), arcs of single frames (outliers that stayed), "
            "streaks along one axis through Bragg peaks (mask too small).",
            panels=True,
        )
    ]


def _planes(data: IntensityMap) -> list[tuple[Axis, float]]:
    """Planes that hold enough voxels to show: l = 0, between Bragg peaks, and across."""
    wanted: list[tuple[Axis, float]] = [("l", 0.0), ("l", 0.5), ("k", 0.0), ("h", 0.0), ("l", 1.0)]
    found = []
    for axis, value in wanted:
        if holds_plane(data, axis, value) and _filled(data, axis, value) > 0.02:
            found.append((axis, value))
    return found[:_MOST_PLANES]


def _filled(data: IntensityMap, axis: Axis, value: float) -> float:
    place = "hkl".index(axis)
    number = round(value * data.grid.divisions[place] - data.grid.start[place])
    return float(np.take(data.measured, number, axis=place).mean())


def _name(axis: str, value: float) -> str:
    return f"{italic(axis)} = {'½' if value == 0.5 else f'{value:g}'}"
