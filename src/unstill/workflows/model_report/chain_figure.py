"""What is measured of every residue, drawn along the chains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, INK, LINE, SOFT, STYLE, inline_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _PANEL, _GAP, _BOTTOM, _TOP = 9.0, 1.2, 0.2, 0.5, 0.28
_LEFT, _RIGHT = 0.62, 0.1


@dataclass(frozen=True, eq=False)
class ChainTrack:
    """One quantity along the chains.

    Parameters
    ----------
    label
        Of the y axis.
    values
        ``(n,)`` one a residue; NaN where not measured.
    low_is_bad
        Draw what lies below ``limit`` in the accent colour; else what lies above.
    limit
        Where a reader should look, drawn as a line; ``None`` for none.
    top
        Of the y axis; fitted by default.
    """

    label: str
    values: np.ndarray
    low_is_bad: bool = False
    limit: float | None = None
    top: float | None = None


def chain_svg(
    tracks: list[ChainTrack], chain_id: list[str], number: list[str], *, name: str
) -> str:
    """Inline SVG of one panel a track over a common axis of residues.

    Parameters
    ----------
    tracks
        Top to bottom.
    chain_id, number
        Of every residue, in order.
    name
        Unique on the page.
    """
    n = len(chain_id)
    height = _BOTTOM + len(tracks) * (_PANEL + _GAP) + _TOP - _GAP
    starts = [row for row in range(n) if row == 0 or chain_id[row] != chain_id[row - 1]]
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, height)
        for place, track in enumerate(tracks):
            bottom = _BOTTOM + (len(tracks) - 1 - place) * (_PANEL + _GAP)
            axes = figure.add_axes(
                (
                    _LEFT / _WIDTH,
                    bottom / height,
                    (_WIDTH - _LEFT - _RIGHT) / _WIDTH,
                    _PANEL / height,
                )
            )
            _draw(axes, track, n)
            for start in starts[1:]:
                axes.axvline(start - 0.5, color=SOFT, linewidth=0.7)
            if place == 0:
                _name_chains(axes, starts, chain_id)
            last = place == len(tracks) - 1
            ticks = _ticks(number, starts, n)
            axes.set_xticks(ticks, [number[tick] for tick in ticks] if last else [""] * len(ticks))
            if last:
                axes.set_xlabel("residue")
        return inline_svg(figure, name, title="Scores of the residues along the chains")


def _draw(axes: Axes, track: ChainTrack, n: int) -> None:
    values = track.values
    bad = np.zeros(n, dtype=bool)
    if track.limit is not None:
        bad = values < track.limit if track.low_is_bad else values > track.limit
        axes.axhline(track.limit, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    places = np.arange(n)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.plot(places, values, color=INK, linewidth=0.8, alpha=0.55)
    size = 2.2 if n < 400 else 1.5
    axes.plot(places[~bad], values[~bad], "o", color=INK, markersize=size, markeredgewidth=0)
    axes.plot(places[bad], values[bad], "o", color=ACCENT, markersize=4, markeredgewidth=0)
    known = values[np.isfinite(values)]
    low = min(0.0, float(known.min(initial=0.0)))
    top = track.top if track.top is not None else 1.08 * max(float(known.max(initial=0.0)), 0.05)
    axes.set_ylim(low, top)
    axes.set_xlim(-1, n)
    axes.set_ylabel(track.label)
    axes.locator_params(axis="y", nbins=4)
    axes.spines[["top", "right"]].set_visible(False)


def _name_chains(axes: Axes, starts: list[int], chain_id: list[str]) -> None:
    ends = [*starts[1:], len(chain_id)]
    for start, end in zip(starts, ends, strict=True):
        if end - start < 0.02 * len(chain_id):
            continue
        axes.annotate(
            f"chain {chain_id[start]}" if len(starts) < 8 else chain_id[start],
            ((start + end - 1) / 2, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", va="bottom", fontsize=8.5, color=SOFT,
        )  # fmt: skip


def _ticks(number: list[str], starts: list[int], n: int) -> list[int]:
    """Rows with round residue numbers, far enough from each other and from chain ends."""
    step = next(step for step in (5, 10, 20, 50, 100, 200, 500, 10**6) if n / step <= 14)
    ticks: list[int] = []
    for row in range(n):
        text = number[row]
        is_round = text.lstrip("-").isdigit() and int(text) % step == 0
        if is_round and (not ticks or row - ticks[-1] >= 0.5 * step):
            ticks.append(row)
    return ticks or starts[:1]
