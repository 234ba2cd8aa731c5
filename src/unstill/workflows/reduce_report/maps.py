"""Slices of the map, total and anisotropic."""

from __future__ import annotations

import numpy as np

from unstill.maps import IntensityMap
from unstill.maps.isotropic import split_isotropic
from unstill.reduction.merging.map_size import fits, plane_map
from unstill.reduction.merging.merged import Merged
from unstill.reduction.pipeline.outcome import Outcome
from unstill.report.blocks import Block, FigureBlock
from unstill.report.slices import Axis, SlicePanel, draw_slices, holds_plane, scale_for
from unstill.report.svg import italic

_MOST_PLANES = 3

_WANTED: tuple[tuple[Axis, float], ...] = (
    ("l", 0.0), ("l", 0.5), ("k", 0.0), ("h", 0.0), ("l", 1.0),
)  # fmt: skip
"""l = 0, between Bragg peaks, and across."""

_LEAST_FILLED = 0.02


def map_blocks(found: Outcome) -> list[Block]:
    """Planes through the origin and between Bragg peaks."""
    if found.merged is None:
        return []
    panels = _panels(found.merged)
    if not panels:
        return []
    # All panels of a small map show one and the same box.
    totals = {id(total): total for _, _, total, _ in panels}
    anisotropic = {id(part): part for *_, part in panels}
    total_scale = scale_for([*totals.values()], "I (photons s⁻¹ sr⁻¹)", signed=False)
    aniso_scale = scale_for([*anisotropic.values()], "I − isotropic", signed=True, percent=98.0)
    rows = [
        [
            SlicePanel(f"Total, {_name(axis, value)}", total, axis, value, total_scale),
            SlicePanel("Anisotropic", part, axis, value, aniso_scale),
        ]
        for axis, value, total, part in panels
    ]
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


def _panels(merged: Merged) -> list[tuple[Axis, float, IntensityMap, IntensityMap]]:
    """Planes with enough voxels to show, and what is left of each without its isotropic part."""
    if fits(merged):
        whole = merged.map
        if whole.n_measured < 100:
            return []
        anisotropic = split_isotropic(whole).anisotropic
        return [(axis, value, whole, anisotropic) for axis, value in _planes(whole)]
    # The box is too large for memory: plane by plane.
    found = []
    for axis, value in _WANTED:
        place = "hkl".index(axis)
        number = value * merged.divisions[place]
        if number != round(number):
            continue
        plane = plane_map(merged, place, round(number))
        if plane.n_measured >= 100 and _filled(plane, axis, value) > _LEAST_FILLED:
            found.append((axis, value, plane, split_isotropic(plane).anisotropic))
    return found[:_MOST_PLANES]


def _planes(data: IntensityMap) -> list[tuple[Axis, float]]:
    """Planes that hold enough voxels to show."""
    found = []
    for axis, value in _WANTED:
        if holds_plane(data, axis, value) and _filled(data, axis, value) > _LEAST_FILLED:
            found.append((axis, value))
    return found[:_MOST_PLANES]


def _filled(data: IntensityMap, axis: Axis, value: float) -> float:
    place = "hkl".index(axis)
    number = round(value * data.grid.divisions[place] - data.grid.start[place])
    return float(np.take(data.measured, number, axis=place).mean())


def _name(axis: str, value: float) -> str:
    return f"{italic(axis)} = {'½' if value == 0.5 else f'{value:g}'}"
