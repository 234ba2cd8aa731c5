"""The measured map: what it holds, and how it is indexed."""

from __future__ import annotations

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import number
from unstill.workflows.demo import DemoResult
from unstill.workflows.demo_report.figures import data_slices, planes_of
from unstill.workflows.demo_report.words import unit_of

_SIGMA_SHORT = {"file": "sigma of the file", "mates": "from mates", "unknown": "unknown"}
_SIGMA_NOTE = {
    "file": "standard uncertainty that came with the map",
    "mates": "spread of Laue mates before they were averaged, as the file carries no sigma; too "
    "small where mates err together",
    "unknown": "the file carries no sigma, and no mates differ",
}


def data_blocks(result: DemoResult) -> list[Block]:
    """Show what was measured, in numbers and slices."""
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


def indexing_blocks(result: DemoResult) -> list[Block]:
    """Every indexing that was tried, and the choice."""
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
