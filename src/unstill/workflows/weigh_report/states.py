"""States: what the weights say about the populations of classes that were named before."""

from __future__ import annotations

from collections.abc import Sequence

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import decimals_for, number, signed
from unstill.weighting.states import StatePopulation
from unstill.workflows.weigh_report.figures import state_ranges


def state_blocks(populations: Sequence[StatePopulation]) -> list[Block]:
    """Show populations before and after, with their uncertainty by source."""
    rows = []
    for one in populations:
        decimals = min(decimals_for(one.error), 4)
        rows.append(
            Row(
                [
                    one.label,
                    number(one.prior, decimals),
                    number(one.population, decimals),
                    signed(one.population - one.prior, decimals),
                    number(one.error_time, decimals),
                    number(one.error_data, decimals),
                    number(one.error, decimals),
                ]
            )
        )
    return [
        Prose(
            "A population is the sum of the weights of the members of a state. The labels were "
            "given; the weights did not see them."
        ),
        Table(
            [
                Column("State", style="text"),
                Column("Prior"),
                Column("Weighted"),
                Column("Change"),
                Column("± time"),
                Column("± data"),
                Column("± combined"),
            ],
            rows,
            note="One standard error each. Time: the simulation is short and visits its states "
            "few times. Data: weights refitted to blocks of reciprocal space drawn with "
            "replacement. Neither knows of errors of the force field, nor of states that the "
            "simulation never visited.",
        ),
        FigureBlock(
            state_ranges(populations),
            "Population of each state: open, with the prior weights; filled, weighted, with its "
            "95 % interval (± 1.96 combined standard errors).",
            "Good: intervals short beside the change. Bad: intervals that hold the open dot: the "
            "data do not tell this state's population.",
            narrow=True,
        ),
    ]
