"""The shape of the Bragg peaks, which decides what is kept out of the map."""

from __future__ import annotations

import numpy as np

from unstill.reduction.pipeline.outcome import Outcome, SweepOutcome
from unstill.reduction.survey.peaks_found import PeaksFound
from unstill.report.blocks import Block, Column, FigureBlock, Row, Table
from unstill.report.clouds import Cloud, cloud_plot
from unstill.report.numbers import number

_MOST_ROWS = 12


def peak_blocks(found: Outcome) -> list[Block]:
    """Cloud of strong pixels about the reflections of the first sweep, and a table of all."""
    seen = [sweep for sweep in found.sweeps if sweep.peaks is not None]
    if not seen:
        return []
    blocks: list[Block] = []
    first = seen[0]
    if first.peaks is not None and len(first.peaks.sample):
        blocks.append(_figure(first, first.peaks, len(seen) > 1))
    return [*blocks, _table(seen)]


def _figure(sweep: SweepOutcome, found: PeaksFound, several: bool) -> FigureBlock:
    shape = found.shape
    cloud = Cloud(found.sample, shape.center, shape.covariance, shape.cutoff)
    name = f" of {sweep.name}" if several else ""
    return FigureBlock(
        cloud_plot(
            cloud,
            names=("h", "k", "l"),
            unit="r.l.u.",
            name="peaks",
            title="Strong pixels about reflections",
        ),
        f"Strong pixels{name} by their distance from the nearest reflection; the ellipse is what "
        "is masked, the cross its centre.",
        "Good: one cloud, centred on zero, inside the ellipse. Bad: a centre off zero (geometry: "
        "distance, beam centre, angles), a second cloud or an even spread (another lattice).",
        panels=True,
    )


def _table(sweeps: list[SweepOutcome]) -> Table:
    columns = [
        Column("Sweep", style="text"),
        Column("Offset", "r.l.u. along h, k, l", "text"),
        Column("Length", "r.l.u."),
        Column("Widths", "r.l.u., 1σ", "text"),
        Column("Masked to", "σ"),
        Column("Strong pixels"),
        Column("Of no peak", "%"),
    ]
    rows: list[Row] = []
    shared = all(sweep.peaks is sweeps[0].peaks or _same(sweep, sweeps[0]) for sweep in sweeps)
    for sweep in sweeps[: 1 if shared else _MOST_ROWS]:
        assert sweep.peaks is not None
        peaks = sweep.peaks.shape
        n = sweep.peaks.n_strong
        rows.append(
            Row(
                [
                    "all together" if shared and len(sweeps) > 1 else sweep.name,
                    ", ".join(number(float(value), 4) for value in peaks.center),
                    number(float(np.linalg.norm(peaks.center)), 4),
                    ", ".join(number(float(value), 4) for value in peaks.widths),
                    number(peaks.cutoff, 1),
                    number(n, 0),
                    number(100 * sweep.peaks.n_foreign / n if n else float("nan"), 1),
                ]
            )
        )
    return Table(
        columns,
        rows,
        "An offset of more than 0.01 r.l.u. means a geometry that is not quite right. Many pixels "
        "away from the reflections mean ice, salt or a second lattice.",
        wide=True,
    )


def _same(one: SweepOutcome, other: SweepOutcome) -> bool:
    assert one.peaks is not None
    assert other.peaks is not None
    return bool(np.array_equal(one.peaks.shape.covariance, other.peaks.shape.covariance))
