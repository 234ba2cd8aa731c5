"""Images simulated and reduced: the map that went in beside the one that came out."""

from __future__ import annotations

from unstill.maps import IntensityMap
from unstill.maps.isotropic import split_isotropic
from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.lines import Line, LinePanel, line_panels
from unstill.report.numbers import number
from unstill.report.slices import SlicePanel, draw_slices, scale_for
from unstill.report.svg import italic
from unstill.workflows.demo_reduction import (
    BACKGROUND,
    CRYSTAL,
    D_MIN,
    MEAN_COUNTS,
    N_FRAMES,
    ReductionDemo,
)


def reduction_blocks(demo: ReductionDemo) -> list[Block]:
    """Tell what was simulated, what the reduction found, and show both."""
    return [Prose(_simulated()), _table(demo), _slices(demo), _scale(demo)]


def _simulated() -> str:
    cell = " × ".join(f"{value:g}" for value in CRYSTAL.unit_cell[:3])
    return (
        "Images of this section are simulated, whatever the data above, so that the answer is "
        f"known. A crystal of {cell} Å in {CRYSTAL.space_group}, with Bragg peaks and diffuse "
        f"scattering of a formula, turns by 1° in each of {N_FRAMES} frames of a photon-counting "
        f"detector: {MEAN_COUNTS:g} diffuse photons a pixel on average, and {BACKGROUND:g} from "
        "air and liquid for each of them. The beam wanders by a fifth. Images, and a sweep "
        "without the crystal, are written as CBF files and read back by the reduction, which is "
        "told the geometry and nothing else."
    )


def _table(demo: ReductionDemo) -> Table:
    outcome, scale = demo.outcome, demo.outcome.scale
    assert scale is not None
    statistics = outcome.statistics
    assert statistics is not None
    rows = [
        Row(["Observations", number(outcome.observations, 0), ""]),
        Row(["Anisotropic CC with the truth", number(demo.comparison.cc_aniso), "1"], "chosen"),
        Row(["Map over truth, sums", number(demo.ratio, 4), "1"]),
        Row(["Error of the scale b, rms", f"{number(100 * demo.b_error, 2)} %", "0"]),
        Row(["χ² of observations", number(scale.chi2), "1"]),
        Row(["CC½, anisotropic", number(statistics.overall.cc_half), ""]),
        Row(["CC½ that the uncertainties promise", number(statistics.overall.cc_expected), ""]),
    ]
    return Table(
        [Column("Reduced map", style="text"), Column("Found"), Column("Perfect")],
        rows,
        note=f"To {D_MIN:g} Å. The truth is averaged over the pixels of each voxel. CC with the "
        "truth is limited by counting; CC½ compares halves, each with twice the variance.",
    )


def _slices(demo: ReductionDemo) -> FigureBlock:
    planes = [_anisotropic(demo.true_map), _anisotropic(demo.found)]
    scale = scale_for(planes[:1], "I − isotropic (photons s⁻¹ sr⁻¹)", signed=True, percent=99.0)
    row = [
        SlicePanel(f"{name}, {italic('l')} = ½", plane, "l", 0.5, scale)
        for name, plane in zip(("Truth", "Reduced"), planes, strict=True)
    ]
    return FigureBlock(
        draw_slices([row], name="reduction", title="Truth and reduced map"),
        "A plane between Bragg peaks of the anisotropic diffuse intensity: what was put in, and "
        "what was found in the images. Hatched: not measured.",
        "Good: the same features in the same places. Bad: mirrored or turned features (geometry), "
        "rings (background), arcs (single frames).",
        panels=True,
    )


def _anisotropic(data: IntensityMap) -> IntensityMap:
    return split_isotropic(data).anisotropic


def _scale(demo: ReductionDemo) -> FigureBlock:
    lines = [Line("found", demo.phi, demo.found_b), Line("put in", demo.phi, demo.true_b)]
    panel = LinePanel("Scale of the beam", "φ (°)", "b over its mean", lines, 1.0)
    return FigureBlock(
        line_panels([panel], name="reduction-b", title="Scale against angle"),
        "The scale b that the reduction found in overlapping observations, and the one that the "
        "simulated beam had.",
        "Good: the lines lie on each other. Bad: a wave between them.",
        narrow=True,
    )
