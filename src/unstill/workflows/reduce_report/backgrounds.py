"""The background that was subtracted."""

from __future__ import annotations

from unstill.reduction.background.background import Background
from unstill.reduction.pipeline.outcome import Outcome
from unstill.report.blocks import Block, FigureBlock
from unstill.report.heat import HeatPanel, heat_maps
from unstill.report.numbers import number

_MOST_ANGLES = 3


def background_blocks(found: Outcome) -> list[Block]:
    """Rate over the detector at a few angles, of each background that was used."""
    shown: list[Background] = []
    for sweep in found.sweeps:
        if sweep.background is not None and not any(one is sweep.background for one in shown):
            shown.append(sweep.background)
    return [_figure(one, place) for place, one in enumerate(shown[:4])]


def _figure(background: Background, place: int) -> FigureBlock:
    nodes = background.panels[0]
    n = len(background.phi)
    chosen = sorted({round(i * (n - 1) / max(_MOST_ANGLES - 1, 1)) for i in range(_MOST_ANGLES)})
    extent = _extent(nodes.x, nodes.y)
    panels = [
        HeatPanel(f"φ = {background.phi[i]:.0f}°" if n > 1 else "", nodes.rate[i], extent)
        for i in chosen
    ]
    rate = float(nodes.rate.mean())
    error = float(nodes.variance.mean()) ** 0.5
    return FigureBlock(
        heat_maps(
            panels,
            name=f"background-{place}",
            title="Background over the detector",
            xlabel="x (pixels)",
            ylabel="y (pixels)",
            unit="photons a second and a pixel",
        ),
        f"Rate of the background on the first panel; {number(rate, 2)} photons a second and a "
        f"pixel on average, known to {number(100 * error / rate if rate > 0 else 0.0, 1)} % at a "
        "node.",
        "Good: smooth, round about the beam, the same at all angles. Bad: Bragg peaks or rings in "
        "it (something was in the beam), or a rate above that of the frames (not the same "
        "exposure).",
        panels=True,
    )


def _extent(x: object, y: object) -> tuple[float, float, float, float]:
    import numpy as np

    ends = []
    for nodes in (np.asarray(x, float), np.asarray(y, float)):
        half = float(nodes[1] - nodes[0]) / 2 if len(nodes) > 1 else 0.5
        ends += [float(nodes[0]) - half, float(nodes[-1]) + half]
    left, right, bottom, top = ends
    return left, right, bottom, top
