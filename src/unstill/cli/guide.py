"""``unstill guide``: an ensemble from a model and a density map."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.options import Debug, Json, Seed, positive
from unstill.cli.progress import progress_bars
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.cli.guide_checkpoint import GuideCheckpoint
    from unstill.maps.density_map import DensityMap
    from unstill.provenance import Provenance
    from unstill.workflows.guide_map import GuideResult
    from unstill.workflows.guide_map.prior_choice import PriorChoice
    from unstill.workflows.guide_map.target import Target

_ENSEMBLE, _MULTI, _REPORT = "ensemble.cif", "multiconformer.cif", "report.html"
_CHECKPOINT, _TRAJECTORY = "checkpoint.npz", "trajectory.cif"
TITLES = {
    "strength": "choosing the strength",
    "levels": "guiding",
    "refinement": "refining against amplitudes",
}


class Guide(StrEnum):
    """How members are moved by the data."""

    proximal = "proximal"
    dps = "dps"
    fk = "fk"


def register(app: typer.Typer) -> None:
    """Add ``guide`` to the verbs."""
    app.command("guide")(guide)


def _strength(text: str) -> str:
    if text != "auto":
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 <= value < float("inf"):
            raise typer.BadParameter("give auto, or a number of 0 or more")
    return text


def guide(
    model: Annotated[Path, typer.Argument(help="A model in the frame of the map.")],
    data: Annotated[
        list[Path],
        typer.Argument(
            help="CCP4 or MRC map, or MTZ file of amplitudes or coefficients; a diffuse map "
            "(.nxs) beside it."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")],
    resolution: Annotated[
        float | None,
        typer.Option(
            "--resolution", callback=positive, help="Resolution of the data (Å). [MTZ: its own]"
        ),
    ] = None,
    ensemble: Annotated[
        int, typer.Option("--ensemble", min=1, max=200, help="Members of the ensemble.")
    ] = 8,
    how: Annotated[
        Guide,
        typer.Option(
            "--guide", help="proximal; dps along the ODE; or fk, particles weighed by the data."
        ),
    ] = Guide.proximal,
    strength: Annotated[
        str,
        typer.Option(
            callback=_strength,
            help="Factor on the likelihood of the map; auto takes what predicts held-out terms.",
        ),
    ] = "auto",
    prior: Annotated[
        str,
        typer.Option(help="built-in, or a predictor; see unstill predictor list."),
    ] = "built-in",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the predictor. [default: its own folder]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the predictor runs: cpu, cuda. [default: a GPU]")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Members that the predictor gets at a time. [default: all]"),
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="Atoms that may move, such as 'chain A and resid 10-20'.")
    ] = None,
    holdout: Annotated[
        float, typer.Option(min=0.0, max=0.4, help="Share of Fourier terms that no fit sees.")
    ] = 0.05,
    columns: Annotated[
        str | None, typer.Option(help="Columns of an MTZ file, as F,SIGF or FWT,PHWT.")
    ] = None,
    levels: Annotated[int, typer.Option(min=3, max=1000, help="Noise levels.")] = 10,
    noise: Annotated[
        float, typer.Option("--noise", callback=positive, help="Noise to start from (Å).")
    ] = 1.5,
    jumps: Annotated[
        bool, typer.Option("--jumps/--no-jumps", help="Let side chains leap between rotamers.")
    ] = True,
    backbone: Annotated[
        bool,
        typer.Option("--backbone/--no-backbone", help="Let peptides turn: backrubs and flips."),
    ] = False,
    loops: Annotated[
        bool,
        typer.Option("--loops/--no-loops", help="Once, let loops leap along residual density."),
    ] = False,
    b_factors: Annotated[
        bool, typer.Option("--b-factors/--fixed-b", help="Refine B at the end.")
    ] = True,
    waters: Annotated[
        bool,
        typer.Option("--waters/--no-waters", help="At the end, add and delete ordered waters."),
    ] = False,
    half_map: Annotated[
        Path | None,
        typer.Option(
            "--half-map", help="The other half map: DATA is one half, and this one judges."
        ),
    ] = None,
    em: Annotated[bool, typer.Option("--em", help="The map is one of electrons.")] = False,
    trajectory: Annotated[
        bool, typer.Option("--trajectory", help="Also write the members at every level.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Guide a model by a density or by measured amplitudes: an ensemble that explains them.

    Starts from one conformer of the model with noise, and lets the chemistry of
    the molecule and the data pull it back, level by level; then every residue
    keeps the fewest places that the data ask for. Part of a map's Fourier terms
    is held out and judges the result; of amplitudes the free ones do. A run that was interrupted
    goes on where it was if it is started again with the same command.

    Example: unstill guide model.cif map.ccp4 --resolution 1.8 -o guided
    """
    given = {name: value for name, value in locals().items() if name not in ("as_json", "debug")}
    with Verb("guide", as_json=as_json, debug=debug) as verb:
        from unstill.cli.guide_checkpoint import GuideCheckpoint
        from unstill.cli.guide_text import tell_guided
        from unstill.cli.out_folder import check_folder
        from unstill.guidance.run import RunOptions
        from unstill.io.map_files import read_map
        from unstill.io.structure_files import read_structure
        from unstill.workflows.guide_map import GuideOptions, guide_amplitudes, guide_map
        from unstill.workflows.guide_map.target import lead_and_diffuse, read_target

        names = [_ENSEMBLE, _MULTI, _REPORT, _CHECKPOINT, *([_TRAJECTORY] if trajectory else [])]
        check_folder(out, names)
        lead, diffuse = lead_and_diffuse(data)
        inputs = [model, *data, *([] if half_map is None else [half_map])]
        record = verb.record(given, inputs=inputs, seed=seed)
        source = read_structure(model)
        target = read_target(lead, source.crystal, resolution=resolution, columns=columns)
        if target.sentence:
            verb.say(target.sentence)
        options = GuideOptions(
            run=RunOptions(
                n_members=ensemble,
                guide=how.value,
                n_levels=levels,
                sigma_max=noise,
                jumps=jumps,
                backbone=backbone,
                loops=loops,
                b_factors=b_factors,
                seed=seed,
            ),
            strength=None if strength == "auto" else float(strength),
            select=select,
            holdout=holdout,
            electron=em,
            waters=waters,
            diffuse=None if diffuse is None else read_map(diffuse, crystal=source.crystal),
            half=None if half_map is None else _half(half_map, target, lead.name),
        )
        if how is Guide.fk and (loops or backbone or trajectory):
            verb.warn("particles (--guide fk) take no moves and leave no trajectory")
        keeper = GuideCheckpoint(out / _CHECKPOINT, record.as_dict(), trajectory=trajectory)
        with progress_bars(TITLES) as progress:
            steps: dict[str, Any] = {
                "prior": _prior(prior, weights, device, batch, seed, verb),
                "name": lead.name,
                "resume": keeper.resume,
                "on_level": keeper.keep,
                "progress": progress,
            }
            if target.amplitudes is not None:
                result = guide_amplitudes(source, target.amplitudes, options, **steps)
            else:
                assert target.density is not None
                result = guide_map(source, target.density, target.d_min, options, **steps)
        _write(verb, out, result, record, lead.name, keeper)
        tell_guided(verb, result)


def _half(path: Path, target: Target, name: str) -> DensityMap:
    from unstill.errors import InputError
    from unstill.io.density_ccp4 import read_density_map

    if target.density is None:
        raise InputError(
            "amplitudes have no half maps", found=f"--half-map with {name}", fix="leave it out"
        )
    return read_density_map(path)


def _prior(
    name: str,
    weights: Path | None,
    device: str | None,
    batch: int | None,
    seed: int,
    verb: Verb,
) -> PriorChoice:
    from unstill.errors import InputError
    from unstill.workflows.guide_map.prior_choice import BUILT_IN, built_in, predictor

    if name == BUILT_IN:
        if not (weights is None and device is None and batch is None):
            raise InputError(
                "the built-in prior has no weights, no device and no batch",
                found="--weights, --device or --batch without --prior",
                fix="name a predictor with --prior, or leave them out",
            )
        return built_in()
    return predictor(name, weights=weights, device=device, batch=batch, seed=seed, told=verb.say)


def _write(
    verb: Verb,
    out: Path,
    result: GuideResult,
    record: Provenance,
    name: str,
    keeper: GuideCheckpoint,
) -> None:
    from unstill.cli.out_folder import make_folder
    from unstill.ensembles.encode import encode_eps
    from unstill.io.conformers import write_multiconformer
    from unstill.io.structure_files import write_structure
    from unstill.report.page import write_page
    from unstill.workflows.guide_map.occupancies import APART, with_local_occupancies
    from unstill.workflows.guide_map.page import guide_page

    make_folder(out)
    made = result.ensemble
    write_structure(made, out / _ENSEMBLE, provenance=record)
    verb.output("ensemble", out / _ENSEMBLE)
    encoded = encode_eps(made, eps=APART).model
    encoded = with_local_occupancies(encoded, result.model, result.shares)
    write_multiconformer(encoded, out / _MULTI, digits=3, provenance=record)
    verb.output("multiconformer", out / _MULTI)
    if keeper.levels:
        import numpy as np

        walked = np.concatenate([walk.clean[:1] for walk in keeper.levels])
        path = result.model.with_members(walked)
        write_structure(path, out / _TRAJECTORY, provenance=record)
        verb.output("trajectory", out / _TRAJECTORY)
    page = guide_page(result, subject=name, provenance=record.as_dict(), warnings=verb.warnings)
    write_page(page, out / _REPORT)
    verb.output("report", out / _REPORT)
    keeper.done()
