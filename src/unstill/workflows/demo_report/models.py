"""The models of motion: agreement by resolution, parameters, what each leaves."""

from __future__ import annotations

import numpy as np

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import interval, number, with_error
from unstill.workflows.demo import DemoResult
from unstill.workflows.demo_fits import FittedModel
from unstill.workflows.demo_report.figures import LABELS, fit_slices, shell_curves
from unstill.workflows.demo_report.words import SIGMA_TEXT, SYMBOL, unit_of

_ABOUT = {
    "liquid-like": "Atoms move by σ; the movement of two atoms is the less alike the further "
    "apart they are, e-fold over γ.",
    "rigid-body": "Each molecule shifts and turns as a whole, by itself.",
    "translation": "Each molecule shifts as a whole, by itself.",
}


def shell_blocks(result: DemoResult) -> list[Block]:
    """Agreement of each model by resolution."""
    known = np.isfinite(result.fits["liquid-like"].ceiling).any()
    ceiling = (
        f"CC_max follows from {SIGMA_TEXT[result.sigma_source]}"
        if known
        else "The noise of the map is not known, nor is CC_max"
    )
    return [
        FigureBlock(
            shell_curves(result.fits, multiplicity=_multiplicity(result)),
            "Anisotropic correlation of each fitted model with the data, in shells of equal width "
            f"in 1/d. Shaded: 95 % interval by the number of unique voxels. {ceiling}.",
            "Good is high and level, close under CC_max; a fall towards high resolution is a "
            "model too simple for short distances, a dip at 3 – 4 Å is solvent. The null control "
            "must stay at zero.",
            narrow=True,
        )
    ]


def fit_blocks(result: DemoResult) -> list[Block]:
    """Parameters of each model with intervals, beside truth and null control."""
    ranked = sorted(result.fits.items(), key=lambda item: -item[1].fit.cc_aniso)
    rows = [_fit_row(name, found, best=place == 0) for place, (name, found) in enumerate(ranked)]
    truth = result.dataset.truth
    if truth is not None:
        rows.append(
            Row(
                [
                    "Truth of the simulation",
                    *(f"{truth[name]:g}" if name in truth else "–" for name in SYMBOL),
                    *("–" for _ in range(3)),
                ],
                "control",
            )
        )
    return [
        Prose(
            "Each model is fitted to the anisotropic part of the map: its scale and a free smooth "
            "isotropic curve are eliminated at every step, so that background cannot pass for "
            "agreement."
        ),
        *(Prose(f"{LABELS[name]}: {_ABOUT[name]}") for name, _ in ranked),
        Table(
            [
                Column("Model", style="text"),
                Column("σ", "Å"),
                Column("γ", "Å"),
                Column("Libration", "degrees"),
                Column("CC anisotropic"),
                Column("Null CC"),
                Column("Unexplained"),
            ],
            rows,
            note="± is one standard error from the Hessian, brackets are 95 % intervals from a "
            "bootstrap over blocks of reciprocal space; where they differ much, believe the "
            "brackets. Unexplained: weighted sum of squares left of the anisotropic part, 0 is "
            "perfect and 1 is useless. Null CC: the same model with scrambled data, mean and "
            "standard deviation over 12 scrambles.",
            wide=True,
        ),
        FigureBlock(
            fit_slices(result.fits["liquid-like"].fit, unit=unit_of(result)),
            "Anisotropic data, liquid-like model and their difference, on one colour scale.",
            "Good: model and data share their features and the difference is structureless; "
            "features that stay in the difference are motions which this model lacks.",
            panels=True,
        ),
    ]


def _fit_row(name: str, found: FittedModel, *, best: bool) -> Row:
    fit = found.fit
    values = []
    for key in SYMBOL:
        if key not in fit.parameters:
            values.append("–")
            continue
        text = with_error(fit.parameters[key], fit.stderr.get(key))
        if key in fit.intervals:
            text += f" {interval(*fit.intervals[key], decimals=_decimals(fit.intervals[key]))}"
        values.append(text)
    return Row(
        [
            LABELS[name],
            *values,
            f"{number(fit.cc_aniso)} {interval(*found.interval)}",
            with_error(found.null_mean, found.chance),
            number(fit.cost),
        ],
        "chosen" if best else "",
    )


def _decimals(pair: tuple[float, float]) -> int:
    width = abs(pair[1] - pair[0])
    return 3 if width < 0.1 else 2


def _multiplicity(result: DemoResult) -> int:
    return max(1, round(result.observed.n_measured / max(result.n_unique, 1)))
