"""The page of an enrichment: the sections of weighing, with the removal instead of the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unstill.report.blocks import KeyFigure, Row
from unstill.report.numbers import number
from unstill.report.page import Page, Section
from unstill.weighting.enrich_result import EnrichResult
from unstill.weighting.states import StatePopulation
from unstill.workflows.weigh_report.gain import gain_blocks
from unstill.workflows.weigh_report.lead import lead_blocks
from unstill.workflows.weigh_report.maps import map_blocks
from unstill.workflows.weigh_report.method import method_blocks
from unstill.workflows.weigh_report.page import Kind
from unstill.workflows.weigh_report.removal import CRITERION_TEXT, STOP_TEXT, removal_blocks
from unstill.workflows.weigh_report.shells import shell_blocks
from unstill.workflows.weigh_report.states import state_blocks

_GROUP, _ANEW = "members removed anew", "each with its own members removed"


def enrich_page(
    result: EnrichResult,
    provenance: Mapping[str, Any],
    warnings: Sequence[str] = (),
    *,
    populations: Sequence[StatePopulation] = (),
    title: str = "Which members the data keep",
    subject: str,
    kind: Kind = "measured",
) -> Page:
    """Compose the report.

    Parameters
    ----------
    result
        What :func:`unstill.weighting.enrich.enrich` found.
    provenance
        ``Provenance.as_dict()`` of the run.
    warnings
        What was warned of.
    populations
        Of states that members were assigned to; none by default.
    title, subject
        Heading of the page, and the line above it: members and map.
    kind
        Whether the map was measured or simulated.
    """
    sections = [
        Section("Is the gain real?", gain_blocks(result, group=_GROUP, anew=_ANEW)),
        Section("Agreement by resolution", shell_blocks(result)),
        Section("The removal", removal_blocks(result)),
    ]
    if populations:
        sections.append(Section("States", state_blocks(populations)))
    if slices := map_blocks(result):
        sections.append(Section("The maps", slices))
    sections.append(Section("How it was done", method_blocks(result, _rows(result))))
    return Page(
        title=title,
        kind=kind,
        subject=subject,
        lead=lead_blocks(
            result,
            KeyFigure(
                "Kept",
                number(result.n_kept, 0),
                f"Members that are left; N_eff by 1/Σw² is {number(result.n_eff, 1)}, by entropy "
                f"{number(result.n_eff_kl, 1)}.",
                f"of {number(result.n_members, 0)} members",
            ),
        ),
        sections=sections,
        provenance=provenance,
        warnings=warnings,
    )


def _rows(result: EnrichResult) -> list[Row]:
    return [
        Row(["Criterion", result.criterion, CRITERION_TEXT[result.criterion]]),
        Row(["Stop", result.stop, STOP_TEXT[result.stop]]),
        Row(["Members a pass", number(result.per_pass, 0), "that go at a time"]),
    ]
