"""One thing that is wrong with a model, or worth knowing, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From worst to least."""

RULES: dict[str, str] = {
    "V1": "one tree: one root, no cycles, ids and names unique",
    "V2": "references resolve; atoms have states and states have atoms",
    "V3": "rules fit the tree and each other; every state can occur",
    "V4": "no atom twice in one copy",
    "V5": "occupancies are shares of copies and add up",
    "V6": "one occupancy for each state",
    "V7": "bonded atoms can be there together",
    "V8": "populations do not force a clash",
    "V9": "weights of members give the occupancies",
    "V10": "altloc labels can be told apart",
}
"""What each rule asks of a model."""


@dataclass(frozen=True)
class Finding:
    """A verdict on a part of a model.

    Parameters
    ----------
    rule
        ``V1`` to ``V10``; ``RULES`` says what it asks for.
    severity
        ``error``: the model says what cannot be. ``warning``: it can be, and is probably not
        meant, or is within what rounding explains. ``note``: worth knowing.
    message
        What is wrong, with its numbers, as a sentence without the final stop.
    states
        Ids of the states concerned.
    atoms
        Readable names of the first atoms concerned.
    value
        How bad: an occupancy, a length in Å; what the message says.
    remedy
        What to do.
    kind
        A word for findings of the same sort, for programs.
    count
        How many atoms, states or pairs the finding stands for.
    """

    rule: str
    severity: Severity
    message: str
    states: tuple[str, ...] = ()
    atoms: tuple[str, ...] = ()
    value: float | None = None
    remedy: str = ""
    kind: str = ""
    count: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "states": list(self.states),
            "atoms": list(self.atoms),
            "value": self.value,
            "count": self.count,
            "remedy": self.remedy,
        }


def arranged(findings: Iterable[Finding], most: int | None = 10) -> tuple[Finding, ...]:
    """Sort findings, worst first, and shorten long runs of one sort.

    Parameters
    ----------
    findings
        In any order.
    most
        Findings of one sort that are listed; one more says how many there are besides and
        what they stand for. ``None``: all.

    Returns
    -------
    tuple of Finding
        Errors before warnings before notes; within, by rule, sort, and how bad they are. The
        counts still add up to all that was found.
    """
    ordered = sorted(findings, key=_place)
    kept: list[Finding] = []
    for _, run in groupby(ordered, key=lambda f: (f.severity, f.rule, f.kind)):
        same = list(run)
        if most is None or len(same) <= most + 1:
            kept += same
        else:
            kept += [*same[:most], _rest(same[most:])]
    return tuple(kept)


def _place(finding: Finding) -> tuple[Any, ...]:
    value = 0.0 if finding.value is None else abs(finding.value)
    rule = int(finding.rule[1:]) if finding.rule[1:].isdigit() else 99
    return (
        SEVERITIES.index(finding.severity),
        rule,
        finding.kind,
        -value,
        finding.states,
        finding.atoms,
        finding.message,
    )


def _rest(findings: list[Finding]) -> Finding:
    first = findings[0]
    count = sum(finding.count for finding in findings)
    states = dict.fromkeys(state for finding in findings for state in finding.states)
    what = "" if count == len(findings) else f" ({count} places)"
    worst = "" if first.value is None else f", the worst {abs(first.value):.3g}"
    return Finding(
        first.rule,
        first.severity,
        f"and {len(findings)} more of this sort{what}{worst}",
        states=tuple(states)[:12],
        value=first.value,
        remedy=first.remedy,
        kind=first.kind,
        count=count,
    )
