"""Correlation, completeness and strength, shell by shell."""

from __future__ import annotations

import numpy as np

from unstill.reduction.merging.statistics import MergingStatistics, ShellStatistics
from unstill.reduction.pipeline.outcome import Outcome
from unstill.report.blocks import Block, Column, FigureBlock, Row, Table
from unstill.report.curves import Curve, fisher_interval, resolution_curves
from unstill.report.numbers import number


def agreement_blocks(found: Outcome) -> list[Block]:
    """Curves and table of the shells."""
    if found.statistics is None:
        return []
    blocks: list[Block] = []
    if any(np.isfinite(shell.cc_half) for shell in found.statistics.shells):
        blocks.append(
            FigureBlock(
                _curves(found.statistics),
                "Correlation of the anisotropic parts: of two random halves (CC1/2, shaded 95 %), "
                "of Friedel mates, what the sigmas promise, and what CC1/2 says about the whole "
                "map (CC*).",
                "Good: CC1/2 is as expected, Friedel mates close below. Bad: Friedel mates "
                "far below (absorption, or a wrong background), or CC1/2 far below what is "
                "expected (sigmas too small).",
            )
        )
    return [*blocks, _table(found.statistics)]


def _curves(statistics: MergingStatistics) -> str:
    shells = statistics.shells
    x = np.array([_middle(shell) for shell in shells])
    half = np.array([shell.cc_half for shell in shells])
    n = np.array([shell.n_half for shell in shells])
    curves = [
        Curve("expected", x, np.array([s.cc_expected for s in shells]), look="ceiling"),
        Curve("CC*", x, np.array([s.cc_star for s in shells]), look="third"),
        Curve("CC Friedel", x, np.array([s.cc_friedel for s in shells]), look="other"),
        Curve("CC1/2", x, half, *fisher_interval(half, n), look="main"),
    ]
    return resolution_curves(
        [curve for curve in curves if np.isfinite(curve.y).any()],
        name="agreement",
        title="Correlation of halves against resolution",
        ylabel="Anisotropic correlation (CC)",
    )


def _middle(shell: ShellStatistics) -> float:
    low = 0.0 if np.isinf(shell.d_max) else 1 / shell.d_max
    return float(((low + 1 / shell.d_min) / 2) ** 2)


def _table(statistics: MergingStatistics) -> Table:
    columns = [
        Column("Shell", "Å", "text"),
        Column("CC1/2"),
        Column("CC Friedel"),
        Column("Expected"),
        Column("CC*"),
        Column("Complete", "%"),
        Column("Rows", "a voxel"),
        Column("Multiplicity", "volumes"),
        Column("⟨I/σ⟩"),
        Column("χ²"),
        Column("Voxels"),
    ]
    rows = [_row(shell) for shell in statistics.shells]
    rows.append(Row(_row(statistics.overall).cells, "chosen"))
    return Table(
        columns,
        rows,
        "The last row is all shells together. Rows: observations. Complete: unique voxels with an "
        "intensity, of all that the shell has. Multiplicity: how often their volume was swept.",
        wide=True,
    )


def _row(shell: ShellStatistics) -> Row:
    high = "∞" if np.isinf(shell.d_max) else number(shell.d_max, 2)
    return Row(
        [
            f"{high} – {number(shell.d_min, 2)}",
            number(shell.cc_half),
            number(shell.cc_friedel),
            number(shell.cc_expected),
            number(shell.cc_star),
            number(100 * shell.completeness, 1),
            number(shell.redundancy, 1),
            number(shell.multiplicity, 2),
            number(shell.i_over_sigma, 1),
            number(shell.chi2, 2),
            number(shell.n_voxels, 0),
        ]
    )
