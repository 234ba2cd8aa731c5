"""The weights: which members gained, how many carry the rest, how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import number
from unstill.shapes import Float
from unstill.weighting.result import Weighed, WeighResult
from unstill.workflows.weigh_report.figures import weight_shares, weight_steps
from unstill.workflows.weigh_report.words import plural

_MOST_STEPS = 1000
_FEW_DRAWS = 20


@dataclass(frozen=True, eq=False)
class WeightTrace:
    """w/w⁰ along the source, in groups of neighbours where members are many.

    Parameters
    ----------
    edges
        ``(n_groups + 1,)`` in frames.
    ratio
        ``(n_groups,)`` w/w⁰.
    low, high
        ``(n_groups,)`` 95 % interval over the refits; ``None`` without refits.
    group
        Members in a group.
    """

    edges: Float[np.ndarray, " edges"]
    ratio: Float[np.ndarray, " groups"]
    low: Float[np.ndarray, " groups"] | None
    high: Float[np.ndarray, " groups"] | None
    group: int


def member_blocks(result: WeighResult) -> list[Block]:
    """Show the weights in numbers and along time."""
    trace = weight_trace(result, draws=result.weight_draws)
    members = "frames" if (result.n_frames == 1).all() else "members"
    grouped = f" Drawn for groups of {trace.group} neighbours." if trace.group > 1 else ""
    shaded = (
        f" Shaded: {'95 % interval' if len(result.weight_draws) >= _FEW_DRAWS else 'range'} over "
        f"{len(result.weight_draws)} refits to blocks of reciprocal space drawn with replacement."
        if trace.low is not None
        else " No refits were made, so that no interval can be drawn."
    )
    n_half = carry_half(result.weights)
    return [
        Prose(
            "N_eff says how much of the ensemble is left. N·exp(−KL), with KL the relative "
            "entropy from the prior weights, is what entropy pays for; 1/Σw² (Kish) is the number "
            "of equally weighted members whose mean would be as uncertain. Both equal N for "
            "weights that are all alike, and 1 if one member carries everything."
        ),
        _table(result, n_half),
        FigureBlock(
            weight_steps(trace),
            "Weight of each member over its prior weight, in the order of the source."
            f"{grouped}{shaded}",
            "Good: long stretches that rise or fall together, with shading clear of one: states "
            "that the data ask for. Bad: single spikes, or shading across one everywhere: the "
            "data do not say which members they want.",
            narrow=True,
        ),
        FigureBlock(
            weight_shares(result, n_half),
            f"Share of the weight that the heaviest {members} carry, sorted by w/w⁰.",
            "Good: a gentle bow over the diagonal; the simulation was nearly right. Bad: a curve "
            "that shoots up at the left: a few members stand for the whole crystal.",
            narrow=True,
        ),
    ]


def weight_trace(
    result: Weighed, *, draws: np.ndarray | None = None, most: int = _MOST_STEPS
) -> WeightTrace:
    """Group neighbours until there are few enough to be drawn."""
    n = result.n_members
    group = -(-n // most)
    starts = np.arange(0, n, group)
    prior = np.add.reduceat(result.prior, starts)
    low = high = None
    if draws is not None and len(draws) >= 2:
        drawn = np.add.reduceat(draws, starts, axis=1) / prior
        ends = (2.5, 97.5) if len(draws) >= _FEW_DRAWS else (0, 100)
        low, high = np.percentile(drawn, ends, axis=0)
    frames = np.concatenate([[0.0], np.cumsum(result.n_frames, dtype=float)])
    return WeightTrace(
        edges=frames[np.append(starts, n)],
        ratio=np.add.reduceat(result.weights, starts) / prior,
        low=low,
        high=high,
        group=group,
    )


def carry_half(weights: Float[np.ndarray, " members"]) -> int:
    """Count the heaviest members that together hold half of the weight.

    Examples
    --------
    >>> carry_half(np.array([0.1, 0.3, 0.3, 0.1, 0.1, 0.1]))
    2
    """
    return int(np.searchsorted(np.cumsum(np.sort(weights)[::-1]), 0.5 - 1e-9)) + 1


def _table(result: WeighResult, n_half: int) -> Table:
    ratio = result.weights / result.prior
    n, top = result.n_members, int(np.argmax(ratio))
    first = int(result.n_frames[:top].sum()) + 1
    last = first + int(result.n_frames[top]) - 1
    where = f"frame {first}" if first == last else f"frames {first} – {last}"
    rows = [
        Row(
            [
                "Members",
                number(n, 0),
                f"{plural(int(result.n_frames.sum()), 'frame', 'frames')} of the source",
            ]
        ),
        Row(
            [
                "N_eff = N·exp(−KL)",
                number(result.n_eff_kl, 1),
                f"{number(100 * result.n_eff_kl / n, 0)} % of the members",
            ],
            "chosen",
        ),
        Row(
            [
                "N_eff = 1/Σw²",
                number(result.n_eff, 1),
                f"{number(100 * result.n_eff / n, 0)} % of the members",
            ]
        ),
        Row(
            [
                "Half of the weight",
                number(n_half, 0),
                f"heaviest members, {number(100 * n_half / n, 0)} % of all",
            ]
        ),
        Row(["Largest w/w⁰", number(float(ratio[top]), 2), f"member {top + 1}, {where}"]),
        Row(
            [
                "Nearly gone",
                number(int((ratio < 0.1).sum()), 0),
                "members with less than a tenth of their prior weight",
            ]
        ),
    ]
    if len(result.weight_draws) >= _FEW_DRAWS:
        low, high = np.percentile(result.weight_draws, [2.5, 97.5], axis=0)
        up, down = int((low > result.prior).sum()), int((high < result.prior).sum())
        rows.append(
            Row(
                [
                    "Changed beyond error",
                    number(up + down, 0),
                    f"members whose 95 % interval leaves out w⁰: {up} up, {down} down",
                ]
            )
        )
    return Table(
        [Column("", style="text"), Column("Value"), Column("What it means", style="note")], rows
    )
