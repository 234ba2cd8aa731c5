"""The page as a whole: its sections, and what stands above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unstill.report.blocks import Block, KeyFigure, KeyFigures, Prose
from unstill.report.numbers import decimals_for, interval, number
from unstill.report.page import Page, Section
from unstill.report.svg import standalone_svg
from unstill.workflows.demo import DemoResult
from unstill.workflows.demo_fits import FittedModel
from unstill.workflows.demo_report.data import data_blocks, indexing_blocks
from unstill.workflows.demo_report.difference import difference_blocks
from unstill.workflows.demo_report.encoding import encoding_blocks
from unstill.workflows.demo_report.ensemble import ensemble_blocks
from unstill.workflows.demo_report.figures import fit_slices
from unstill.workflows.demo_report.guidance import guidance_blocks
from unstill.workflows.demo_report.models import fit_blocks, shell_blocks
from unstill.workflows.demo_report.reduction import reduction_blocks
from unstill.workflows.demo_report.weighting import weighting_blocks
from unstill.workflows.demo_report.words import SYMBOL, unit_of


def demo_page(
    result: DemoResult, provenance: Mapping[str, Any], warnings: Sequence[str] = ()
) -> Page:
    """Compose the report.

    Parameters
    ----------
    result
        What :func:`unstill.workflows.demo.run_demo` found.
    provenance
        ``Provenance.as_dict()`` of the run.
    warnings
        What was warned of.
    """
    sections = [Section("The data", data_blocks(result))]
    if "indexing" in result.sections:
        sections.append(Section("Indexing", indexing_blocks(result)))
    if "fit" in result.sections:
        sections.append(Section("Agreement by resolution", shell_blocks(result)))
        sections.append(Section("Models of motion", fit_blocks(result)))
    if result.ensemble is not None:
        sections.append(Section("An ensemble that moves so", ensemble_blocks(result.ensemble)))
    if result.difference is not None:
        sections.append(
            Section("What is left", difference_blocks(result.difference, result.sigma_source))
        )
    if result.weighting is not None:
        sections.append(
            Section("Which frames explain the data?", weighting_blocks(result.weighting))
        )
    if result.encoding is not None:
        sections.append(Section("The ensemble in one file", encoding_blocks(result.encoding)))
    if result.guidance is not None:
        sections.append(
            Section("Two states from one and a density", guidance_blocks(result.guidance))
        )
    if result.reduction is not None:
        sections.append(Section("From images to a map", reduction_blocks(result.reduction)))
    return Page(
        title=f"Diffuse scattering of {_subject(result)}",
        kind=result.dataset.kind,
        subject=result.dataset.title,
        lead=_lead(result),
        sections=sections,
        provenance=provenance,
        warnings=warnings,
    )


def demo_picture(result: DemoResult) -> str:
    """Draw data, liquid-like model and what is left, as an SVG file of its own.

    Raises
    ------
    KeyError
        If the fits were not among the sections that were run.
    """
    return standalone_svg(fit_slices(result.fits["liquid-like"].fit, unit=unit_of(result)))


def _subject(result: DemoResult) -> str:
    words = result.dataset.title.split(",")[0]
    return words[0].lower() + words[1:]


def _lead(result: DemoResult) -> list[Block]:
    blocks: list[Block] = []
    if result.dataset.truth is not None:
        truth = ", ".join(
            f"{SYMBOL[name]} = {value:g} Å" for name, value in result.dataset.truth.items()
        )
        blocks.append(
            Prose(
                f"These data are simulated. The truth is known ({truth}) and stands beside "
                "what was found; the generator shares the form-factor tables with the fit and "
                "nothing else."
            )
        )
    best = result.fits.get("liquid-like")
    if best is not None:
        blocks.insert(0, Prose(_answer(best), lead=True))
        blocks.append(KeyFigures(_key_figures(result, best)))
    return blocks


def _answer(best: FittedModel) -> str:
    ceiling = best.fit.comparison.cc_max
    allowed = (
        f"; the noise of the data would allow {number(ceiling)}" if ceiling is not None else ""
    )
    return (
        f"Liquid-like motions of {_with_interval(best, 'sigma')}, correlated over "
        f"{_with_interval(best, 'gamma')}, explain the anisotropic diffuse intensity with a "
        f"correlation of {number(best.fit.cc_aniso)}{allowed}."
    )


def _with_interval(best: FittedModel, name: str) -> str:
    """Value and bootstrap interval, which holds where a model does not fit to the noise too."""
    value, (low, high) = best.fit.parameters[name], best.fit.intervals[name]
    decimals = decimals_for(high - low)
    return f"{number(value, decimals)} Å {interval(low, high, decimals)}"


def _key_figures(result: DemoResult, best: FittedModel) -> list[KeyFigure]:
    ceiling = best.fit.comparison.cc_max
    figures = [
        KeyFigure(
            "Anisotropic CC",
            number(best.fit.cc_aniso),
            "1 is perfect; total intensity is left out, because its fall with resolution "
            "agrees with anything.",
            interval(*best.interval),
        ),
        KeyFigure(
            "Null control",
            number(best.null_mean),
            "The same model against data scrambled within shells: zero, give or take chance. "
            f"Its total CC is still {number(best.null.cc_total, 2)}.",
            f"± {number(best.chance)}",
        ),
    ]
    if ceiling is not None:
        figures.insert(
            1,
            KeyFigure(
                "CC_max", number(ceiling), "What a perfect model would reach with these data."
            ),
        )
    trials = result.indexing.trials
    if len(trials) > 1:
        lead = trials[0].cc_aniso - trials[1].cc_aniso
        figures.append(
            KeyFigure(
                "Indexing",
                number(lead, 2),
                f"Lead of {trials[0].operator} over {trials[1].operator}"
                f"{', which is wrong on purpose,' if trials[1].control else ''} in anisotropic "
                f"CC. In total CC it is {number(trials[0].cc_total - trials[1].cc_total, 2)}.",
            )
        )
    return figures
