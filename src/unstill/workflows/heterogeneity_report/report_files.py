"""The report in a folder: the page, tables, and what viewers open."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.copies import copies_that_show
from unstill.ensembles.multiconformer.populations import (
    MacrostatePopulations,
    macrostate_populations,
)
from unstill.ensembles.multiconformer.residues import ResidueSpread, residue_spread
from unstill.io.atomic import atomic_path
from unstill.io.copies_cif import write_copies
from unstill.report.page import write_page
from unstill.validation import Finding
from unstill.workflows.heterogeneity_report.alternatives import DrawnState, drawn_states, span
from unstill.workflows.heterogeneity_report.macrostate_table import combination
from unstill.workflows.heterogeneity_report.mol_view_spec import mol_view_archive, mol_view_spec
from unstill.workflows.heterogeneity_report.page import heterogeneity_page
from unstill.workflows.heterogeneity_report.view import view_of
from unstill.workflows.heterogeneity_report.view_scripts import chimerax_script, pymol_script

FILES = {
    "report": "report.html",
    "states": "states.csv",
    "residues": "residues.csv",
    "macrostates": "macrostates.csv",
    "copies": "copies.cif",
    "pymol": "view.pml",
    "chimerax": "view.cxc",
    "molstar": "view.mvsj",
    "molstar_archive": "view.mvsx",
}
"""Every file of a report, by its name in ``outputs``."""


def write_heterogeneity_report(
    model: Multiconformer,
    findings: Sequence[Finding],
    folder: Path,
    provenance: Mapping[str, Any],
    *,
    name: str,
    inferred: bool = False,
    most: int = 10,
    most_copies: int = 20,
    warnings: Sequence[str] = (),
) -> dict[str, Path]:
    """Write the report of a model into a folder that exists.

    Parameters
    ----------
    model
        The model, with a tree that is stated or inferred.
    findings
        All of them, as ``validation.check_hierarchy`` gives them.
    folder
        Takes the files of ``FILES``.
    provenance
        ``Provenance.as_dict()`` of the run.
    name
        Of the model.
    inferred
        Whether its tree was inferred from altlocs.
    most
        Findings of one sort that the page lists.
    most_copies
        Copies that viewers are given at most.
    warnings
        What was warned of.

    Returns
    -------
    dict
        Path of each file by its name in ``FILES``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    paths = {key: folder / file for key, file in FILES.items()}
    drawn = drawn_states(model)
    residues = residue_spread(model)
    components = list(macrostate_populations(model))
    _write_csv(paths["states"], _state_lines(model, drawn))
    _write_csv(paths["residues"], _residue_lines(model, residues))
    _write_csv(paths["macrostates"], _macrostate_lines(model, components))
    in_state = copies_that_show(model, most_copies)
    write_copies(model, in_state, paths["copies"], f"{name}: copies that show its states")
    colours = {state.state: state.colour for state in drawn}
    view = view_of(model, in_state, colours, title=f"States of {name}", file=paths["copies"].name)
    _write_text(paths["pymol"], pymol_script(view))
    _write_text(paths["chimerax"], chimerax_script(view))
    spec = mol_view_spec(view, datetime.now(UTC).isoformat(timespec="seconds"))
    _write_text(paths["molstar"], json.dumps(spec, separators=(",", ":")) + "\n")
    with atomic_path(paths["molstar_archive"]) as temporary:
        temporary.write_bytes(mol_view_archive(spec, paths["copies"]))
    unseen = int((~in_state.any(axis=0)).sum())
    page = heterogeneity_page(
        model,
        findings,
        residues,
        components,
        drawn,
        provenance,
        name=name,
        inferred=inferred,
        most=most,
        files=_told(len(in_state), unseen),
        warnings=warnings,
    )
    write_page(page, paths["report"])
    return paths


def _told(n_copies: int, unseen: int) -> list[tuple[str, str]]:
    left = f"; {unseen} rare states are in none of them" if unseen else ", and every state"
    return [
        (
            FILES["copies"],
            f"{n_copies} whole {'copy' if n_copies == 1 else 'copies'} as models of one mmCIF, "
            f"the most typical first{left}. Their number says nothing about populations.",
        ),
        (FILES["pymol"], "PyMOL: run “pymol view.pml” in this folder."),
        (FILES["chimerax"], "ChimeraX: open it."),
        (FILES["molstar_archive"], "Mol*: drop it on molstar.org/viewer; nothing is uploaded."),
        (FILES["molstar"], "The same view state as plain JSON (MolViewSpec), for web pages."),
        (FILES["states"], "Every state: parent, occupancy, atoms, residues, colour."),
        (FILES["residues"], "Every residue: places, spread, occupancies."),
        (FILES["macrostates"], "Every combination that was listed, with its population."),
    ]


def _state_lines(model: Multiconformer, drawn: Sequence[DrawnState]) -> Iterable[Sequence[object]]:
    yield ("id", "name", "parent", "kind", "occupancy", "n_atoms", "residues", "alternatives",
           "colour")  # fmt: skip
    for place in drawn:
        state = model.states[place.state]
        yield (
            state.id,
            state.name,
            state.parent,
            state.kind,
            f"{float(model.populations[place.state]):.6g}",
            int((model.state == place.state).sum()),
            span(model, place.state, 10_000),
            place.group,
            place.colour,
        )


def _residue_lines(model: Multiconformer, residues: ResidueSpread) -> Iterable[Sequence[object]]:
    yield ("chain", "residue", "name", "kind", "places", "spread_A", "main_chain_spread_A",
           "states", "occupancies")  # fmt: skip
    for number in range(len(residues)):
        rows = residues.rows[residues.row_start[number] : residues.row_start[number + 1]]
        main = float(residues.backbone_spread[number])
        yield (
            residues.chain_id[number],
            residues.label(number),
            residues.res_name[number],
            residues.kind[number],
            int(residues.n_places[number]),
            f"{float(residues.spread[number]):.4f}",
            "" if main != main else f"{main:.4f}",
            " ".join(model.states[s].id for s in model.state[rows].tolist()),
            " ".join(f"{o:.4g}" for o in model.occupancy[rows].tolist()),
        )


def _macrostate_lines(
    model: Multiconformer, components: Sequence[MacrostatePopulations]
) -> Iterable[Sequence[object]]:
    yield ("component", "states", "population", "low", "high", "known_by", "all_found")
    for number, part in enumerate(components, start=1):
        for place in range(len(part.present)):
            yield (
                number,
                " ".join(combination(model, part, place)),
                *(
                    "" if value != value else f"{value:.6g}"
                    for value in (
                        float(part.population[place]),
                        float(part.low[place]),
                        float(part.high[place]),
                    )
                ),
                part.known,
                part.all_found,
            )


def _write_csv(path: Path, lines: Iterable[Sequence[object]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
