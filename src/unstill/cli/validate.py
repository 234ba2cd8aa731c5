"""``unstill validate``: how good a model or ensemble is, alone and against its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.options import Debug, Json, positive
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles import Ensemble
    from unstill.maps.amplitudes import Amplitudes
    from unstill.maps.density_map import DensityMap

_WORST = 15


def register(app: typer.Typer) -> None:
    """Add ``validate`` to the verbs."""
    app.command("validate")(validate)


def validate(
    model: Annotated[Path, typer.Argument(help="A model or ensemble: mmCIF, BinaryCIF or PDB.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="MTZ (F and SIGF for R values, FWT and PHWT for density) or CCP4/MRC map.",
        ),
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(
            "--resolution",
            callback=positive,
            help="Resolution d_min (Å) of a map. [default for MTZ: that of its reflections]",
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option("--select", help='Judge only these residues, as "chain A and resid 10-20".'),
    ] = None,
    em: Annotated[bool, typer.Option("--em", help="The map is one of electrons.")] = False,
    keep_hydrogens: Annotated[
        bool,
        typer.Option(
            "--keep-hydrogens", help="Judge the hydrogens of the model in place of riding ones."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for report.html and residues.csv, or x.html."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Judge a model: geometry, clashes, torsions, spread, and agreement with its data.

    Members of an ensemble count by their weights. Alternate locations are judged
    together, and each altloc as a whole copy. Riding hydrogens are put where the
    heavy atoms say before clashes are counted. With data: R values by shell, and the
    real-space correlation of the model, of its residues and of each state.

    Example: unstill validate model.cif --data data.mtz -o validation/
    """
    with Verb("validate", as_json=as_json, debug=debug) as verb:
        from unstill.cli.validate_text import validation_text
        from unstill.ensembles.selection import atom_mask
        from unstill.io.structure_files import read_structure
        from unstill.validation.restraint_targets import restraint_targets
        from unstill.workflows.validate_model import validate_model

        _check_out(out, [model, *([data] if data else [])])
        record = verb.record(
            {
                "model": model,
                "data": data,
                "resolution": resolution,
                "select": select,
                "em": em,
                "keep_hydrogens": keep_hydrogens,
                "out": out,
            },
            inputs=[model, *([data] if data else [])],
        )
        ensemble = read_structure(model)
        _check_model(model, ensemble)
        amplitudes, density, d_min = None, None, None
        if data is not None:
            amplitudes, density, d_min = _read_data(data, resolution)
        restraints, unknown = restraint_targets(ensemble)
        if unknown:
            verb.warn(
                f"bonds and angles of {', '.join(unknown)} are not judged: the Chemical "
                "Component Dictionary does not know them"
            )
        found = validate_model(
            ensemble,
            restraints=restraints,
            selected=None if select is None else atom_mask(ensemble.atoms, select),
            amplitudes=amplitudes,
            density=density,
            d_min=d_min,
            electron=em,
            keep_hydrogens=keep_hydrogens,
        )
        verb.result = found.summary()
        if amplitudes is not None:
            verb.result["columns"] = list(amplitudes.columns)
        _warn(verb, verb.result)
        for line in validation_text(found, model.name, most=_WORST):
            verb.say(line)
        if out is not None:
            _write(verb, found, out, record.as_dict(), model, data)


def _check_out(out: Path | None, inputs: list[Path]) -> None:
    from unstill.cli.out_folder import check_folder
    from unstill.cli.outputs import check_distinct, check_outputs

    if out is None:
        return
    if out.suffix.lower() in (".html", ".htm"):
        check_outputs([out], inputs)
        return
    from unstill.workflows.model_report import FILES

    check_folder(out, list(FILES.values()))
    check_distinct([out / name for name in FILES.values()], inputs)


def _check_model(path: Path, ensemble: Ensemble) -> None:
    from unstill.errors import InputError

    if ensemble.n_atoms == 0 or ensemble.n_members == 0:
        raise InputError(
            f"{path.name} holds no atoms", found=path, fix="give a model with coordinates"
        )


def _read_data(
    path: Path, resolution: float | None
) -> tuple[Amplitudes | None, DensityMap | None, float | None]:
    from unstill.errors import FormatError, InputError
    from unstill.io.density_ccp4 import read_density_map
    from unstill.io.reading import head

    start = head(path)
    if start.startswith(b"MTZ "):
        return _read_mtz(path, resolution)
    if start[208:212] == b"MAP ":
        if resolution is None:
            raise InputError(
                "a map does not say its resolution",
                found=path.name,
                fix="add --resolution, d_min in angstroms",
            )
        return None, read_density_map(path), resolution
    raise FormatError(
        f"{path.name} holds no data that a model is compared with",
        found=path,
        fix="give an MTZ file, or a CCP4 or MRC map",
    )


def _read_mtz(
    path: Path, resolution: float | None
) -> tuple[Amplitudes | None, DensityMap | None, float | None]:
    from unstill.cli.validate_mtz import read_mtz_data

    return read_mtz_data(path, resolution)


def _warn(verb: Verb, result: dict[str, Any]) -> None:
    if result.get("n_atoms_off_map"):
        verb.warn(
            f"{result['n_atoms_off_map']} of {result['n_atoms']} atoms stand where the map has no "
            "value; check that model and map are in one frame"
        )
    if result.get("rscc") is not None and result["rscc"] < 0.3:
        verb.warn(
            f"the model does not fit the map (correlation {result['rscc']:.2f}): it may be of "
            "another structure, or in another frame"
        )
    if result.get("r_work") is not None and result["r_work"] > 0.45:
        verb.warn(
            f"R_work is {result['r_work']:.2f}, as of a model that has nothing to do with the data"
        )


def _write(
    verb: Verb, found: Any, out: Path, provenance: dict[str, Any], model: Path, data: Path | None
) -> None:
    from unstill.cli.out_folder import make_folder
    from unstill.report.page import write_page
    from unstill.workflows.model_report import FILES, model_page, write_residues_csv

    page = model_page(
        found,
        provenance,
        name=model.name,
        data="" if data is None else data.name,
        warnings=verb.warnings,
    )
    if out.suffix.lower() in (".html", ".htm"):
        verb.output("report", write_page(page, out))
        verb.say(f"report: {out}")
        return
    make_folder(out)
    verb.output("report", write_page(page, out / FILES["report"]))
    verb.output("residues", write_residues_csv(found, out / FILES["residues"]))
    verb.say(f"report: {out / FILES['report']}")
