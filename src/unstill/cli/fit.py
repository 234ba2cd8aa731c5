"""``unstill fit``: the parameters of a model of motion from a measured map."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.json_file import write_json
from unstill.cli.map_input import read_map_input
from unstill.cli.options import Debug, DMax, DMin, Json, Out, Reindex, Seed, SpaceGroup, UnitCell
from unstill.cli.out_folder import check_folder, make_folder
from unstill.cli.outputs import check_map_format, check_outputs
from unstill.cli.progress import progress_bar
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.disorder.fit_result import FitResult
    from unstill.disorder.model import DisorderModel
    from unstill.disorder.transform import ModelAtoms
    from unstill.ensembles import Ensemble
    from unstill.provenance import Provenance


_FOLDER = {"model_map": "model.nxs", "residual": "residual.nxs", "fit": "fit.json"}


class Disorder(StrEnum):
    """Models of motion."""

    liquid_like = "liquid-like"
    translation = "translation"
    rigid_body = "rigid-body"


class Adp(StrEnum):
    """What of the refined displacements stays in the average structure."""

    excess = "excess"
    none = "none"
    full = "full"


class Bodies(StrEnum):
    """What moves as one."""

    asu = "asu"
    chain = "chain"


class Weighting(StrEnum):
    """How residuals are weighted."""

    auto = "auto"
    sigma = "sigma"
    shell = "shell"
    equal = "equal"


def register(app: typer.Typer) -> None:
    """Add ``unstill fit`` to the command line."""
    app.command("fit")(fit)


def fit(
    map_path: Annotated[Path, typer.Argument(metavar="MAP", help="The measured diffuse map.")],
    model_path: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Coordinates: mmCIF, BinaryCIF or PDB.")
    ],
    disorder: Annotated[
        Disorder, typer.Option("--disorder", help="Which model of motion.")
    ] = Disorder.liquid_like,
    d_min: DMin = None,
    d_max: DMax = None,
    reindex: Reindex = "auto",
    confined: Annotated[
        bool, typer.Option("--confined", help="Liquid-like: correlation ends at the molecule.")
    ] = False,
    anisotropic: Annotated[
        bool, typer.Option("--anisotropic", help="Translation: a tensor instead of one number.")
    ] = False,
    adp: Annotated[
        Adp,
        typer.Option(
            "--adp",
            help="Refined displacements kept as motion of single atoms: what exceeds the lower "
            "quartile, none, or all.",
        ),
    ] = Adp.excess,
    waters: Annotated[
        bool, typer.Option("--waters/--no-waters", help="Keep the ordered waters of MODEL.")
    ] = True,
    bodies: Annotated[
        Bodies, typer.Option("--bodies", help="What moves as one in rigid and confined models.")
    ] = Bodies.asu,
    weighting: Annotated[
        Weighting,
        typer.Option("--weighting", help="auto is sigma where the map has it, else shell."),
    ] = Weighting.auto,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Draws of the block bootstrap.")
    ] = 200,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    out: Out = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a model of motion to a measured map.

    Minimises Σ w (I_obs − k I_model − b(s))² with the scale k and a free
    isotropic curve b(s) eliminated, so that only the anisotropic part decides.
    Default range 20 to 1.6 Å, or as far as the map reaches. -o names a folder
    for model.nxs (scaled), residual.nxs and fit.json; or one file, a map of
    the model or a .json.

    Example: unstill fit data.nxs model.cif --disorder liquid-like -o fitted
    """
    with Verb("fit", as_json=as_json, debug=debug) as verb:
        from unstill.disorder.fit import D_MAX
        from unstill.disorder.fit import fit as fit_model
        from unstill.disorder.transform import ModelAtoms

        parameters: dict[str, Any] = {
            "map": map_path,
            "model": model_path,
            "disorder": disorder.value,
            "d_min": d_min,
            "d_max": D_MAX if d_max is None else d_max,
            "reindex": reindex,
            "confined": confined,
            "anisotropic": anisotropic,
            "adp": adp.value,
            "waters": waters,
            "bodies": bodies.value,
            "weighting": weighting.value,
            "bootstrap": bootstrap,
            "unit_cell": unit_cell,
            "space_group": space_group,
        }
        _check_options(disorder, confined=confined, anisotropic=anisotropic)
        inputs = [map_path, model_path]
        files = _outputs(out, inputs)
        verb.record(parameters, inputs=inputs, seed=seed)
        structure = _structure(model_path, map_path, unit_cell, space_group)
        observed = read_map_input(
            map_path, unit_cell=unit_cell, space_group=space_group, partner=model_path
        )
        atoms = ModelAtoms.of(structure, adp=adp.value, waters=waters, bodies=bodies.value)
        with progress_bar("fitting") as progress:
            found = fit_model(
                observed,
                _model(disorder, atoms, confined=confined, anisotropic=anisotropic),
                d_min=d_min,
                d_max=parameters["d_max"],
                reindex=reindex,
                weighting=weighting.value,
                n_bootstrap=bootstrap,
                seed=seed,
                progress=progress,
            )
        # The limit that was used, where it was left to the map.
        record = verb.record(parameters | {"d_min": found.d_min}, inputs=inputs, seed=seed)
        verb.result = found.as_dict()
        _say(verb, found)
        _write(verb, found, record, files)


def _check_options(disorder: Disorder, *, confined: bool, anisotropic: bool) -> None:
    if confined and disorder is not Disorder.liquid_like:
        raise typer.BadParameter("--confined goes with --disorder liquid-like")
    if anisotropic and disorder is not Disorder.translation:
        raise typer.BadParameter("--anisotropic goes with --disorder translation")


def _structure(
    path: Path, map_path: Path, unit_cell: str | None, space_group: str | None
) -> Ensemble:
    from unstill.io import read_structure
    from unstill.io.crystal_source import resolve_crystal

    structure = read_structure(path)
    if structure.crystal is not None:
        return structure
    return structure.replace(crystal=resolve_crystal(unit_cell, space_group, None, map_path))


def _model(
    disorder: Disorder, atoms: ModelAtoms, *, confined: bool, anisotropic: bool
) -> DisorderModel:
    from unstill.disorder.liquid_like import LiquidLike
    from unstill.disorder.rigid_body import RigidBody
    from unstill.disorder.rigid_translation import RigidTranslation

    if disorder is Disorder.liquid_like:
        return LiquidLike(atoms, confined=confined)
    if disorder is Disorder.translation:
        return RigidTranslation(atoms, anisotropic=anisotropic)
    return RigidBody(atoms)


def _say(verb: Verb, found: FitResult) -> None:
    verb.say(f"model           {found.model}, {found.d_max:g} to {found.d_min:.3g} Å")
    verb.say()
    verb.say("  parameter             value     stderr    95 % interval")
    for name, value in found.parameters.items():
        low, high = found.intervals.get(name, (float("nan"), float("nan")))
        label = f"{name} ({found.units[name]})"
        verb.say(f"  {label:<17}{value:10.4g} {found.stderr[name]:10.2g}   {low:.4g} … {high:.4g}")
    verb.say()
    ceiling = found.comparison.cc_max
    limit = "" if ceiling is None else f"  (at most {ceiling:.3f} by the noise)"
    verb.say(f"CC anisotropic  {found.cc_aniso:.3f}{limit}")
    verb.say(f"CC total        {found.cc_total:.3f}  (scaled model without the free curve)")
    verb.say(f"voxels          {found.n_voxels}, {found.n_points} Laue-unique")
    others = [one for one in found.candidates if one.operator.name != found.operator]
    against = "".join(f", {one.operator.name} gives {one.cc_aniso:.3f}" for one in others)
    chosen = [one.cc_aniso for one in found.candidates if one.operator.name == found.operator]
    with_start = f" ({chosen[0]:.3f} before the fit{against})" if chosen else ""
    verb.say(f"indexing        {found.operator}{with_start}")
    verb.say()
    verb.say("  d (Å)   CC aniso   voxels")
    for shell in found.comparison.shells:
        verb.say(f"{shell.d:7.2f}{shell.cc_aniso:11.3f}{shell.n:9d}")


def _outputs(out: Path | None, inputs: list[Path]) -> dict[str, Path]:
    """Every file that will be written; fails now if one could not be."""
    if out is None:
        return {}
    if out.suffix == "" or out.is_dir():
        check_folder(out, list(_FOLDER.values()))
        return {name: out / file for name, file in _FOLDER.items()}
    if out.suffix != ".json":
        check_map_format(out)
    check_outputs([out], inputs)
    return {"fit" if out.suffix == ".json" else "model_map": out}


def _write(verb: Verb, found: FitResult, record: Provenance, files: dict[str, Path]) -> None:
    from unstill.io import write_map

    notes = {**record.as_dict(), "fit": found.details()}
    maps = {"model_map": found.model_map, "residual": found.residual}
    for name, path in files.items():
        make_folder(path.parent)
        if name == "fit":
            write_json(path, found.details() | {"provenance": record.as_dict()})
        else:
            write_map(maps[name].replace(provenance=notes), path)
        verb.output(name, path)
