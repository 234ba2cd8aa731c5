"""The tree of states, drawn: one line a state, its occupancy as a bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib

from unstill.ensembles.multiconformer import Multiconformer
from unstill.report.blocks import Block, FigureBlock, Prose
from unstill.report.svg import INK, LINE, SOFT, STYLE, inline_svg, new_figure
from unstill.workflows.heterogeneity_report.alternatives import DrawnState, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 300
"""States that are drawn; a longer list is for the table, not for the eye."""

_WIDTH, _LINE, _GAP = 9.0, 0.172, 0.075
_TOP, _BOTTOM = 0.52, 0.08
_STEP = 0.13
_SHORT_COLUMN, _LONG_COLUMN = 26, 56


def tree_blocks(model: Multiconformer, drawn: Sequence[DrawnState]) -> list[Block]:
    """Draw the tree with what it means, or a sentence where there is nothing to draw."""
    if not drawn:
        return [Prose("The model has one state: every copy is the same.")]
    shown = drawn[:_MOST]
    if len(shown) < len(drawn) and drawn[len(shown)].top == shown[-1].top:
        # A set of alternatives is not cut in two.
        last = shown[-1].top
        whole = [state for state in shown if state.top != last]
        shown = whole or list(shown)
    blocks: list[Block] = [
        FigureBlock(
            _figure(model, shown),
            "Every state with the residues that it holds and its occupancy: the share of all "
            "copies that are in it. All hang on the root, which every copy has. Lines that stand "
            "close together are alternatives: they exclude each other. Filled bars are other "
            "places of the same atoms, hollow bars other atoms.",
            "The bars of one set of alternatives add up to the bar of what they hang on, to 1 "
            "for the root; where they add up to less, some copies have none of them.",
            panels=True,
        )
    ]
    if len(shown) < len(drawn):
        blocks.append(
            Prose(
                f"The first {len(shown)} of {len(drawn)} states are drawn, in the order of their "
                "atoms; all of them are in states.csv."
            )
        )
    return blocks


def _figure(model: Multiconformer, drawn: Sequence[DrawnState]) -> str:
    columns = _columns(drawn)
    height = max(_height(column) for column in columns) + _TOP + _BOTTOM
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, _WIDTH)
        axes.set_ylim(height, 0)
        axes.axis("off")
        width = _WIDTH / len(columns)
        for number, column in enumerate(columns):
            _draw_column(axes, model, column, number * width, width - 0.3)
        title = f"Tree of {len(drawn)} states with their occupancies"
        return readable_svg(inline_svg(figure, "tree", title=title))


def readable_svg(svg: str) -> str:
    """Keep the letters of a wide figure legible on a narrow screen: it scrolls instead."""
    return svg.replace("<svg ", '<svg style="min-width: 50rem" ', 1)


def _columns(drawn: Sequence[DrawnState]) -> list[list[DrawnState]]:
    n = 1 if len(drawn) <= _SHORT_COLUMN else 2 if len(drawn) <= 2 * _LONG_COLUMN else 3
    blocks = _blocks(drawn)
    heights = [_height(block) + _GAP for block in blocks]
    low, high = max(heights), sum(heights)
    # The lowest height at which n columns take all blocks in their order.
    while high - low > _LINE / 4:
        middle = (low + high) / 2
        low, high = (low, middle) if len(_filled(heights, middle)) <= n else (middle, high)
    return [
        [state for number in column for state in blocks[number]]
        for column in _filled(heights, high)
    ]


def _blocks(drawn: Sequence[DrawnState]) -> list[list[DrawnState]]:
    """Return sets of alternatives, in one piece unless they are longer than a column."""
    sizes: dict[int, int] = {}
    for state in drawn:
        sizes[state.top] = sizes.get(state.top, 0) + 1
    blocks: list[list[DrawnState]] = []
    for number, state in enumerate(drawn):
        new = number == 0 or state.top != drawn[number - 1].top
        long = sizes[state.top] > _LONG_COLUMN // 2 and state.depth == 1
        if new or long:
            blocks.append([])
        blocks[-1].append(state)
    return blocks


def _filled(heights: Sequence[float], most: float) -> list[list[int]]:
    """Fill columns up to a height, block by block."""
    columns: list[list[int]] = [[]]
    at = 0.0
    for number, height in enumerate(heights):
        if columns[-1] and at + height > most + 1e-9:
            columns.append([])
            at = 0.0
        columns[-1].append(number)
        at += height
    return columns


def _height(column: Sequence[DrawnState]) -> float:
    gaps = sum(_new_set(column, place) for place in range(1, len(column)))
    return _LINE * len(column) + _GAP * gaps


def _new_set(column: Sequence[DrawnState], place: int) -> bool:
    before, here = column[place - 1], column[place]
    return here.top != before.top or (here.depth == before.depth and here.group != before.group)


def _draw_column(
    axes: Axes, model: Multiconformer, column: Sequence[DrawnState], x: float, width: float
) -> None:
    deepest = max(state.depth for state in column)
    step = min(_STEP, 0.16 * width / deepest)
    root = model.states[model.tree.root].id
    place, y = {0: (x + 0.05, _TOP - 0.14)}, _TOP
    axes.text(
        x + 0.02, 0.28, _cut(root, 24), fontsize=9, va="center", fontweight="bold",
        parse_math=False,
    )  # fmt: skip
    bar, size = x + 0.66 * width, 0.24 * width
    for at, word, high in ((0.0, "0", 0.3), (0.5, "occupancy", 0.14), (1.0, "1", 0.3)):
        axes.text(bar + at * size, high, word, fontsize=7.8, color=SOFT, ha="center", va="center")
    top = y
    for number, state in enumerate(column):
        if number:
            y += _LINE + _GAP * _new_set(column, number)
        left = x + 0.05 + step * state.depth
        above = place[state.depth - 1]
        axes.plot([above[0], above[0], left - 0.03], [above[1], y, y], color=SOFT, linewidth=0.6)
        place[state.depth] = (left, y)
        _draw_state(axes, model, state, (left, y), (x, bar, size))
    axes.plot([bar + size] * 2, [top - 0.1, y + 0.1], color=LINE, linewidth=0.8, zorder=0)
    axes.plot([bar] * 2, [top - 0.1, y + 0.1], color=LINE, linewidth=0.8, zorder=0)


def _draw_state(
    axes: Axes,
    model: Multiconformer,
    drawn: DrawnState,
    at: tuple[float, float],
    frame: tuple[float, float, float],
) -> None:
    (left, y), (x, bar, size) = at, frame
    state = model.states[drawn.state]
    wide = bar - x
    axes.plot([left], [y], "o", color=drawn.colour, markersize=4.2, markeredgewidth=0)
    words = x + max(0.36 * wide, left - x + 0.42)
    axes.text(
        left + 0.07,
        y,
        _cut(state.id, _fits(words - left - 0.1)),
        fontsize=8.4,
        va="center",
        parse_math=False,
    )
    room = _fits(bar - words - 0.08)
    text = span(model, drawn.state, max(room, 6))
    axes.text(words, y, _cut(text, room), fontsize=8.2, color=SOFT, va="center", parse_math=False)
    share = float(model.populations[drawn.state])
    length = size * min(max(share, 0.0), 1.12)
    hollow = state.kind == "compositional"
    axes.barh(
        y,
        length,
        left=bar,
        height=0.095,
        facecolor="none" if hollow else drawn.colour,
        edgecolor=drawn.colour,
        linewidth=0.9,
    )
    number = f"{share:.2f}" if share >= 0.095 or share == 0 else f"{share:.3f}"
    axes.text(bar + max(length, size) + 0.06, y, number, fontsize=8.2, va="center", color=INK)


def _fits(inches: float) -> int:
    """Letters of the small font that fit into a length."""
    return max(3, math.floor(inches * 72 / 4.5))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
