"""The frames one by one: how bright, how much of them was used, what was wrong."""

from __future__ import annotations

import numpy as np

from unstill.reduction.pipeline.outcome import Outcome, SweepOutcome
from unstill.reduction.survey.frame_statistics import FrameStatistics
from unstill.report.blocks import Block, Column, FigureBlock, Row, Table
from unstill.report.lines import Line, LinePanel, line_panels
from unstill.report.numbers import number

_MOST_ROWS = 12


def frame_blocks(found: Outcome) -> list[Block]:
    """Rate and use of every frame, and a table of the sweeps."""
    seen = [sweep for sweep in found.sweeps if sweep.frames is not None and sweep.n_frames]
    if not seen:
        return []
    blocks: list[Block] = []
    if len(seen) > 12 and all(sweep.n_frames == 1 for sweep in seen):
        blocks.append(_stills(seen))
    elif any(sweep.n_frames > 1 for sweep in seen):
        blocks.append(_figure(seen))
    return [*blocks, _table(seen)]


def _figure(sweeps: list[SweepOutcome]) -> FigureBlock:
    rate, strong, lost = [], [], []
    for sweep in sweeps:
        frames = sweep.frames
        assert frames is not None
        label = sweep.name if len(sweeps) > 1 else ""
        at = frames.frame + 1.0
        rate.append(Line(label, at, _rate(frames)))
        strong.append(Line(label, at, 100 * (frames.strong + frames.masked) / _usable(frames)))
        lost.append(Line(label, at, frames.overloaded.astype(float)))
    panels = [
        LinePanel("Rate", "frame", "photons a used pixel", rate, floor=0.0),
        LinePanel("Bragg and strong", "frame", "% of usable pixels", strong, floor=0.0),
    ]
    if any(line.y.any() for line in lost):
        panels.append(LinePanel("Overloaded", "frame", "pixels", lost, floor=0.0))
    return FigureBlock(
        line_panels(panels, name="frames", title="Frames along the sweeps"),
        "Photons in the pixels that went into the map, and pixels that were kept out of it as "
        "Bragg peaks or far too strong"
        + (
            "; pixels that counted more than the detector can."
            if len(panels) > 2
            else ". No pixel is overloaded."
        ),
        "Good: smooth curves. Bad: single frames that drop (beam or shutter), a share of strong "
        "pixels that jumps (ice, a second crystal), many overloaded pixels (use less beam).",
        panels=True,
    )


def _stills(sweeps: list[SweepOutcome]) -> FigureBlock:
    frames = [sweep.frames for sweep in sweeps if sweep.frames is not None]
    at = np.arange(1, len(frames) + 1.0)
    rate = np.array([_rate(one)[0] for one in frames])
    strong = np.array([100 * (one.strong + one.masked)[0] / _usable(one)[0] for one in frames])
    lost = np.array([float(one.overloaded[0]) for one in frames])
    panels = [
        LinePanel("Rate", "still", "photons a used pixel", [Line("", at, rate, True)], floor=0.0),
        LinePanel(
            "Bragg and strong", "still", "% of usable pixels", [Line("", at, strong, True)],
            floor=0.0,
        ),
    ]  # fmt: skip
    if lost.any():
        panels.append(LinePanel("Overloaded", "still", "pixels", [Line("", at, lost, True)], None))
    return FigureBlock(
        line_panels(panels, name="frames", title="Stills one by one"),
        "Photons in the pixels that went into the map, and pixels that were kept out of it"
        + ("; overloaded pixels." if len(panels) > 2 else ". No pixel is overloaded."),
        "Good: a cloud without stragglers. Bad: stills far below (missed crystals) or far above.",
        panels=True,
    )


def _rate(frames: FrameStatistics) -> np.ndarray:
    rate: np.ndarray = frames.photons / np.maximum(frames.used, 1)
    return rate


def _usable(frames: FrameStatistics) -> np.ndarray:
    usable: np.ndarray = np.maximum(
        frames.used + frames.strong + frames.masked + frames.overloaded, 1
    )
    return usable


def _table(sweeps: list[SweepOutcome]) -> Table:
    columns = [
        Column("Sweep", style="text"),
        Column("Frames"),
        Column("Angles", "°"),
        Column("Observations"),
        Column("Used", "% of pixels"),
        Column("Bragg", "%"),
        Column("Strong", "%"),
        Column("Overloaded", "pixels"),
        Column("Invalid", "%"),
    ]
    rows = [_row(sweep) for sweep in sweeps[:_MOST_ROWS]]
    more = len(sweeps) - len(rows)
    note = (
        "Pixels by what became of them. Bragg: near a reflection. Strong: far above what can be "
        "diffuse. Invalid: without a measurement."
    )
    if more > 0:
        note += f" The first {len(rows)} of {len(sweeps)} are shown; summary.json has all."
    return Table(columns, rows, note, wide=True)


def _row(sweep: SweepOutcome) -> Row:
    frames = sweep.frames
    assert frames is not None
    total = max(sweep.n_pixels, 1)
    return Row(
        [
            sweep.name,
            number(sweep.n_frames, 0),
            f"{number(float(frames.phi[0]), 1)} to {number(float(frames.phi[-1]), 1)}",
            number(sweep.n_observations, 0),
            *(_share(int(column.sum()), total) for column in (
                frames.used, frames.masked, frames.strong
            )),
            number(float(frames.overloaded.sum()), 0),
            _share(int(frames.invalid.sum() + frames.unusable.sum()), total),
        ]
    )  # fmt: skip


def _share(part: int, whole: int) -> str:
    return number(100 * part / whole, 2)
