"""What validation found, as tables: errors, warnings and notes, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence

from unstill.report.blocks import Block, Column, KeyFigure, KeyFigures, Prose, Row, Table
from unstill.validation import RULES, Finding
from unstill.validation.finding import SEVERITIES, arranged

_NAMES = {"error": "Errors", "warning": "Warnings", "note": "Notes"}

_MEANS = {
    "error": "The model says what cannot be.",
    "warning": "It can be and is probably not meant, or is within what rounding explains.",
    "note": "Worth knowing.",
}


def finding_blocks(findings: Sequence[Finding], most: int = 10) -> list[Block]:
    """Key figures of all findings, and a table under headings of severity.

    Parameters
    ----------
    findings
        All of them.
    most
        Findings of one sort that the table lists.
    """
    if not findings:
        return [Prose("Nothing was found: the model keeps every rule.")]
    rows: list[Row] = []
    listed = arranged(findings, most)
    for severity in SEVERITIES:
        some = [finding for finding in listed if finding.severity == severity]
        if some:
            rows.append(Row([f"{_NAMES[severity]}. {_MEANS[severity]}"], "group"))
            rows += [_row(finding) for finding in some]
    columns = [
        Column("Rule", style="text"),
        Column("Finding", style="note"),
        Column("Places"),
        Column("To do", style="note"),
    ]
    note = (
        "Long runs of one sort are shortened; “places” counts the atoms, positions, states or "
        "pairs that a line stands for."
    )
    return [finding_figures(findings), Table(columns, rows, note)]


def finding_figures(findings: Sequence[Finding]) -> KeyFigures:
    """How many findings of each severity there are, and what they stand for."""
    figures = []
    for severity in SEVERITIES:
        some = [finding for finding in findings if finding.severity == severity]
        places = sum(finding.count for finding in some)
        figures.append(
            KeyFigure(
                _NAMES[severity],
                str(len(some)),
                _MEANS[severity],
                f" for {places} places" if places > len(some) else "",
            )
        )
    return KeyFigures(figures)


def rule_blocks(findings: Sequence[Finding]) -> list[Block]:
    """One line a rule: what it asks for, and how the model keeps it."""
    rows = []
    for rule, asks in RULES.items():
        some = [finding for finding in findings if finding.rule == rule]
        counts = [sum(f.severity == severity for f in some) for severity in SEVERITIES]
        rows.append(Row([rule, asks, *map(str, counts)], "control" if counts[0] else ""))
    columns = [
        Column("Rule", style="text"),
        Column("Asks for", style="note"),
        *(Column(_NAMES[severity]) for severity in SEVERITIES),
    ]
    return [Table(columns, rows)]


def _row(finding: Finding) -> Row:
    return Row(
        [
            finding.rule,
            f"{finding.message}{_concerned(finding)}",
            str(finding.count),
            finding.remedy,
        ]
    )


def _concerned(finding: Finding) -> str:
    """Atoms that the message does not name; without any, states that it does not name."""
    for what, names in (("Atoms", finding.atoms), ("States", finding.states)):
        if names:
            known = all(name in finding.message for name in names)
            return "" if known else f". {what}: {', '.join(names)}"
    return ""
