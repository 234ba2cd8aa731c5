"""The Ramachandran plot: regions of each kind of residue, and where the model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from unstill.report.svg import ACCENT, HATCH, INK, LINE, SOFT, STYLE, inline_svg, new_figure
from unstill.validation.model_scores import ModelScores
from unstill.validation.ramachandran import KINDS, ramachandran_regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDE, _GAP, _LEFT, _BOTTOM, _TOP = 2.02, 0.2, 0.55, 0.5, 0.3
_MOST_NAMES = 5


def ramachandran_svg(scores: ModelScores, *, name: str) -> str:
    """Inline SVG of four panels; dots of members and altlocs, crosses for outliers.

    Parameters
    ----------
    scores
        Of the model.
    name
        Unique on the page.
    """
    width = _LEFT + 4 * _SIDE + 3 * _GAP + 0.1
    height = _BOTTOM + _SIDE + _TOP
    with matplotlib.rc_context(STYLE):
        figure = new_figure(width, height)
        for number, kind in enumerate(KINDS):
            left = (_LEFT + number * (_SIDE + _GAP)) / width
            box = (left, _BOTTOM / height, _SIDE / width, _SIDE / height)
            axes = figure.add_axes(box)
            _regions(axes, kind)
            _dots(axes, scores, number)
            axes.set_xlim(-180, 180)
            axes.set_ylim(-180, 180)
            axes.set_xticks([-120, 0, 120])
            axes.set_yticks([-120, 0, 120], labels=None if number == 0 else ["", "", ""])
            axes.set_xlabel("φ (°)")
            if number == 0:
                axes.set_ylabel("ψ (°)", labelpad=0)
            axes.set_title(kind, loc="left", pad=4)
        return inline_svg(figure, name, title="Ramachandran plot by kind of residue")


def _regions(axes: Axes, kind: str) -> None:
    density, allowed, favoured = ramachandran_regions(kind)
    # One more row and column on each side: the torus goes on.
    wide = np.pad(density, 1, mode="wrap").T
    centres = -180 + 5 * (np.arange(len(wide)) - 0.5)
    top = float(density.max()) + 1.0
    axes.contourf(centres, centres, wide, levels=[allowed, favoured], colors=[LINE], alpha=0.55)
    axes.contourf(centres, centres, wide, levels=[favoured, top], colors=[HATCH], alpha=0.42)
    for place in (-120, 0, 120):
        axes.axhline(place, color=LINE, linewidth=0.4, zorder=0)
        axes.axvline(place, color=LINE, linewidth=0.4, zorder=0)


def _dots(axes: Axes, scores: ModelScores, kind: int) -> None:
    found = scores.ramachandran
    rows = np.flatnonzero((found.kind == kind) & scores.backbone_chosen)
    held = np.flatnonzero(scores.weights > 0)
    verdict = found.verdict[np.ix_(held, rows)]
    phi, psi = found.torsions.phi[np.ix_(held, rows)], found.torsions.psi[np.ix_(held, rows)]
    good = verdict > 0
    many = int(good.sum()) > 1500
    axes.plot(
        phi[good], psi[good], "o", color=INK, markersize=1.5 if many else 2.2, alpha=0.75,
        markeredgewidth=0, rasterized=many,
    )  # fmt: skip
    axes.plot(phi[~good], psi[~good], "x", color=ACCENT, markersize=6, markeredgewidth=1.6)
    share = scores.weights[held] @ ~good
    # Those that most of the ensemble has; names of stray ones would cover the rest.
    for row in rows[share >= 0.5][:_MOST_NAMES].tolist():
        member = int(held[np.argmin(found.verdict[held, row])])
        x, y = float(found.torsions.phi[member, row]), float(found.torsions.psi[member, row])
        residue = int(scores.residues.of_atom[found.torsions.atom[row]])
        label = f"{scores.residues.chain_id[residue]}{scores.residues.res_id[residue]}"
        label += scores.residues.ins_code[residue]
        axes.annotate(
            label, (x, y), xytext=(-5 if x > 90 else 5, 4), textcoords="offset points",
            ha="right" if x > 90 else "left", fontsize=8, color=ACCENT,
        )  # fmt: skip
    axes.text(
        0.975, 0.025, str(len(rows)), transform=axes.transAxes, ha="right", fontsize=8, color=SOFT
    )
