"""Bragg amplitudes: what the same weights do to the mean structure."""

from __future__ import annotations

from unstill.report.blocks import Block, Column, Prose, Row, Table
from unstill.report.numbers import number, signed
from unstill.weighting.bragg import BraggAgreement


def bragg_blocks(weighted: BraggAgreement, prior: BraggAgreement) -> list[Block]:
    """R and CC of the amplitudes before and after."""
    rows = [
        Row(
            [
                name,
                number(before, decimals),
                number(after, decimals),
                signed(after - before, decimals),
            ],
            style,
        )
        for name, before, after, decimals, style in (
            ("R_work", prior.r_work, weighted.r_work, 4, ""),
            ("R_free", prior.r_free, weighted.r_free, 4, "chosen"),
            ("CC work", prior.cc_work, weighted.cc_work, 4, ""),
            ("CC free", prior.cc_free, weighted.cc_free, 4, ""),
            ("Overall B (Å²)", prior.b_overall, weighted.b_overall, 2, ""),
        )
    ]
    free = (
        f"{number(weighted.n_work, 0)} work and {number(weighted.n_free, 0)} free reflections"
        if weighted.n_free
        else f"{number(weighted.n_work, 0)} reflections; nothing is held out"
    )
    return [
        Prose(
            "Diffuse intensity is the variance of the structure factors, Bragg amplitudes are "
            "their mean. Weights that explain one should not spoil the other."
        ),
        Table(
            [
                Column("Amplitudes", style="text"),
                Column("Prior weights"),
                Column("Weighted"),
                Column("Change"),
            ],
            rows,
            note=f"{free}. Scale and overall B are refined on the work reflections for each. "
            "Good: R_free falls with the diffuse agreement, or at least stays. Bad: it rises, and "
            "the diffuse gain was bought with a worse mean structure. No bulk solvent is added to "
            "what the members hold.",
        ),
    ]
