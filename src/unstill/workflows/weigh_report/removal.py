"""The removal: how far it went, what it gained on the way, and which members are left."""

from __future__ import annotations

import numpy as np

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import number
from unstill.weighting.enrich_result import EnrichResult
from unstill.workflows.weigh_report.figures import removal_scan, weight_steps
from unstill.workflows.weigh_report.members import weight_trace
from unstill.workflows.weigh_report.words import plural

_MOST_GROUPS = 50

CRITERION_TEXT = {
    "chi2": "correlation of the anisotropic parts, weighted by 1/σ²",
    "cc": "total correlation of the intensities; isotropic changes can please it",
}
"""What was raised."""

STOP_TEXT = {
    "held-out": "by cross-validation: folds of the work set are left out in turn, and the members "
    "that predict them best are kept; without clear evidence for leaving any out, all are",
    "fit": "members go as long as the criterion rises, which it does on noise too; the free set "
    "tells what that costs",
}
"""What ended the removal."""


def removal_blocks(result: EnrichResult) -> list[Block]:
    """Show the passes and the members that are left."""
    trace = weight_trace(result, most=_MOST_GROUPS)
    group = "each member" if trace.group == 1 else f"every {trace.group} neighbours"
    held_out = bool(np.isfinite(result.trace.held_out).any())
    loss = (
        " Held-out loss: mean of (data − k·model − isotropic curve)²/σ² in the folds that were "
        "left out; bars are standard errors of the difference from the chosen step."
        if held_out
        else ""
    )
    return [
        Prose(
            "Members are removed one after the other, each time those whose absence raises the "
            f"criterion most, here the {CRITERION_TEXT[result.criterion]}. Where it stops: "
            f"{STOP_TEXT[result.stop]}."
        ),
        _table(result),
        FigureBlock(
            removal_scan(result),
            f"The removal runs from right to left; {result.n_kept} of {result.n_members} members "
            f"are kept.{loss}",
            "Good: the held-out loss falls clearly before it turns, and the choice is at the "
            "turn. Bad: the fit improves and the loss is flat or rises: the removal fits noise."
            if held_out
            else "The fit rises in any case; nothing here tells a good removal from a bad one. "
            "Judge by the free set.",
            panels=True,
        ),
        FigureBlock(
            weight_steps(trace),
            f"Weight of {group} over the prior weight, in the order of the source; members "
            "that went weigh nothing.",
            "Good: whole stretches kept or gone: states. Bad: members that go here and there: "
            "the data do not say which.",
            narrow=True,
        ),
    ]


def _table(result: EnrichResult) -> Table:
    n = result.n_members
    rows = [
        Row(["Members", number(n, 0), plural(int(result.n_frames.sum()), "frame", "frames")]),
        Row(
            [
                "Kept",
                number(result.n_kept, 0),
                f"{number(100 * result.n_kept / n, 0)} % of the members",
            ],
            "chosen",
        ),
        Row(["N_eff = N·exp(−KL)", number(result.n_eff_kl, 1), "by entropy from the prior"]),
        Row(["N_eff = 1/Σw²", number(result.n_eff, 1), "by the variance of a mean (Kish)"]),
    ]
    if len(result.null_n_kept):
        rows.append(
            Row(
                [
                    "Kept by permuted data",
                    number(float(result.null_n_kept.mean()), 1),
                    f"on average, {int(result.null_n_kept.min())} at least: what the procedure "
                    "keeps where there are no features",
                ],
                "control",
            )
        )
    return Table(
        [Column("", style="text"), Column("Value"), Column("What it means", style="note")], rows
    )
