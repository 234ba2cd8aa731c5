"""The report of a multiconformer model as a page: its sections, and what stands above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer, Rule
from unstill.ensembles.multiconformer.populations import MacrostatePopulations
from unstill.ensembles.multiconformer.residues import ResidueSpread
from unstill.report.blocks import Block, Column, KeyFigure, KeyFigures, Prose, Row, Table
from unstill.report.numbers import number
from unstill.report.page import Page, Section
from unstill.validation import Finding
from unstill.workflows.heterogeneity_report.alternatives import DrawnState
from unstill.workflows.heterogeneity_report.findings import finding_blocks
from unstill.workflows.heterogeneity_report.macrostate_table import allowed, macrostate_blocks
from unstill.workflows.heterogeneity_report.strip_figure import strip_blocks
from unstill.workflows.heterogeneity_report.tree_figure import tree_blocks

_MOST_RULES = 40


def heterogeneity_page(
    model: Multiconformer,
    findings: Sequence[Finding],
    residues: ResidueSpread,
    components: Sequence[MacrostatePopulations],
    drawn: Sequence[DrawnState],
    provenance: Mapping[str, Any],
    *,
    name: str,
    inferred: bool = False,
    most: int = 10,
    files: Sequence[tuple[str, str]] = (),
    warnings: Sequence[str] = (),
) -> Page:
    """Compose the page.

    Parameters
    ----------
    model
        The model.
    findings
        All of them, as ``validation.check_hierarchy`` gives them.
    residues
        As ``residue_spread`` measures them.
    components
        As ``macrostate_populations`` yields them.
    drawn
        As ``drawn_states`` orders and colours them.
    provenance
        ``Provenance.as_dict()`` of the run.
    name
        Of the model.
    inferred
        Whether its tree was inferred from altlocs.
    most
        Findings of one sort that are listed.
    files
        Names of the files beside the page, and what each is for.
    warnings
        What was warned of.
    """
    colours = {state.state: state.colour for state in drawn}
    sections = [
        Section("Tree of states", [*tree_blocks(model, drawn), *_rule_blocks(model)]),
        Section("Along the chains", strip_blocks(model, residues, colours)),
        Section("Combinations of states", macrostate_blocks(model, components)),
        Section("Findings", finding_blocks(findings, most)),
    ]
    if files:
        sections.append(Section("Look at it", _file_blocks(files)))
    return Page(
        title=f"Heterogeneity of {name}",
        kind="model",
        subject=_subject(model),
        lead=_lead(model, findings, residues, components, inferred=inferred),
        sections=sections,
        provenance=provenance,
        warnings=warnings,
    )


def _subject(model: Multiconformer) -> str:
    ratio = model.n_rows / max(model.n_sites, 1)
    return f"{model.n_sites} atoms in {model.n_rows} places, {ratio:.2f} each"


def _lead(
    model: Multiconformer,
    findings: Sequence[Finding],
    residues: ResidueSpread,
    components: Sequence[MacrostatePopulations],
    *,
    inferred: bool,
) -> list[Block]:
    polymer = residues.kind == "polymer"
    held = residues.several & polymer
    many, of = int(held.sum()), int(polymer.sum())
    text = (
        f"{many} of {of} residues have atoms in more than one place."
        if many
        else "No residue has an atom in more than one place."
    )
    errors = sum(finding.severity == "error" for finding in findings)
    text += (
        f" The states contradict themselves or each other in {errors} "
        f"way{'' if errors == 1 else 's'}; see the findings."
        if errors
        else " The states keep every rule."
    )
    blocks: list[Block] = [Prose(text, lead=True)]
    if inferred:
        blocks.append(
            Prose(
                "The file states no hierarchy. The tree was inferred from altlocs, occupancies, "
                "bonds and clashes; states that are far apart count as independent."
            )
        )
    return [*blocks, _figures(model, residues, components, held)]


def _figures(
    model: Multiconformer,
    residues: ResidueSpread,
    components: Sequence[MacrostatePopulations],
    held: np.ndarray,
) -> KeyFigures:
    n_states, members = len(model.states) - 1, model.members
    deepest = int(model.tree.depth.max())
    figures = [
        KeyFigure(
            "States",
            str(n_states),
            f"Below the root, {deepest} level{'' if deepest == 1 else 's'} deep, under "
            f"{len(model.rules)} rule{'' if len(model.rules) == 1 else 's'} of coexistence.",
        )
    ]
    if held.any():
        widest = int(np.argmax(np.where(held, residues.spread, -1)))
        middle = number(float(np.median(residues.spread[held])), 2)
        figures.append(
            KeyFigure(
                "Largest spread",
                number(float(residues.spread[widest]), 2),
                f"Of {residues.res_name[widest]} {residues.label(widest)} of chain "
                f"{residues.chain_id[widest]}; the median of residues with alternatives is "
                f"{middle} Å.",
                "Å",
            )
        )
    if members is None:
        return KeyFigures(
            [
                *figures,
                KeyFigure(
                    "Combinations",
                    allowed(components) if components else "1",
                    "Of states that a copy may be in, by tree, rules and positions.",
                ),
                KeyFigure(
                    "Members",
                    "none",
                    "The model says how frequent states are, not which whole copies there are.",
                ),
            ]
        )
    different = len(np.unique(members.in_state[members.weights > 0], axis=0))
    return KeyFigures(
        [
            *figures,
            KeyFigure(
                "Members",
                str(members.n_members),
                "Whole copies with weights are recorded; by entropy they count as "
                f"{number(_effective(members.weights), 1)}.",
            ),
            KeyFigure(
                "Combinations",
                str(different),
                "Of states that differ among the members; no other is claimed.",
            ),
        ]
    )


def _effective(weights: np.ndarray) -> float:
    held = weights[weights > 0]
    return float(np.exp(-(held * np.log(held)).sum()))


def _rule_blocks(model: Multiconformer) -> list[Block]:
    if not model.rules:
        return [
            Prose(
                "There is no rule of coexistence: states exclude each other only where they hold "
                "the same atoms."
            )
        ]
    words = {"AND": "needs", "OR": "needs one of", "NOT": "excludes"}
    told = [rule for rule in model.rules if not _is_implied(model, rule)]
    rows = [
        Row(
            [
                str(rule.id),
                f"{rule.state} {words[rule.kind]} {_listed(rule.others)}",
                rule.description,
            ]
        )
        for rule in told[:_MOST_RULES]
    ]
    implied, left = len(model.rules) - len(told), len(told) - len(rows)
    blocks: list[Block] = []
    if implied:
        blocks.append(
            Prose(
                f"{implied} of {len(model.rules)} rules say that states exclude each other which "
                "hold the same atoms."
            )
        )
    columns = [
        Column("Rule", style="text"),
        Column("says", style="text"),
        Column("because", style="note"),
    ]
    if rows:
        note = f"{left} more rules are in the model." if left else ""
        blocks.append(Table(columns, rows, note))
    return blocks


def _is_implied(model: Multiconformer, rule: Rule) -> bool:
    """Whether a rule writes out only what positions say already."""
    state = model.tree.find(rule.state)
    others = [model.tree.find(other) for other in rule.others]
    pairs = {(min(state, other), max(state, other)) for other in others}
    return rule.kind == "NOT" and pairs <= model.exclusive


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _file_blocks(files: Sequence[tuple[str, str]]) -> list[Block]:
    rows = [Row([file, what]) for file, what in files]
    return [
        Prose(
            "These files stand beside this page. Colours are those of the tree; what every copy "
            "has is grey."
        ),
        Table([Column("File", style="text"), Column("What it is for", style="note")], rows),
    ]
