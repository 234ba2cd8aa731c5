"""``unstill index``: from images to an indexed, refined experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.index_start import first_experiment, starting_geometry
from unstill.cli.json_file import write_json
from unstill.cli.options import Debug, DMax, DMin, Json, Out, Seed, Workers, positive
from unstill.cli.out_folder import check_folder, make_folder
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.provenance import Provenance
    from unstill.reduction.indexing import IndexResult

_FEW = 0.75
_POOR = 2.0
_POOR_ANGLE, _POOR_FRAMES = 1.0, 2.0
_CELL_MOVED = 0.015


def register(app: typer.Typer) -> None:
    """Add ``unstill index`` to the command line."""
    app.command("index")(index)


def index(
    images: Annotated[
        list[str],
        typer.Argument(help="Images: a template with ###, a pattern, a master file, or files."),
    ],
    unit_cell: Annotated[
        str | None,
        typer.Option("--unit-cell", help="a,b,c,alpha,beta,gamma; searched for if left out."),
    ] = None,
    space_group: Annotated[
        str | None,
        typer.Option("--space-group", help="Else the lowest symmetry of the lattice found."),
    ] = None,
    expt: Annotated[
        Path | None,
        typer.Option("--expt", help="Geometry to start from, in place of image headers."),
    ] = None,
    beam_center: Annotated[
        str | None, typer.Option("--beam-center", help="fast,slow in pixels.")
    ] = None,
    distance: Annotated[
        float | None,
        typer.Option("--distance", callback=positive, help="Detector distance (mm)."),
    ] = None,
    wavelength: Annotated[
        float | None, typer.Option("--wavelength", callback=positive, help="Å.")
    ] = None,
    rotation_axis: Annotated[
        str | None,
        typer.Option("--rotation-axis", help="x,y,z. [default: 1,0,0 or -1,0,0, what fits]"),
    ] = None,
    scan_varying: Annotated[
        bool | None,
        typer.Option(
            "--scan-varying/--static",
            help="Let orientation and cell drift. [default: where the sweep is long enough]",
        ),
    ] = None,
    stills: Annotated[
        bool, typer.Option("--stills", help="Every image is a still of its own crystal.")
    ] = False,
    fix_cell: Annotated[
        bool, typer.Option("--fix-cell", help="Do not refine the unit cell.")
    ] = False,
    fix_detector: Annotated[
        bool, typer.Option("--fix-detector", help="Do not refine detector and beam.")
    ] = False,
    d_min: DMin = None,
    d_max: DMax = None,
    sigma_strong: Annotated[
        float,
        typer.Option("--sigma-strong", callback=positive, help="Of a strong pixel, above noise."),
    ] = 3.0,
    min_pixels: Annotated[
        int | None,
        typer.Option("--min-pixels", min=1, help="Of a spot. [default: 3, or 6 for a CCD]"),
    ] = None,
    max_cell: Annotated[
        float | None,
        typer.Option("--max-cell", callback=positive, help="Longest axis searched for (Å)."),
    ] = None,
    out: Out = None,
    workers: Workers = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find spots, index them, and refine detector, beam, orientation and cell.

    -o is a folder for indexed.expt, indexed.refl (both read by DIALS) and
    index.json, or the path of the .expt, beside which the others go. Without
    -o they go to the working folder. The share of indexed spots is of those
    seen entire: gaps, edges and the ends of the scan cut others, which are
    counted apart. Nothing here is random: the seed is only recorded.

    Example: unstill index 'lyso_####.cbf' --unit-cell 79,79,38,90,90,90 --space-group P43212
    """
    with Verb("index", as_json=as_json, debug=debug) as verb:
        from unstill.io.frames import open_frames
        from unstill.parallel import cpu_count
        from unstill.reduction.indexing import GeometryHints, IndexOptions, SpotOptions
        from unstill.reduction.indexing.geometry_model import Free
        from unstill.reduction.indexing.index_stills import index_stills

        # One still cannot tell where the detector stands better than a file that says so.
        free = not fix_detector and not (stills and expt is not None)
        _check_limits(d_min, d_max)
        folder, names = _outputs(out)
        check_folder(folder, list(names.values()))
        hints = GeometryHints(
            _numbers(beam_center, 2, "--beam-center"),  # type: ignore[arg-type]
            distance,
            wavelength,
            _numbers(rotation_axis, 3, "--rotation-axis"),  # type: ignore[arg-type]
        )
        options = IndexOptions(
            unit_cell=_numbers(unit_cell, 6, "--unit-cell"),  # type: ignore[arg-type]
            space_group=space_group,
            spots=SpotOptions(
                sigma_strong=sigma_strong, min_pixels=min_pixels, d_min=d_min, d_max=d_max
            ),
            scan_varying=scan_varying,
            free=Free(detector=free, distance=free, beam=free, cell=not fix_cell),
            try_reversed_axis=rotation_axis is None and expt is None,
            max_cell=max_cell,
        )
        record = verb.record(
            _parameters(locals()), inputs=[] if expt is None else [expt], seed=seed
        )
        given = None if expt is None else first_experiment(verb, expt)
        source = open_frames(
            images if len(images) > 1 else images[0],
            detector=None if given is None else given.detector,
        )
        start = starting_geometry(source, given, hints, stills=stills)
        n_workers = workers or cpu_count()
        if stills:
            done = index_stills(start, source, options=options, workers=n_workers)
            results = list(done.indexed.values())
            _tell_of_stills(verb, done.failed, len(results))
        else:
            from unstill.reduction.indexing import index_frames

            results = [index_frames(start, source, options=options, workers=n_workers)]
            _warn(verb, results[0])
            _warn_of_cell(verb, results[0], options.unit_cell)
        _answer(verb, results)
        _write(verb, folder, names, results, record)


def _outputs(out: Path | None) -> tuple[Path, dict[str, str]]:
    """Folder and names of the files: -o is a folder, or the path of the experiment."""
    if out is not None and out.suffix in (".expt", ".json"):
        return out.parent, {
            "expt": out.name,
            "refl": f"{out.stem}.refl",
            "index": f"{out.stem}_index.json",
        }
    return out or Path(), {"expt": "indexed.expt", "refl": "indexed.refl", "index": "index.json"}


def _numbers(text: str | None, n: int, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    from unstill.errors import InputError

    try:
        values = tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        values = ()
    if len(values) != n or not all(abs(value) < float("inf") for value in values):
        raise InputError(
            f"{option} takes {n} finite numbers", found=repr(text), fix="separate them with commas"
        )
    return values


def _check_limits(d_min: float | None, d_max: float | None) -> None:
    if d_min is not None and d_max is not None and d_min >= d_max:
        from unstill.errors import InputError

        raise InputError(
            "no spot is within the resolution limits",
            found=f"--d-min {d_min:g} and --d-max {d_max:g} Å",
            fix="give a --d-min that is smaller than --d-max",
        )


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    kept = (
        "images", "unit_cell", "space_group", "expt", "beam_center", "distance", "wavelength",
        "rotation_axis", "scan_varying", "stills", "fix_cell", "fix_detector", "d_min", "d_max",
        "sigma_strong", "min_pixels", "max_cell", "out",
    )  # fmt: skip
    return {name: given[name] for name in kept}


def _warn(verb: Verb, result: IndexResult) -> None:
    """Tell what a user should look at."""
    second = result.second
    if second is not None:
        verb.warn(
            f"two lattices: another orientation, {second.angle:.1f}° away, explains "
            f"{second.share:.0%} of the spots; their intensities may overlap with the first"
        )
    if result.share < _FEW:
        verb.warn(
            f"only {result.share:.0%} of the spots are indexed; look for a second crystal, ice, "
            "a wrong cell or a wrong geometry"
        )
    if max(result.rmsd[:2]) > _POOR:
        verb.warn(
            f"spots lie {max(result.rmsd[:2]):.1f} pixels from their places; the geometry or the "
            "cell may be wrong"
        )
    width = abs(result.experiment.scan.phi_width or 0.0) if result.experiment.scan else 0.0
    if result.rmsd[2] > max(_POOR_ANGLE, _POOR_FRAMES * width):
        verb.warn(
            f"spots cross {result.rmsd[2]:.1f}° from their angles; the wavelength, the angles of "
            "the scan or the rotation axis may be wrong"
        )
    if result.refined.undetermined:
        verb.warn(
            f"the data do not determine {', '.join(result.refined.undetermined)}: kept near the "
            "start"
        )
    if result.ice_rings:
        rings = ", ".join(f"{d:.2f}" for d in result.ice_rings)
        verb.warn(f"rings of ice at {rings} Å: spots there are not used for the search")


def _warn_of_cell(verb: Verb, result: IndexResult, given: tuple[float, ...] | None) -> None:
    if given is None:
        return
    found = result.experiment.crystal.unit_cell
    moved = max(abs(b / a - 1) for a, b in zip(given[:3], found[:3], strict=True))
    if moved > _CELL_MOVED:
        verb.warn(
            f"an axis of the cell is {moved:.1%} from the one that was given; the cell, the "
            "wavelength or the distance may be wrong"
        )


def _tell_of_stills(verb: Verb, failed: dict[int, str], n_indexed: int) -> None:
    verb.result["n_stills"] = {"indexed": n_indexed, "failed": len(failed)}
    for number, reason in list(failed.items())[:5]:
        verb.warn(f"still {number + 1} is left out: {reason}")
    if len(failed) > 5:
        verb.warn(f"{len(failed)} stills are left out; all are listed in the indexing file")
    verb.result["failed"] = {str(number + 1): reason for number, reason in failed.items()}


def _answer(verb: Verb, results: Sequence[IndexResult]) -> None:
    import numpy as np

    from unstill.reduction.indexing.starting_geometry import beam_center

    first = results[0]
    experiment = first.experiment
    judged = [one.indexed[one.judged] for one in results]
    squares = np.concatenate([one.residuals[one.indexed & one.judged] ** 2 for one in results])
    x, y, angle = (float(value) for value in np.sqrt(squares.mean(axis=0)))
    cells = np.array([one.experiment.crystal.unit_cell for one in results])
    second = first.second if len(results) == 1 else None
    verb.result |= {
        "n_spots": sum(len(one.spots) for one in results),
        "n_cut": sum(int(one.spots.cut.sum()) for one in results),
        "n_at_ends": sum(int((one.spots.at_end & ~one.spots.cut).sum()) for one in results),
        "n_on_axis": sum(int(one.on_axis.sum()) for one in results),
        "n_judged": sum(len(one) for one in judged),
        "n_indexed": sum(int(one.indexed.sum()) for one in results),
        "share": float(np.concatenate(judged).mean()),
        "rmsd_px": {"x": x, "y": y},
        "rmsd_phi": angle,
        "unit_cell": [float(value) for value in np.median(cells, axis=0)],
        "unit_cell_errors": first.refined.cell_errors.tolist() if len(results) == 1 else None,
        "space_group": experiment.crystal.space_group,
        "beam_center": list(beam_center(experiment)),
        "distance": experiment.detector.panels[0].distance,
        "rotation_axis": None
        if experiment.goniometer is None
        else list(experiment.goniometer.rotation_axis),
        "second_lattice": None
        if second is None
        else {"share": second.share, "angle": second.angle},
        "undetermined": list(first.refined.undetermined),
        "candidates": _candidates(first),
    }
    _say(verb)


def _candidates(result: IndexResult) -> list[dict[str, Any]]:
    return [
        {
            "lattice": one.lattice,
            "penalty": one.penalty,
            "unit_cell": list(one.unit_cell),
            "space_group": one.space_group,
        }
        for one in result.candidates
    ]


def _say(verb: Verb) -> None:
    found = verb.result
    cell = "  ".join(f"{value:.3f}" for value in found["unit_cell"])
    verb.say(
        f"spots          {found['n_spots']}; cut: {found['n_cut']} by gaps and edges, "
        f"{found['n_at_ends']} by ends of the scan; on the axis: {found['n_on_axis']}"
    )
    verb.say(f"indexed        {found['share']:.1%} of {found['n_judged']} that are judged")
    verb.say(f"unit cell      {cell}")
    verb.say(f"space group    {found['space_group']}")
    verb.say(
        f"rmsd           {found['rmsd_px']['x']:.3f}, {found['rmsd_px']['y']:.3f} px, "
        f"{found['rmsd_phi']:.3f}°"
    )
    x, y = found["beam_center"]
    verb.say(f"beam centre    {x:.2f}, {y:.2f} px")
    verb.say(f"distance       {found['distance']:.3f} mm")
    for one in found["candidates"]:
        numbers = " ".join(f"{value:.2f}" for value in one["unit_cell"])
        verb.say(f"  {one['lattice']}  {one['penalty']:.2f}°  {numbers}")


def _write(
    verb: Verb,
    folder: Path,
    names: dict[str, str],
    results: Sequence[IndexResult],
    record: Provenance,
) -> None:
    from unstill.io.dials_expt import write_expt
    from unstill.io.dials_refl import write_refl
    from unstill.reduction.indexing.reflections import centred_frames, reflections_of

    make_folder(folder)
    written = [centred_frames(one.experiment) for one in results]
    write_expt(folder / names["expt"], written, provenance=record)
    verb.output("expt", folder / names["expt"])
    write_refl(folder / names["refl"], reflections_of(results))
    verb.output("refl", folder / names["refl"])
    content = verb.result | {
        "history": [list(one.history) for one in results],
        "geometry": [
            {name: [value, one.refined.errors[name]] for name, value in one.refined.values.items()}
            for one in results
        ],
        "provenance": record.as_dict(),
    }
    write_json(folder / names["index"], content)
    verb.output("index", folder / names["index"])
