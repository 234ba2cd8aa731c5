"""Is the gain real: work and free, total and anisotropic, beside the same on permuted data."""

from __future__ import annotations

import numpy as np

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import interval, number, signed
from unstill.weighting.agreement import bootstrap_agreement
from unstill.weighting.result import NullRun, Weighed
from unstill.workflows.weigh_report.figures import null_strip
from unstill.workflows.weigh_report.words import beaten_by, free_gain, plural

_N_DRAWS = 400
_NONE = 1e-4
"""Gains below this are none."""

_PARTS = {"total": "total", "aniso": "anisotropic"}


def gain_blocks(result: Weighed, *, anew: str) -> list[Block]:
    """Show the gain where it is proof and where it is not, and what chance would give.

    ``anew`` says what was done with each permutation.
    """
    blocks: list[Block] = [Prose(_why(result)), _table(result, anew)]
    if result.null is not None:
        blocks.append(_strip(result, result.null))
        blocks.append(Prose(_significance(result, result.null)))
    return blocks


def _why(result: Weighed) -> str:
    why = (
        "Weights are free numbers, and free numbers fit. Only the anisotropic correlation of the "
        "free set is evidence: the work set was fitted, and total intensity falls with resolution "
        "in any model."
    )
    if result.null is None:
        return (
            f"{why} No null control was run; without one, nobody knows what the same procedure "
            "would have gained on data without features."
        )
    total = float(result.null.values("free", "total").mean())
    aniso = float(result.null.values("free", "aniso").mean())
    return (
        f"{why} The permuted data show it: their features are scrambled within shells of "
        f"resolution, and still the total correlation of their free set is {number(total)} on "
        f"average, while the anisotropic one is {number(aniso)}."
    )


def _table(result: Weighed, anew: str) -> Table:
    rows = []
    for where in ("work", "free"):
        after = result.cc_free if where == "free" else result.cc_work
        before = result.uniform_free if where == "free" else result.uniform_work
        bounds = _intervals(result, free=where == "free")
        for part, word in _PARTS.items():
            judged = (where, part) == ("free", "aniso")
            gain = getattr(after, part) - getattr(before, part)
            rows.append(
                Row(
                    [
                        f"{where.capitalize()} set, {word}",
                        number(getattr(before, part)),
                        number(getattr(after, part)),
                        signed(gain),
                        _signed_interval(*bounds[part]),
                    ],
                    "chosen" if judged else "",
                )
            )
    if result.null is not None:
        rows += [
            _null_row(result.null, where, part) for where in ("work", "free") for part in _PARTS
        ]
    permuted = (
        f" Permuted data: means over {_permutations(result.null)}, {anew}; the range is that "
        "from the smallest gain to the largest."
        if result.null is not None
        else ""
    )
    return Table(
        [
            Column("Correlation", style="text"),
            Column("Prior weights"),
            Column("Weighted"),
            Column("Gain"),
            Column("Range of the gain"),
        ],
        rows,
        note="Range: 95 % interval from a bootstrap over blocks of reciprocal space; in the work "
        f"set it does not count that the weights were fitted there.{permuted}",
    )


def _null_row(null: NullRun, where: str, part: str) -> Row:
    gains = null.gains(where, part)
    return Row(
        [
            f"Permuted data, {where} set, {_PARTS[part]}",
            number(float(null.values(f"{where}_uniform", part).mean())),
            number(float(null.values(where, part).mean())),
            signed(float(gains.mean())),
            _signed_interval(float(gains.min()), float(gains.max())),
        ],
        "control",
    )


def _strip(result: Weighed, null: NullRun) -> FigureBlock:
    chance = 1 / np.sqrt(result.held.n_free)
    return FigureBlock(
        null_strip(result, null),
        "Gain of the free anisotropic correlation: each dot one permutation of the data, the line "
        "these data with the 95 % interval shaded. For scale, 1/√n is "
        f"{number(float(chance))}: what the correlation of {result.held.n_free} unrelated pairs "
        "scatters by. A gain compares two correlations at the same points and scatters less; its "
        "own interval and the dots are its measure.",
        "Good: the line stands clear of all dots and its shading clear of zero. Bad: the line "
        "among the dots, or the shading across zero.",
        narrow=True,
    )


def _significance(result: Weighed, null: NullRun) -> str:
    n, beaten, gain = null.n_permutations, beaten_by(result), free_gain(result)
    left = (
        f"Permuted data kept N_eff {number(float(null.n_eff_kl.mean()), 1)} of "
        f"{result.n_members} on average, {number(float(null.n_eff_kl.min()), 1)} at least."
    )
    if gain <= _NONE:
        largest = signed(float(null.gains("free", "aniso").max()))
        return f"There is no gain to be tested; permuted data gained {largest} at most. {left}"
    who = "None" if beaten == 0 else str(beaten)
    chance = number((beaten + 1) / (n + 1), 2 if n < 99 else 3)
    return (
        f"{who} of {_permutations(null)} gained as much in the free set. If the data held no "
        f"features, {signed(gain)} or more would come up with a probability of about {chance}"
        f"{' at most' if beaten == 0 else ''}. {left}"
    )


def _permutations(null: NullRun) -> str:
    return plural(null.n_permutations, "permutation", "permutations")


def _intervals(result: Weighed, *, free: bool) -> dict[str, tuple[float, float]]:
    of_x, of_prior = bootstrap_agreement(
        result.calculated,
        result.calculated_uniform,
        result.observed,
        result.held,
        free=free,
        n_draws=_N_DRAWS,
        seed=result.seed,
    )
    low, high = np.percentile(of_x - of_prior, [2.5, 97.5], axis=0)
    found = {part: (float(low[i]), float(high[i])) for i, part in enumerate(_PARTS)}
    if free:
        found["aniso"] = result.gain_interval
    return found


def _signed_interval(low: float, high: float) -> str:
    if not np.isfinite([low, high]).all():
        return interval(None, None)
    return f"[{signed(low)}, {signed(high)}]"
