"""What stands above the sections: what was made, and four numbers to judge it by."""

from __future__ import annotations

from unstill.reduction.pipeline.outcome import Outcome
from unstill.report.blocks import Block, KeyFigure, KeyFigures, Prose
from unstill.report.numbers import interval, number


def lead_blocks(found: Outcome) -> list[Block]:
    """Say what was found, and no more."""
    if found.statistics is None:
        steps = ", ".join(found.done) or "no step"
        return [Prose(f"The reduction ended before there was a map. Done: {steps}.", lead=True)]
    return [
        Prose(_in_words(found), lead=True),
        Prose(_in_numbers(found)),
        KeyFigures(_figures(found)),
    ]


def _in_words(found: Outcome) -> str:
    assert found.statistics is not None
    total = found.statistics.overall
    used = [sweep for sweep in found.sweeps if sweep.used]
    many = f"{len(used)} sweeps" if len(used) > 1 else "one sweep"
    return (
        f"{number(found.n_frames, 0)} frames of {many} became a map of "
        f"{number(total.n_voxels, 0)} unique voxels to {total.d_min:.2f} Å; they are "
        f"{_percent(total.completeness)} of those in that range."
    )


def _in_numbers(found: Outcome) -> str:
    assert found.statistics is not None
    total = found.statistics.overall
    text = (
        f"{number(found.observations, 0)} observations, each a voxel in at most a block of "
        f"frames, {number(total.redundancy, 1)} a voxel on average."
    )
    if found.scale is not None:
        model = found.scale.error_model
        text += f" Their variance is {model.gain:.2f} times that of counting" + (
            f", and {_percent(model.relative)} of the signal besides."
            if model.relative > 0
            else "; no relative error besides is seen."
        )
    return text


def _figures(found: Outcome) -> list[KeyFigure]:
    assert found.statistics is not None
    total, out = found.statistics.overall, found.rejected
    low, high = found.statistics.cc_half_interval
    figures = [
        KeyFigure(
            "CC1/2",
            number(total.cc_half),
            "Correlation of the anisotropic parts of two random halves; 1 is perfect. By their "
            f"sigmas they should reach {number(total.cc_expected)}.",
            interval(low, high) if low == low else "",
        ),
        KeyFigure(
            "CC Friedel",
            number(total.cc_friedel),
            "The same of Friedel mates, which see other parts of the detector and of the crystal: "
            "what scaling did not correct shows here first.",
        ),
    ]
    if found.scale is not None:
        figures.append(
            KeyFigure(
                "χ²",
                number(found.scale.chi2),
                "Of observations about their voxels, with the refined error model; 1 is perfect.",
            )
        )
        share = sum(out.values()) / max(found.observations, 1)
        figures.append(
            KeyFigure(
                "Left out",
                _percent(share),
                f"{out['bright']} observations too bright and {out['dark']} too dark"
                + (f", {out['bad_range']} of bad ranges" if out["bad_range"] else "")
                + ".",
            )
        )
    return figures


def _percent(share: float) -> str:
    return f"{number(100 * share, 2 if share < 0.01 else 1)} %"
