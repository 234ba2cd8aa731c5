"""The page as a whole: its sections, and what stands above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from unstill.report.blocks import Block, KeyFigure, Prose
from unstill.report.numbers import number
from unstill.report.page import Page, Section
from unstill.weighting.result import WeighResult
from unstill.weighting.states import StatePopulation
from unstill.workflows.weigh_report.bragg import bragg_blocks
from unstill.workflows.weigh_report.gain import gain_blocks
from unstill.workflows.weigh_report.lead import lead_blocks
from unstill.workflows.weigh_report.maps import map_blocks
from unstill.workflows.weigh_report.members import member_blocks
from unstill.workflows.weigh_report.method import method_blocks, weigh_rows
from unstill.workflows.weigh_report.price import price_blocks
from unstill.workflows.weigh_report.recipe import recipe_rows, recipe_words
from unstill.workflows.weigh_report.shells import shell_blocks
from unstill.workflows.weigh_report.states import state_blocks

Kind = Literal["measured", "simulated"]
"""Whether the map was measured or simulated."""


def weigh_page(
    result: WeighResult,
    provenance: Mapping[str, Any],
    warnings: Sequence[str] = (),
    *,
    populations: Sequence[StatePopulation] = (),
    title: str = "Which members explain the data",
    subject: str,
    kind: Kind = "measured",
) -> Page:
    """Compose the report.

    Parameters
    ----------
    result
        What :func:`unstill.weighting.weigh` found.
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
    group, anew = _procedure(result)
    sections = [
        Section("Is the gain real?", gain_blocks(result, group=group, anew=anew)),
        Section("Agreement by resolution", shell_blocks(result)),
        Section("The weights", member_blocks(result)),
    ]
    if result.path is not None:
        sections.append(Section("The price of entropy", price_blocks(result, result.path)))
    if populations:
        sections.append(Section("States", state_blocks(populations)))
    if slices := map_blocks(result):
        sections.append(Section("The maps", slices))
    if result.bragg is not None and result.bragg_uniform is not None:
        sections.append(
            Section("Bragg amplitudes", bragg_blocks(result.bragg, result.bragg_uniform))
        )
    sections.append(Section("How it was done", _how(result)))
    return Page(
        title=title,
        kind=kind,
        subject=subject,
        lead=lead_blocks(
            result,
            KeyFigure(
                "N_eff",
                number(result.n_eff_kl, 1),
                "Members that are left by entropy, N·exp(−KL); by 1/Σw² it is "
                f"{number(result.n_eff, 1)}.",
                f"of {number(result.n_members, 0)} members",
            ),
            _note(result),
        ),
        sections=sections,
        provenance=provenance,
        warnings=warnings,
    )


def _procedure(result: WeighResult) -> tuple[str, str]:
    """Say what was done with each permutation, in two words and as part of a sentence."""
    if result.recipe is not None:
        return "recipe followed anew", "the recipe followed from its start for each"
    if result.path is None:
        return "same θ", "each weighed anew at that θ"
    return "θ chosen anew", "each weighed anew with its own θ"


def _note(result: WeighResult) -> str:
    if result.recipe is not None:
        return (
            "These are the weights of the published recipe, which knows no prior, no θ and no "
            "sigma; where it starts and ends is told under “How it was done”."
        )
    return "" if result.converged else "The fit has not converged."


def _how(result: WeighResult) -> list[Block]:
    if result.recipe is None:
        return method_blocks(result, weigh_rows(result))
    words = Prose(recipe_words(result.recipe))
    return [words, *method_blocks(result, recipe_rows(result.recipe))]
