"""``unstill hierarchy report``: the states of a model as a page, and for viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unstill.cli.options import Debug, Json
from unstill.cli.verb import Verb


def register(group: typer.Typer) -> None:
    """Add ``report`` to the commands of ``unstill hierarchy``."""
    group.command("report")(report)


def report(
    file: Annotated[Path, typer.Argument(help="A model: mmCIF, BinaryCIF or PDB.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for report.html, tables and views.")
    ],
    copies: Annotated[
        int, typer.Option("--copies", min=1, help="Whole copies for viewers, at most.")
    ] = 20,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Findings of one sort that are listed.")
    ] = 10,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the states of a model: tree, residues, combinations, findings, and views in 3D.

    Writes report.html, tables (CSV), copies.cif with whole copies that show every
    state, view.pml (PyMOL), view.cxc (ChimeraX) and view.mvsj, view.mvsx (Mol*).
    A file without a hierarchy is given one first, from its altlocs.

    Example: unstill hierarchy report model.cif -o report/
    """
    with Verb("hierarchy report", as_json=as_json, debug=debug) as verb:
        from unstill.cli.hierarchy_files import counts, read_stated
        from unstill.cli.out_folder import check_folder, make_folder
        from unstill.cli.outputs import check_distinct
        from unstill.io.conformers import read_hierarchy_tables
        from unstill.validation import check_hierarchy, check_tables
        from unstill.validation.finding import arranged
        from unstill.workflows.heterogeneity_report import FILES, write_heterogeneity_report

        check_folder(out, list(FILES.values()))
        check_distinct([out / name for name in FILES.values()], [file])
        record = verb.record(
            {"file": file, "out": out, "copies": copies, "most": most}, inputs=[file]
        )
        tables = read_hierarchy_tables(file)
        model = read_stated(verb, file)
        inferred = not tables.stated
        told = check_tables(tables, most=None)
        found = check_hierarchy(model, most=None, inferred=inferred)
        findings = arranged([*told, *found], None)
        make_folder(out)
        files = write_heterogeneity_report(
            model,
            findings,
            out,
            record.as_dict(),
            name=file.name,
            inferred=inferred,
            most=most,
            most_copies=copies,
            warnings=verb.warnings,
        )
        for name, path in files.items():
            verb.output(name, path)
        severities = ("error", "warning", "note")
        verb.result = counts(model) | {
            f"n_{severity}s": sum(finding.severity == severity for finding in findings)
            for severity in severities
        }
        verb.say(f"{len(model.states)} states, {verb.result['n_errors']} errors")
        verb.say(f"report: {files['report']}")
