"""Along a chain: how many places, how far apart, and how they share the copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.residues import ResidueSpread
from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import number
from unstill.report.svg import ACCENT, HATCH, INK, LINE, STYLE, inline_svg, new_figure
from unstill.workflows.heterogeneity_report.alternatives import SHARED
from unstill.workflows.heterogeneity_report.tree_figure import readable_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 9.0, 2.75
_MOST_CHAINS = 8
_LONGEST = 420
"""Residues of one strip; longer chains continue on the next."""

_MOST_ROWS = 30
_MOST_COLOURS = 12
"""Places of a residue that are told apart; one pale column stands for all of more."""

_HALF = 0.5
"""Columns touch: gaps of a fraction of a pixel would look like stripes."""


def strip_blocks(
    model: Multiconformer, residues: ResidueSpread, colours: Mapping[int, str]
) -> list[Block]:
    """Draw the strips of the chains that have alternatives, and a table of all chains."""
    chains = _chains(residues)
    held = {name: some for name, some in chains.items() if residues.several[some].any()}
    blocks: list[Block] = []
    if not held:
        blocks.append(Prose("No residue of a chain has an atom in more than one place."))
    ordered = sorted(held, key=lambda name: -int(residues.several[held[name]].sum()))
    shown = [name for name in held if name in ordered[:_MOST_CHAINS]]
    for place, name in enumerate(shown):
        parts = np.array_split(held[name], -(-len(held[name]) // _LONGEST))
        for part, some in enumerate(parts):
            blocks.append(_strip(model, residues, some, colours, (place, part), name))
    if len(held) > len(shown):
        blocks.append(
            Prose(
                f"{len(shown)} of {len(held)} chains with alternatives are drawn: those with "
                "most of them."
            )
        )
    blocks.append(_chain_table(residues, chains))
    return [*blocks, *_others(residues)]


def _chains(residues: ResidueSpread) -> dict[str, np.ndarray]:
    polymer = np.flatnonzero(residues.kind == "polymer")
    names = dict.fromkeys(residues.chain_id[polymer].tolist())
    found = {}
    for name in names:
        some = polymer[residues.chain_id[polymer] == name]
        found[name] = some[np.argsort(residues.res_id[some], kind="stable")]
    return found


def _strip(
    model: Multiconformer,
    residues: ResidueSpread,
    some: np.ndarray,
    colours: Mapping[int, str],
    place: tuple[int, int],
    chain: str,
) -> FigureBlock:
    first, last = residues.label(int(some[0])), residues.label(int(some[-1]))
    title = f"Chain {chain}, residues {first} to {last}"
    with matplotlib.rc_context(STYLE):
        figure = new_figure(_WIDTH, _HEIGHT)
        boxes = [(0.075, bottom, 0.915, 0.235) for bottom in (0.72, 0.43, 0.14)]
        panels = [figure.add_axes(box) for box in boxes]
        x = residues.res_id[some].astype(float)
        _draw_places(panels[0], x, residues.n_places[some])
        _draw_spread(panels[1], x, residues.spread[some], residues.backbone_spread[some])
        _draw_occupancy(panels[2], model, residues, some, colours)
        room = max(0.5, 0.005 * float(np.ptp(x)))
        for axes in panels:
            axes.set_xlim(x.min() - 0.5 - room, x.max() + 0.5 + room)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y", color=LINE, linewidth=0.5)
            axes.set_axisbelow(True)
            axes.locator_params(axis="x", nbins=12, integer=True)
        for axes in panels[:2]:
            axes.tick_params(labelbottom=False)
        panels[2].set_xlabel(f"residue of chain {chain}", parse_math=False)
        svg = readable_svg(inline_svg(figure, f"strip-{place[0]}-{place[1]}", title=title))
    return FigureBlock(
        svg,
        f"{title}. Above: places of the atom that has most. Middle: spread, the root mean square "
        "distance of the heavy atoms from their mean positions, weighted by occupancy; dots: the "
        "main chain alone. Below: how its places share the copies, one colour a state as in the "
        "tree, grey for what every copy has, pale where there are more than "
        f"{_MOST_COLOURS} places.",
        "A column that ends below 1 is a residue, or a side chain, that some copies lack; above "
        "1, occupancies that cannot be. Dots as high as the bars: the main chain moves too.",
        panels=True,
    )


def _draw_places(axes: Axes, x: np.ndarray, places: np.ndarray) -> None:
    one = places <= 1
    _fill_columns(axes, x[one], places[one], 0.0, SHARED, alpha=0.45)
    _fill_columns(axes, x[~one], places[~one], 0.0, INK)
    top = max(int(places.max(initial=1)), 2)
    axes.set_ylim(0, top * 1.08)
    axes.locator_params(axis="y", nbins=4, integer=True)
    axes.set_ylabel("places")


def _draw_spread(axes: Axes, x: np.ndarray, spread: np.ndarray, backbone: np.ndarray) -> None:
    _fill_columns(axes, x, spread, 0.0, ACCENT, alpha=0.55, label="heavy atoms")
    moved = np.isfinite(backbone) & (backbone > 1e-6)
    if moved.any():
        axes.plot(
            x[moved], backbone[moved], "o", color=INK, markersize=2.4, markeredgewidth=0,
            label="main chain",
        )  # fmt: skip
        axes.legend(frameon=False, fontsize=7.6, loc="upper right", ncols=2, borderpad=0.1,
                    handlelength=1.0, columnspacing=1.2, bbox_to_anchor=(1.0, 1.28))  # fmt: skip
    axes.set_ylim(0, max(1.1 * float(spread.max(initial=0.0)), 0.1))
    axes.locator_params(axis="y", nbins=4)
    axes.set_ylabel("spread (Å)")


def _draw_occupancy(
    axes: Axes,
    model: Multiconformer,
    residues: ResidueSpread,
    some: np.ndarray,
    colours: Mapping[int, str],
) -> None:
    bars: dict[str, list[tuple[float, float, float]]] = {}
    top = 1.0
    for residue in some.tolist():
        rows = residues.rows[residues.row_start[residue] : residues.row_start[residue + 1]]
        ordered = sorted(rows.tolist(), key=lambda r: (-float(model.occupancy[r]), r))
        at = 0.0
        if len(ordered) > _MOST_COLOURS:
            whole = float(np.clip(model.occupancy[rows], 0, None).sum())
            bars.setdefault(ACCENT, []).append((float(residues.res_id[residue]), whole, 0.0))
            top, ordered = max(top, whole), []
        for row in ordered:
            share = max(float(model.occupancy[row]), 0.0)
            colour = colours.get(int(model.state[row]), SHARED)
            bars.setdefault(colour, []).append((float(residues.res_id[residue]), share, at))
            at += share
        top = max(top, at)
    for colour, found in bars.items():
        x, share, bottom = np.array(found).T
        alpha = 0.45 if colour == SHARED else 0.3 if colour == ACCENT else 1.0
        _fill_columns(axes, x, share, bottom, colour, alpha=alpha)
    axes.axhline(1.0, color=HATCH, linewidth=0.8)
    axes.set_ylim(0, 1.04 * top)
    axes.locator_params(axis="y", nbins=3)
    axes.set_ylabel("occupancy")


def _fill_columns(
    axes: Axes,
    x: np.ndarray,
    height: np.ndarray,
    bottom: np.ndarray | float,
    colour: str,
    *,
    alpha: float = 1.0,
    label: str = "",
) -> None:
    """Draw columns of one colour as one path: a page of many residues stays small."""
    low = np.broadcast_to(np.asarray(bottom, dtype=float), x.shape)
    high, left, right = low + height, x - _HALF, x + _HALF
    corners = [(left, low), (left, high), (right, high), (right, low), (left, low)]
    vertices = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
    codes = np.array([Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY], dtype=Path.code_type)
    path = Path(vertices.reshape(-1, 2), np.tile(codes, len(x)))
    axes.add_patch(
        PathPatch(path, facecolor=colour, edgecolor="none", alpha=alpha, label=label or None)
    )


def _chain_table(residues: ResidueSpread, chains: Mapping[str, np.ndarray]) -> Table:
    rows = []
    for name, some in list(chains.items())[:_MOST_ROWS]:
        several = some[residues.several[some]]
        widest = several[np.argmax(residues.spread[several])] if len(several) else None
        rows.append(
            Row(
                [
                    name or "(blank)",
                    str(len(some)),
                    str(len(several)),
                    number(100 * len(several) / len(some), 0),
                    str(int(residues.n_places[some].max())),
                    "–" if widest is None else number(float(residues.spread[widest]), 2),
                    "–"
                    if widest is None
                    else f"{residues.res_name[widest]} {residues.label(int(widest))}",
                ]
            )
        )
    left = len(chains) - len(rows)
    return Table(
        [
            Column("Chain", style="text"),
            Column("Residues"),
            Column("With alternatives"),
            Column("Share", "%"),
            Column("Most places"),
            Column("Largest spread", "Å"),
            Column("of residue", style="text"),
        ],
        rows,
        f"{left} more chains are in residues.csv." if left else "",
    )


def _others(residues: ResidueSpread) -> list[Block]:
    """Say what of ligands, ions and waters is in several places."""
    words = []
    for kind, singular, plural in (
        ("ligand", "ligand or ion", "ligands and ions"),
        ("water", "water", "waters"),
    ):
        some = residues.kind == kind
        if some.any():
            several = int((some & residues.several).sum())
            many = int(some.sum())
            words.append(f"{several} of {many} {singular if many == 1 else plural}")
    if not words:
        return []
    return [Prose(f"In more than one place besides: {' and '.join(words)}.")]
