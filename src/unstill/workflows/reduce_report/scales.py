"""The scales: b along each sweep, absorption, offset, detector, and radiation damage."""

from __future__ import annotations

import numpy as np

from unstill.reduction.pipeline.outcome import Outcome
from unstill.reduction.scaling.component import Component
from unstill.report.blocks import Block, FigureBlock, Prose
from unstill.report.heat import HeatPanel, heat_maps
from unstill.report.lines import Line, LinePanel, line_panels
from unstill.report.numbers import signed

_MOST_ANGLES = 4
_NAMES = {"a": "absorption", "b": "scale", "c": "offset", "d": "detector response"}


def scale_blocks(found: Outcome) -> list[Block]:
    """One figure a surface that was fitted."""
    if found.scale is None:
        return []
    model = found.scale.model
    blocks: list[Block] = [Prose(_words(found)), _curve(found, model.b)]
    if model.a is not None:
        blocks.append(_absorption(model.a, found))
    if model.c is not None:
        blocks.append(_offset(model.c, found))
    if model.d is not None:
        blocks.append(_detector(model.d))
    return blocks


def _words(found: Outcome) -> str:
    assert found.scale is not None
    used = {part.name for part in found.scale.model.components}
    fitted = ", ".join(f"{name} ({_NAMES[name]})" for name in "abcd" if name in used)
    text = (
        f"An observation is expected to count exposure × a d (b I + c) + background. Fitted: "
        f"{fitted}."
    )
    if found.scale.gains:
        tried = ", ".join(
            f"{name} {signed(100 * gain, 2)} %" for name, gain in found.scale.gains.items()
        )
        text += (
            " Each was tried on observations that were left out of the fit, and is used where it "
            f"lowers their squared residual for certain: {tried}."
        )
    return text


def _curve(found: Outcome, b: Component) -> FigureBlock:
    """Scale, decay and disagreement against the angle; or one scale a crystal."""
    assert b.track is not None
    assert found.scale is not None
    values = np.exp(b.values)
    scales = []
    for number, sweep in enumerate(found.sweeps[: b.track.n_keys]):
        if sweep.used and sweep.n_frames:
            first, count = int(b.track.offset[number]), int(b.track.count[number])
            x, y = b.track.positions(number), values[first : first + count]
            scales.append(_line(_label(found, number), x, y))
    if len(found.sweeps) > 12 and all(len(line.x) == 1 for line in scales):
        return _of_crystals(scales)
    panels = [LinePanel("Scale b", "φ (°)", "b", scales, level=1.0)]
    decay = [_line(_label(found, one.sweep), one.phi, one.relative_b) for one in found.decay]
    if decay:
        panels.append(LinePanel("Decay", "φ (°)", "relative B (Å²)", decay, level=0.0))
    blocks = found.scale.blocks
    misfit = []
    for number in np.unique(blocks.sweep):
        own = blocks.sweep == number
        misfit.append(_line(_label(found, int(number)), blocks.phi[own], blocks.chi2[own]))
    panels.append(LinePanel("Disagreement", "φ (°)", "mean square (σ²)", misfit, level=1.0))
    return FigureBlock(
        line_panels(panels, name="scale-b", title="Scale, decay and disagreement"),
        "The scale of each sweep against the rotation angle; the B-factor by which scaled "
        "observations of part of a sweep fall faster with resolution than their mates; and the "
        "mean squared difference of the observations of a block from their mates, in units of its "
        "variance, each at most 36.",
        "Good: smooth curves, a B that stays within 1 Å² of zero, a mean square near 1. Bad: "
        "jumps (the beam was lost, the crystal moved), a B that grows steadily (radiation damage: "
        "leave the end out), blocks far above the others.",
        panels=True,
    )


def _of_crystals(scales: list[Line]) -> FigureBlock:
    one = np.array([line.y[0] for line in scales])
    line = Line("", np.arange(1, len(one) + 1.0), one, dots=True)
    return FigureBlock(
        line_panels(
            [LinePanel("Scale b", "crystal", "b", [line], 1.0)],
            name="scale-b",
            title="Scale of each crystal",
        ),
        "The scale of each crystal.",
        "Good: a cloud within the spread of the beam. Bad: crystals far below (hit at the edge).",
        panels=True,
    )


def _label(found: Outcome, number: int) -> str:
    return found.sweeps[number].name if len(found.sweeps) > 1 else ""


def _line(label: str, x: np.ndarray, y: np.ndarray) -> Line:
    return Line(label, np.asarray(x, float), np.asarray(y, float))


def _absorption(a: Component, found: Outcome) -> FigureBlock:
    assert a.plane is not None
    assert a.track is not None
    surface = np.exp(a.values.reshape(a.shape))
    positions = a.track.positions(0)
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(_MOST_ANGLES, len(positions))))
    name = f" of {found.sweeps[0].name}" if len(found.sweeps) > 1 else ""
    panels = [
        _plane(a, surface[:, int(place)], f"φ = {positions[int(place)]:.0f}°") for place in chosen
    ]
    return FigureBlock(
        heat_maps(
            panels,
            name="scale-a",
            title="Absorption over the detector",
            xlabel="x (pixels)",
            ylabel="y (pixels)",
            unit="a",
            centre=1.0,
        ),
        f"Absorption a over the first panel{name}, at angles along the sweep; its mean over the "
        "detector is 1 at each angle.",
        "Good: smooth, a few per cent, turning with the crystal. Bad: more than 30 % (a needle or "
        "a loop in the way), or a pattern of modules (d should take that).",
        panels=True,
    )


def _offset(c: Component, found: Outcome) -> FigureBlock:
    assert c.line is not None
    assert c.track is not None
    surface = c.values.reshape(c.shape)
    positions, s = c.track.positions(0), c.line.positions()
    first = surface[:, : int(c.track.count[0])]
    half_phi = float(c.track.step[0]) / 2 if len(positions) > 1 else 0.5
    half_s = float(c.line.step[0]) / 2
    extent = (positions[0] - half_phi, positions[-1] + half_phi, s[0] - half_s, s[-1] + half_s)
    name = f" of {found.sweeps[0].name}" if len(found.sweeps) > 1 else ""
    return FigureBlock(
        heat_maps(
            [HeatPanel("", first, extent)],
            name="scale-c",
            title="Offset against angle and resolution",
            xlabel="φ (°)",
            ylabel="1/d (Å⁻¹)",
            unit="c (photons s⁻¹ sr⁻¹)",
            centre=0.0,
            equal=False,
        ),
        f"Offset c{name}: scattering that does not follow the crystal, against the rotation "
        "angle and 1/d.",
        "Good: small beside the map, smooth. Bad: a band at one resolution that comes and goes "
        "(ice, liquid in the loop), or values as large as the map (wrong background).",
        panels=True,
    )


def _detector(d: Component) -> FigureBlock:
    return FigureBlock(
        heat_maps(
            [_plane(d, np.exp(d.values), "")],
            name="scale-d",
            title="Response of the detector",
            xlabel="x (pixels)",
            ylabel="y (pixels)",
            unit="d",
            centre=1.0,
        ),
        "Response d over the first panel, the same for all sweeps.",
        "Good: within 3 % of 1, in the pattern of the modules. Bad: a shadow or a spot (mask it).",
        panels=True,
    )


def _plane(component: Component, values: np.ndarray, title: str) -> HeatPanel:
    """Values at the knots of the first panel; y runs fastest."""
    plane = component.plane
    assert plane is not None
    nx, ny = int(plane.x.count[0]), int(plane.y.count[0])
    grid = values[: nx * ny].reshape(nx, ny).T
    x, y = plane.x.positions(0), plane.y.positions(0)
    half_x, half_y = float(plane.x.step[0]) / 2, float(plane.y.step[0]) / 2
    return HeatPanel(title, grid, (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y))
