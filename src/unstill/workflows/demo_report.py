"""The demo's result as a page and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unstill.maps.difference import DifferenceMap
from unstill.report.blocks import (
    Block,
    Column,
    FigureBlock,
    KeyFigure,
    KeyFigures,
    Prose,
    Row,
    Table,
)
from unstill.report.numbers import interval, number, with_error
from unstill.report.page import Page, Section
from unstill.report.svg import standalone_svg
from unstill.workflows.demo import DemoResult, SigmaSource
from unstill.workflows.demo_ensemble import EnsembleAgreement
from unstill.workflows.demo_figures import (
    LABELS,
    data_slices,
    difference_slices,
    ensemble_curves,
    fit_slices,
    planes_of,
    shell_curves,
)
from unstill.workflows.demo_fits import FittedModel

_SIGMA_SHORT = {"file": "sigma of the file", "mates": "from mates", "unknown": "unknown"}
_SIGMA_TEXT = {
    "file": "the sigma of the data",
    "mates": "the spread of Laue mates, pooled in shells",
    "unknown": "nothing",
}
_SIGMA_NOTE = {
    "file": "standard uncertainty that came with the map",
    "mates": "spread of Laue mates before they were averaged; the file carries no sigma",
    "unknown": "the file carries no sigma, and no mates differ",
}
_ABOUT = {
    "liquid-like": "Atoms move by σ; the movement of two atoms is the less alike the further "
    "apart they are, e-fold over γ.",
    "rigid-body": "Each molecule shifts and turns as a whole, by itself.",
    "translation": "Each molecule shifts as a whole, by itself.",
}


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
    sections = [Section("The data", _data_blocks(result))]
    if "indexing" in result.sections:
        sections.append(Section("Indexing", _indexing_blocks(result)))
    if "fit" in result.sections:
        sections.append(Section("Agreement by resolution", _shell_blocks(result)))
        sections.append(Section("Models of motion", _fit_blocks(result)))
    if result.ensemble is not None:
        sections.append(Section("An ensemble that moves so", _ensemble_blocks(result.ensemble)))
    if result.difference is not None:
        sections.append(
            Section("What is left", _difference_blocks(result.difference, result.sigma_source))
        )
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
            f"{_SYMBOL[name]} = {value:g} Å" for name, value in result.dataset.truth.items()
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


_SYMBOL = {"sigma": "σ", "gamma": "γ", "libration": "libration"}


def _answer(best: FittedModel) -> str:
    found, errors = best.fit.parameters, best.fit.stderr
    ceiling = best.fit.comparison.cc_max
    allowed = (
        f"; the noise of the data would allow {number(ceiling)}" if ceiling is not None else ""
    )
    return (
        f"Liquid-like motions of {with_error(found['sigma'], errors['sigma'])} Å, correlated "
        f"over {with_error(found['gamma'], errors['gamma'])} Å, explain the anisotropic diffuse "
        f"intensity with a correlation of {number(best.fit.cc_aniso)}{allowed}."
    )


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


def unit_of(result: DemoResult) -> str:
    """Name the unit of the map's intensities."""
    return "e² per cell" if result.dataset.simulated else "arbitrary units"


def _data_blocks(result: DemoResult) -> list[Block]:
    data, settings = result.observed, result.settings
    cell = " ".join(f"{value:g}" for value in data.crystal.unit_cell)
    fine = " × ".join(str(n) for n in data.grid.divisions)
    planes = planes_of(data)
    second = "½" if planes[1] == 0.5 else "1"
    sampling = (
        ""
        if planes[1] == 0.5
        else " The map holds whole indices only, so l = 1 stands in for l = ½."
    )
    rows = [
        Row(["Unit cell", f"{cell}", "Å, degrees"]),
        Row(["Space group", data.crystal.space_group, f"Laue class {data.crystal.laue_group}"]),
        Row(["Voxels a reciprocal-lattice vector", fine, "1 × 1 × 1 is whole indices"]),
        Row(
            [
                "Measured voxels",
                number(data.n_measured, 0),
                f"{number(result.n_unique, 0)} of them unique under the Laue group",
            ]
        ),
        Row(["Uncertainty", _SIGMA_SHORT[result.sigma_source], _SIGMA_NOTE[result.sigma_source]]),
        Row(
            [
                "Resolution used",
                f"{settings.d_max:g} – {settings.d_min:g} Å",
                "limits of every comparison and fit",
            ]
        ),
        Row(
            [
                "Atoms",
                number(result.structure.n_atoms, 0),
                "of the asymmetric unit, alternate locations counted each",
            ]
        ),
    ]
    return [
        Prose(result.dataset.description),
        Table(
            [Column("", style="text"), Column("Value"), Column("What it means", style="note")],
            rows,
        ),
        FigureBlock(
            data_slices(data, d_min=settings.d_min, d_max=settings.d_max, unit=unit_of(result)),
            f"Slices l = 0 and l = {second}. Left, the total intensity; right, what is left of it "
            "after the smooth isotropic curve, which comes from solvent, disorder of single "
            "atoms and the detector alike. Hatched: not measured, masked, or out of range."
            f"{sampling}",
            "Good data show clear features that obey the symmetry and carry on across rings; "
            "streaks, spirals or one bright quadrant would be detector, air or a second lattice.",
            panels=True,
        ),
    ]


def _indexing_blocks(result: DemoResult) -> list[Block]:
    indexing = result.indexing
    rows = []
    for place, trial in enumerate(indexing.trials):
        if trial.control:
            says = "Negative control: two axes exchanged on purpose; the lattice forbids it."
        elif place == 0:
            says = "Chosen."
        else:
            says = "Allowed by the lattice, and wrong: the features are elsewhere."
        style = "control" if trial.control else ("chosen" if place == 0 else "")
        rows.append(
            Row([trial.operator, number(trial.cc_total), number(trial.cc_aniso), says], style)
        )
    if indexing.margin is None:
        story = (
            "The lattice of this crystal has no more symmetry than the crystal, so that only one "
            "indexing is possible and there is nothing to choose. A wrong one is shown beside it."
        )
    else:
        story = (
            "The lattice has more symmetry than the crystal, so that the spots alone allow more "
            "than one indexing. Each was tried against the coordinates with a generic "
            "liquid-like model (σ 0.45 Å, γ 10 Å), before anything was fitted."
        )
    return [
        Prose(story),
        Table(
            [
                Column("Indexing", style="text"),
                Column("Total CC"),
                Column("Anisotropic CC"),
                Column("", style="note"),
            ],
            rows,
            note="Good: one row far ahead in anisotropic CC. Bad: two rows within 0.05, which is "
            "a tie. Total CC is carried by the fall with resolution that all share; do not judge "
            "by it.",
        ),
    ]


def _shell_blocks(result: DemoResult) -> list[Block]:
    known = np.isfinite(result.fits["liquid-like"].ceiling).any()
    ceiling = (
        f"CC_max follows from {_SIGMA_TEXT[result.sigma_source]}"
        if known
        else "The noise of the map is not known, nor is CC_max"
    )
    return [
        FigureBlock(
            shell_curves(result.fits, multiplicity=_multiplicity(result)),
            "Anisotropic correlation of each fitted model with the data, in shells of equal width "
            f"in 1/d. Shaded: 95 % interval by the number of unique voxels. {ceiling}.",
            "Good is high and level, close under CC_max; a fall towards high resolution is a "
            "model too simple for short distances, a dip at 3 – 4 Å is solvent. The null control "
            "must stay at zero.",
            narrow=True,
        )
    ]


def _multiplicity(result: DemoResult) -> int:
    return max(1, round(result.observed.n_measured / max(result.n_unique, 1)))


def _fit_blocks(result: DemoResult) -> list[Block]:
    ranked = sorted(result.fits.items(), key=lambda item: -item[1].fit.cc_aniso)
    rows = [_fit_row(name, found, best=place == 0) for place, (name, found) in enumerate(ranked)]
    truth = result.dataset.truth
    if truth is not None:
        rows.append(
            Row(
                [
                    "Truth of the simulation",
                    *(f"{truth[name]:g}" if name in truth else "–" for name in _SYMBOL),
                    *("–" for _ in range(3)),
                ],
                "control",
            )
        )
    return [
        Prose(
            "Each model is fitted to the anisotropic part of the map: its scale and a free smooth "
            "isotropic curve are eliminated at every step, so that background cannot pass for "
            "agreement."
        ),
        *(Prose(f"{LABELS[name]}: {_ABOUT[name]}") for name, _ in ranked),
        Table(
            [
                Column("Model", style="text"),
                Column("σ", "Å"),
                Column("γ", "Å"),
                Column("Libration", "degrees"),
                Column("CC anisotropic"),
                Column("Null CC"),
                Column("Unexplained"),
            ],
            rows,
            note="± is one standard error from the Hessian, brackets are 95 % intervals from a "
            "bootstrap over blocks of reciprocal space; where they differ much, believe the "
            "brackets. Unexplained: weighted sum of squares left of the anisotropic part, 0 is "
            "perfect and 1 is useless. Null CC: the same model with scrambled data, mean and "
            "standard deviation over 12 scrambles.",
            wide=True,
        ),
        FigureBlock(
            fit_slices(result.fits["liquid-like"].fit, unit=unit_of(result)),
            "Anisotropic data, liquid-like model and their difference, on one colour scale.",
            "Good: model and data share their features and the difference is structureless; "
            "features that stay in the difference are motions which this model lacks.",
            panels=True,
        ),
    ]


def _fit_row(name: str, found: FittedModel, *, best: bool) -> Row:
    fit = found.fit
    values = []
    for key in _SYMBOL:
        if key not in fit.parameters:
            values.append("–")
            continue
        text = with_error(fit.parameters[key], fit.stderr.get(key))
        if key in fit.intervals:
            text += f" {interval(*fit.intervals[key], decimals=_decimals(fit.intervals[key]))}"
        values.append(text)
    return Row(
        [
            LABELS[name],
            *values,
            f"{number(fit.cc_aniso)} {interval(*found.interval)}",
            with_error(found.null_mean, found.chance),
            number(fit.cost),
        ],
        "chosen" if best else "",
    )


def _decimals(pair: tuple[float, float]) -> int:
    width = abs(pair[1] - pair[0])
    return 3 if width < 0.1 else 2


def _ensemble_blocks(ensemble: EnsembleAgreement) -> list[Block]:
    n = " × ".join(str(x) for x in ensemble.divisions)
    last = ensemble.points[-1]
    rows = [
        Row(
            [
                number(p.n_frames, 0),
                f"{number(p.cc_aniso)} {interval(p.low, p.high)}",
                number(p.cc_max),
                number(p.predicted),
                number(p.null),
            ],
            "chosen" if p is last else "",
        )
        for p in ensemble.points
    ]
    return [
        Prose(
            f"Frames of a {n} supercell ({number(ensemble.n_atoms, 0)} atoms) are drawn from the "
            "fitted liquid-like motion and streamed as a simulation's trajectory would be: "
            f"structure factors to {ensemble.d_min:g} Å, summed in blocks. A real trajectory "
            "takes the same road."
        ),
        FigureBlock(
            ensemble_curves(ensemble),
            "Anisotropic correlation of the first frames with the data. CC_max (frames) is what "
            "so few frames could reach with the exact map of their own model. Shaded: 95 % "
            "interval from a bootstrap over blocks of reciprocal space.",
            "Good: the ensemble climbs along “exact model × CC_max” and is limited by nothing but "
            "its length; a curve that levels off below has the wrong motion. The null control "
            "must stay at zero.",
            narrow=True,
        ),
        Table(
            [
                Column("Frames"),
                Column("CC anisotropic"),
                Column("CC_max"),
                Column("Expected"),
                Column("Null CC"),
            ],
            rows,
            note=f"Expected: CC of the exact model ({number(ensemble.exact)}) times CC_max. One "
            "block alone has no halves to compare, hence no CC_max.",
        ),
    ]


def _difference_blocks(delta: DifferenceMap, sigma_source: SigmaSource) -> list[Block]:
    z = delta.z.intensity[delta.z.measured]
    share = float(np.mean(np.abs(z) > 3))
    by_sigma = delta.noise == "sigma"
    source = (
        _SIGMA_TEXT[sigma_source]
        if by_sigma
        else "the spread of the difference itself in each shell, since the map carries no sigma; "
        "z then shows where the difference is, not whether it is real"
    )
    return [
        Prose(f"Data minus model, divided by its uncertainty: {source}."),
        Table(
            [Column("", style="text"), Column("Value"), Column("What it means", style="note")],
            [
                Row(
                    [
                        "Scale of the data",
                        with_error(delta.scale, delta.scale_sigma),
                        "1 by construction: the model was put on the scale of the data",
                    ]
                ),
                Row(
                    [
                        "rms difference / rms anisotropic",
                        with_error(delta.rms_ratio, delta.rms_ratio_sigma),
                        "0 for equal maps, 1 if as much is left as there was",
                    ]
                ),
                Row(["rms z", number(float(np.sqrt(np.mean(z**2))), 2), "1 if all is noise"]),
                Row(
                    [
                        "Voxels beyond |z| = 3",
                        f"{number(100 * share, 2)} %",
                        "0.27 % if all is noise",
                    ]
                ),
            ],
        ),
        FigureBlock(
            difference_slices(delta),
            "Difference in units of its uncertainty.",
            "Good: salt and pepper between −3 and 3; broad patches or rows of one colour are "
            "scattering that the model does not have.",
            panels=True,
        ),
    ]
