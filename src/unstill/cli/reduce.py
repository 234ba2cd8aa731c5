"""``unstill reduce``: diffraction images to a diffuse map, step by step and resumable."""

from __future__ import annotations

import shlex
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.options import Debug, DMax, DMin, Json, Seed, SpaceGroup, Workers
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.reduction.pipeline.outcome import Outcome
    from unstill.reduction.pipeline.parameters import ReduceParameters
    from unstill.reduction.pipeline.run import Run

TITLES = {
    "check": "look for faults of the frames",
    "background": "measure the background",
    "peaks": "fit the shape of the Bragg peaks",
    "integrate": "sum pixels into voxels",
    "crystals": "choose crystals that belong together",
    "scale": "scale observations",
    "merge": "merge observations",
    "statistics": "judge the map",
    "map": "write the map",
    "fine": "merge the fine map",
    "report": "write the report",
}


class Scan(StrEnum):
    """Whom to believe about the scan."""

    header = "header"
    expt = "expt"


class StepName(StrEnum):
    """Steps, in their order."""

    check = "check"
    background = "background"
    peaks = "peaks"
    integrate = "integrate"
    crystals = "crystals"
    scale = "scale"
    merge = "merge"
    statistics = "statistics"
    map = "map"
    fine = "fine"
    report = "report"


def register(app: typer.Typer) -> None:
    """Add ``unstill reduce`` to the command line."""
    app.command("reduce")(reduce)


def reduce(
    experiments: Annotated[
        list[Path],
        typer.Argument(help="Geometry: DIALS .expt, XPARM.XDS, XDS.INP, or unstill's own."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the map, the report and all steps.")
    ] = Path("reduced"),
    background: Annotated[
        list[Path] | None,
        typer.Option(
            "--background",
            help="Geometry of a sweep without crystal; one for all, or one a sweep (repeat).",
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images",
            help="Images in place of those that the geometry names: a pattern in quotes, a "
            "template with ###, or a master file (repeat).",
        ),
    ] = None,
    scan: Annotated[
        Scan | None,
        typer.Option(
            "--scan", help="Whom to believe where image headers contradict it. [default: header]"
        ),
    ] = None,
    space_group: SpaceGroup = None,
    divisions: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            "--divisions",
            min=1,
            metavar="H K L",
            help="Voxels a reciprocal-lattice vector. [default: 4 4 4]",
        ),
    ] = None,
    fine: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            "--fine", min=1, metavar="H K L", help="A second, finer map from the same images."
        ),
    ] = None,
    d_min: DMin = None,
    d_max: DMax = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            help="Which of a,b,c,d to fit: absorption, scale, offset, detector; or auto, none. "
            "[default: b]",
        ),
    ] = None,
    symmetry: Annotated[
        bool | None,
        typer.Option("--symmetry/--no-symmetry", help="Average over the Laue group, or keep P 1."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Parameters, as in the reduce.toml of an earlier run."),
    ] = None,
    until: Annotated[
        StepName | None, typer.Option("--until", help="Stop after this step.")
    ] = None,
    only: Annotated[
        StepName | None, typer.Option("--only", help="Do this step alone; earlier ones are there.")
    ] = None,
    show_plan: Annotated[
        bool, typer.Option("--plan", help="List the steps and what they cost; do nothing.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Integrate frames as they are written.")
    ] = False,
    idle: Annotated[
        float,
        typer.Option("--idle", min=0, help="Seconds without a new frame that end --follow."),
    ] = 300.0,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Reduce diffraction images to a map of diffuse intensity.

    Every step is kept in the output folder and found again: a run that was
    interrupted goes on where it was, and a changed parameter redoes only what
    depends on it. Several runs may share one folder. reduce.toml there records
    every parameter; give it back with --config.

    Example: unstill reduce integrated.expt --background background.expt -o reduced
    """
    given = {name: value for name, value in locals().items() if name not in ("as_json", "debug")}
    with Verb("reduce", as_json=as_json, debug=debug) as verb:
        clock = time.perf_counter(), time.process_time()
        _check_usage(given)
        from unstill.cli.out_folder import check_folder, make_folder
        from unstill.cli.progress import progress_bars
        from unstill.parallel import cpu_count
        from unstill.reduction.pipeline.pipeline import reduce_images
        from unstill.reduction.pipeline.run import open_run, plan

        parameters = _parameters(given)
        check_folder(out, ["reduce.toml", "summary.json", "report.html", "map.nxs"])
        inputs = [*experiments, *(background or []), *([config] if config else [])]
        record = verb.record(
            {
                "experiments": experiments,
                "background": background,
                **parameters.as_dict(),
                "command_line": _command_line(experiments, background or [], out),
            },
            inputs=inputs,
            seed=parameters.seed,
        )
        with progress_bars(TITLES) as progress:
            run = open_run(
                experiments,
                out,
                parameters,
                backgrounds=background or (),
                workers=workers or cpu_count(),
                progress=progress,
                provenance=record.as_dict(),
                growing=follow,
            )
            if show_plan:
                _tell_plan(verb, plan(run))
                return
            make_folder(out)
            _write_parameters(verb, run, given)
            if follow:
                from unstill.reduction.pipeline.follow import follow_run

                run = follow_run(run, idle=idle, tell=lambda text: typer.echo(text, err=True))
            found = reduce_images(run, until=until and until.value, only=only and only.value)
        _report(verb, run, found, until, only)
        _finish(verb, run, found, clock)


_IMAGES = (".cbf", ".img", ".h5", ".nxs", ".tif", ".tiff", ".gz")


def _command_line(experiments: list[Path], background: list[Path], out: Path) -> str:
    """Return what to type to do it again: reduce.toml holds everything else."""
    empty = [f"--background {shlex.quote(str(path))}" for path in background]
    files = [shlex.quote(str(path)) for path in experiments]
    folder = shlex.quote(str(out))
    config = shlex.quote(str(out / "reduce.toml"))
    return " ".join(["unstill reduce", *files, *empty, f"--config {config} -o {folder}"])


def _check_usage(given: dict[str, Any]) -> None:
    if given["until"] is not None and given["only"] is not None:
        raise typer.BadParameter("give --until or --only, not both")
    strays = [path for path in given["experiments"] if path.suffix.lower() in _IMAGES]
    if strays and given["images"]:
        raise typer.BadParameter(
            f"{strays[0]} is an image: put the pattern of --images in quotes, or repeat --images"
        )
    if given["follow"] and given["only"] is not None:
        raise typer.BadParameter("--follow goes with --until, not with --only")


def _parameters(given: dict[str, Any]) -> ReduceParameters:
    """Join the parameters of a file with those that were given, which count more."""
    from unstill.reduction.pipeline.parameters import ReduceParameters
    from unstill.reduction.pipeline.parameters_toml import read_parameters

    base = ReduceParameters() if given["config"] is None else read_parameters(given["config"])
    wanted: dict[str, dict[str, Any]] = {
        "frames": {
            "images": given["images"] or None,
            "scan": given["scan"] and given["scan"].value,
            "space_group": given["space_group"],
            "d_min": given["d_min"],
            "d_max": given["d_max"],
        },
        "integrate": {"divisions": given["divisions"], "fine": given["fine"]},
        "scale": _scale(given["scale"]),
        "merge": {"symmetry": given["symmetry"]},
    }
    changes: dict[str, Any] = {
        group: {name: value for name, value in values.items() if value is not None}
        for group, values in wanted.items()
    }
    if given["seed"]:
        changes["seed"] = given["seed"]
    return base.updated(changes)


_CURVES = {"a": "absorption", "b": "scale", "c": "offset", "d": "detector"}


def _scale(text: str | None) -> dict[str, Any]:
    if text is None or text == "auto":
        return {} if text is None else dict.fromkeys(_CURVES.values(), "auto") | {"scale": "on"}
    chosen = [] if text == "none" else [part.strip() for part in text.split(",")]
    if unknown := [part for part in chosen if part not in _CURVES]:
        raise typer.BadParameter(f"--scale takes a, b, c, d, auto or none; not {unknown[0]!r}")
    return {name: "on" if letter in chosen else "off" for letter, name in _CURVES.items()}


def _write_parameters(verb: Verb, run: Run, given: dict[str, Any]) -> None:
    from unstill.reduction.pipeline.parameters_toml import write_parameters

    path = run.folder / "reduce.toml"
    names = " ".join(str(entry) for entry in given["experiments"])
    empty = " ".join(str(entry) for entry in given["background"] or [])
    heading = ["Parameters of unstill reduce; give them back with --config.", f"data: {names}"]
    write_parameters(
        run.parameters, path, heading=[*heading, *([f"background: {empty}"] if empty else [])]
    )
    verb.output("parameters", path)


def _tell_plan(verb: Verb, steps: list[Any]) -> None:
    verb.result = {
        "plan": [step.as_dict() for step in steps],
        "n_frames": sum(step.n_frames for step in steps),
        "n_pixels": sum(step.n_pixels for step in steps),
    }
    for step in steps:
        cost = f"{step.n_frames} frames, {step.n_pixels / 1e6:.0f} Mpx" if step.n_frames else ""
        verb.say(f"{step.name:<11}{step.state:<7}{cost:<26}{step.why}".rstrip())


def _report(
    verb: Verb, run: Run, found: Outcome, until: StepName | None, only: StepName | None
) -> None:
    """Write the page, unless the run was to end before it."""
    if until not in (None, StepName.report) or only not in (None, StepName.report):
        return
    from unstill.report.page import write_page
    from unstill.workflows.reduce_report import reduce_page

    path = run.folder / "report.html"
    write_page(reduce_page(found, run.provenance, verb.warnings), path)
    verb.output("report", path)


def _finish(verb: Verb, run: Run, found: Outcome, clock: tuple[float, float]) -> None:
    import resource
    import sys

    from unstill.cli.json_file import write_json

    # Kibibytes, but bytes on a Mac.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    used = {
        "wall_s": round(time.perf_counter() - clock[0], 3),
        "cpu_s": round(time.process_time() - clock[1], 3),
        "peak_rss_mb": round(peak, 1),
    }
    verb.result = found.as_dict() | used
    for name, path in found.outputs.items():
        verb.output(name, path)
    summary = run.folder / "summary.json"
    write_json(
        summary,
        verb.result
        | {"outputs": verb.outputs, "warnings": verb.warnings, "provenance": run.provenance},
    )
    verb.output("summary", summary)
    for line in found.lines():
        verb.say(line)
