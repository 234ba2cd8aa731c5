"""Is the gain real: work and free, total and anisotropic, beside the same on permuted data."""

from __future__ import annotations

import numpy as np

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import interval, number, signed
from unstill.weighting.agreement import bootstrap_agreement
from unstill.weighting.result import NullRun, Weighed
from unstill.workflows.weigh_report.figures import null_strip
from unstill.workflows.weigh_report.words import (
    beaten_by,
    drawn_null,
    free_gain,
    kept_prior,
    plural,
)

_N_DRAWS = 400
_NONE = 1e-4
"""Gains below this are none."""

_PARTS = {"total": "total", "aniso": "anisotropic"}


def gain_blocks(result: Weighed, *, group: str, anew: str) -> list[Block]:
    """Show the gain where it is proof and where it is not, and what chance would give.

    Parameters
    ----------
    result
        Weights, however they were found.
    group, anew
        What was done with each permutation, in two words and as part of a sentence.
    """
    blocks: list[Block] = [Prose(_why(result)), _table(result, group, anew)]
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
        f"{why} In permuted data the features are scrambled within shells of resolution: the "
        f"total correlation of their free set is still {number(total)} on average, the "
        f"anisotropic one {number(aniso)}."
    )


def _table(result: Weighed, group: str, anew: str) -> Table:
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
    permuted = ""
    if result.null is not None:
        same = result.null.same_theta
        rows += _null_rows(result.null, group)
        rows += _null_rows(same, "same θ") if same is not None else []
        more = "; and again at the θ of these data" if same is not None else ""
        permuted = (
            f" Permuted data: means over {_permutations(result.null)}, {anew}{more}. Their range "
            "is that from the smallest gain to the largest, at correlations of their own, which "
            "scatter more near zero; the verdict compares gains by Fisher's z."
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


def _null_rows(null: NullRun, group: str) -> list[Row]:
    rows = [_null_row(null, where, part) for where in ("work", "free") for part in _PARTS]
    return [Row([f"Permuted data, {group}"], "group"), *rows]


def _null_row(null: NullRun, where: str, part: str) -> Row:
    gains = null.gains(where, part)
    return Row(
        [
            f"{where.capitalize()} set, {_PARTS[part]}",
            number(float(null.values(f"{where}_uniform", part).mean())),
            number(float(null.values(where, part).mean())),
            signed(float(gains.mean())),
            _signed_interval(float(gains.min()), float(gains.max())),
        ],
        "control",
    )


def _strip(result: Weighed, null: NullRun) -> FigureBlock:
    chance = 1 / np.sqrt(result.held.n_free)
    at = ", weighed at the same θ" if null.same_theta is not None else ""
    return FigureBlock(
        null_strip(result, drawn_null(null)),
        f"Gain of the free anisotropic correlation: each dot one permutation of the data{at}, the "
        "line these data with the 95 % interval shaded. For scale, 1/√n is "
        f"{number(float(chance))}: what the correlation of {result.held.n_free} unrelated pairs "
        "scatters by. A gain compares two correlations at the same points and scatters less; its "
        "own interval and the dots are its measure.",
        "Good: the line stands clear of all dots and its shading clear of zero. Bad: the line "
        "among the dots, or the shading across zero.",
        narrow=True,
    )


def _significance(result: Weighed, null: NullRun) -> str:
    n, beaten, gain = null.n_permutations, beaten_by(result), free_gain(result)
    left = _left(result, null)
    if gain <= _NONE:
        gains = drawn_null(null).gains_at("free", "aniso", result.uniform_free.aniso)
        largest = signed(float(gains.max()))
        return f"There is no gain to be tested; permuted data gained {largest} at most. {left}"
    either = ", with θ chosen anew or at the same θ" if null.same_theta is not None else ""
    who = "None" if beaten == 0 else str(beaten)
    chance = number((beaten + 1) / (n + 1), 2 if n < 99 else 3)
    return (
        f"{who} of {_permutations(null)} gained as much in the free set{either}. If the data held "
        f"no features, {signed(gain)} or more would come up with a probability of about {chance}"
        f"{' at most' if beaten == 0 else ''}. {left}"
    )


def _left(result: Weighed, null: NullRun) -> str:
    """Say what permuted data leave of the ensemble."""
    n = result.n_members
    if null.same_theta is None:
        return f"Permuted data {kept_prior(null, n)}; N_eff is {_n_eff(null, n)}."
    same = null.same_theta
    return (
        f"With θ chosen anew, permuted data {kept_prior(null, n)}; N_eff is {_n_eff(null, n)}. "
        f"At the same θ they {kept_prior(same, n)}; N_eff is {_n_eff(same, n)}. Permuted data "
        "that do not correlate with the prior map to begin with find no way from it."
    )


def _n_eff(null: NullRun, n_members: int) -> str:
    mean, least = float(null.n_eff_kl.mean()), float(null.n_eff_kl.min())
    return f"{number(mean, 1)} of {n_members} on average, {number(least, 1)} at least"


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
