"""The price of entropy: how θ was chosen, and what other prices would have bought."""

from __future__ import annotations

from unstill.report.blocks import Block, FigureBlock, Prose
from unstill.weighting.entropy_price import Path
from unstill.weighting.result import WeighResult
from unstill.workflows.weigh_report.figures import price_scan
from unstill.workflows.weigh_report.words import theta_text

_RULE = {
    "cross-validation": "The work set is divided into {folds} folds of whole blocks of reciprocal "
    "space, and the weights of the others predict each. The largest θ is taken that predicts no "
    "worse than the best, within one standard error; without clear evidence, three standard "
    "errors, the prior weights stay. The free set has no part in it.",
    "l-curve": "The elbow of misfit against √KL is taken, where paying more for the prior weights "
    "begins to cost agreement with the work set. This rule does not ask whether unseen data are "
    "predicted; the held-out loss stands beside it as a check.",
}


def price_blocks(result: WeighResult, path: Path) -> list[Block]:
    """Show the path from dear to cheap entropy."""
    folds = int(result.held.fold.max()) + 1
    chosen, at_best = path.chosen, int(path.held_out.argmin())
    best = (
        "where the loss is lowest"
        if at_best == chosen
        else f"the loss is lowest at {theta_text(path.theta[at_best])}"
    )
    return [
        Prose(
            "θ is what a unit of relative entropy costs. A dear one keeps the prior weights, a "
            f"cheap one fits noise. {_RULE[path.rule].format(folds=folds)}"
        ),
        FigureBlock(
            price_scan(result, path),
            "The path runs from θ = ∞, the prior weights, to the left; "
            f"θ = {theta_text(path.theta[chosen])} was chosen, {best}. Held-out loss: mean of "
            "(data − k·model − isotropic curve)²/σ² in the folds that were left out; bars are "
            "standard errors of the difference from the lowest.",
            "Good: the loss falls clearly, then levels off or turns, with the choice before the "
            "turn and most members left. Bad: a flat loss, or a choice at the left end.",
            panels=True,
        ),
    ]
