"""Observations that were left out: how many, where, and the worst of them."""

from __future__ import annotations

import numpy as np

from unstill.reduction.pipeline.outcome import Outcome
from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.lines import Line, LinePanel, line_panels
from unstill.report.numbers import number, signed

_WORST = 12
_WHY = {1: "too bright", 2: "too dark", 3: "bad range"}


def outlier_blocks(found: Outcome) -> list[Block]:
    """Say how many there are and where, and list the worst."""
    if found.scale is None:
        return []
    out, total = found.rejected, max(found.observations, 1)
    words = Prose(
        f"Each observation is compared with what the others of its voxel predict. Left out: "
        f"{number(out['bright'], 0)} too bright ({number(100 * out['bright'] / total, 3)} %) and "
        f"{number(out['dark'], 0)} too dark ({number(100 * out['dark'] / total, 3)} %)"
        + (f", and {number(out['bad_range'], 0)} of bad frames" if out["bad_range"] else "")
        + f". {number(found.scale.n_untested, 0)} observations are alone in their voxel and could "
        "not be compared."
    )  # fmt: skip
    table = found.outliers
    if not len(table.get("why", ())):
        return [words]
    return [words, _figure(table), _table(found)]


def _figure(table: object) -> FigureBlock:
    columns = dict(table)  # type: ignore[call-overload]
    why = columns["why"]
    kinds = [(1, "too bright"), (2, "too dark"), (3, "bad range")]
    by_angle = [_dots(name, columns["phi"], columns["s"], why == number) for number, name in kinds]
    by_place = [_dots(name, columns["x"], columns["y"], why == number) for number, name in kinds]
    panels = [
        LinePanel("Against angle", "φ (°)", "1/d (Å⁻¹)", [d for d in by_angle if len(d.x)]),
        LinePanel(
            "On the detector", "x (pixels)", "y (pixels)", [d for d in by_place if len(d.x)]
        ),
    ]
    return FigureBlock(
        line_panels(panels, name="outliers", title="Where outliers lie"),
        "Observations that were left out, against rotation angle and resolution, and on the "
        "detector.",
        "Good: few, spread evenly. Bad: a column at one angle (a bad frame), a line at one "
        "resolution (ice), a cluster on the detector (shadow, hot pixels).",
        panels=True,
    )


def _dots(label: str, x: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> Line:
    return Line(label, np.asarray(x)[chosen], np.asarray(y)[chosen], dots=True)


def _table(found: Outcome) -> Table:
    table = found.outliers
    off = np.abs(np.nan_to_num(np.asarray(table["residual"], float)))
    worst = np.argsort(-off, kind="stable")[:_WORST]
    columns = [
        Column("hkl", style="text"),
        Column("Why", style="text"),
        Column("Residual", "σ"),
        Column("Counts"),
        Column("Sweep", style="text"),
        Column("φ", "°"),
        Column("d", "Å"),
        Column("x", "pixel"),
        Column("y", "pixel"),
    ]
    rows = []
    for i in worst:
        s = float(table["s"][i])
        rows.append(
            Row(
                [
                    " ".join(number(float(value), 2) for value in table["hkl"][i]),
                    _WHY[int(table["why"][i])],
                    signed(float(table["residual"][i]), 1),
                    number(float(table["counts"][i]), 0),
                    found.sweeps[int(table["sweep"][i])].name,
                    number(float(table["phi"][i]), 1),
                    number(1 / s if s > 0 else float("nan"), 2),
                    number(float(table["x"][i]), 0),
                    number(float(table["y"][i]), 0),
                ]
            )
        )
    return Table(columns, rows, f"The {len(rows)} farthest from what their mates say.", wide=True)
