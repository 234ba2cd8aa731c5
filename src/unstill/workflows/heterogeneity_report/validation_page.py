"""The report of a validation: what was found, and how each rule fares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unstill.report.blocks import Prose
from unstill.report.page import Page, Section
from unstill.validation import Finding
from unstill.workflows.heterogeneity_report.findings import finding_blocks, rule_blocks


def validation_page(
    name: str,
    findings: Sequence[Finding],
    provenance: Mapping[str, Any],
    *,
    about: str = "",
    most: int = 10,
    warnings: Sequence[str] = (),
) -> Page:
    """Compose the page.

    Parameters
    ----------
    name
        Of the model.
    findings
        All of them, as ``check_hierarchy`` gives them.
    provenance
        ``Provenance.as_dict()`` of the run.
    about
        A sentence on the model: its states, its macrostates.
    most
        Findings of one sort that are listed.
    warnings
        What was warned of in the run.
    """
    errors = sum(finding.severity == "error" for finding in findings)
    verdict = (
        "The states of this model contradict themselves or its atoms."
        if errors
        else "No rule is broken: the states of this model can be as they are written."
    )
    return Page(
        title=f"States of {name}: {errors or 'no'} error{'' if errors == 1 else 's'}",
        kind="model",
        subject=name,
        lead=[Prose(verdict, lead=True), *([Prose(about)] if about else [])],
        sections=[
            Section("Findings", finding_blocks(findings, most)),
            Section("Rules", rule_blocks(findings)),
        ],
        provenance=provenance,
        warnings=warnings,
    )
