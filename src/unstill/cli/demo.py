"""``unstill demo``: the main job on named data, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unstill.cli.json_file import write_json
from unstill.cli.options import Debug, Json, Seed, Workers
from unstill.cli.out_folder import check_folder, make_folder
from unstill.cli.progress import progress_bars
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.workflows.demo import DemoResult

_FILES = ("report.html", "results.json", "fit.svg", "states.cif")
_TITLES = {
    "data": "read map and coordinates",
    "indexing": "choose the indexing",
    "fit": "fit models of motion",
    "ensemble": "stream a supercell ensemble",
    "difference": "difference map",
    "weighting": "weigh frames of two states",
    "encoding": "write them as one model, and back",
    "guidance": "guide a model into a density of two states",
    "reduction": "simulate images and reduce them",
}


def register(app: typer.Typer) -> None:
    """Add ``unstill demo`` to the command line."""
    app.command("demo")(demo)


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="Folder for the report, its numbers, a picture and a model."
        ),
    ] = Path("unstill-demo"),
    dataset: Annotated[
        str, typer.Option(help="bpti-simulated (embedded) or snase (measured).")
    ] = "bpti-simulated",
    sections: Annotated[
        str, typer.Option(help="Parts to run, separated by commas.")
    ] = "indexing,fit,ensemble,difference,weighting,encoding,guidance,reduction",
    frames: Annotated[
        int | None, typer.Option(min=32, help="Frames of the ensemble. [default: by data set]")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Explain a diffuse map by models of motion: the main job.

    Chooses the indexing, fits three models with intervals, streams a supercell
    ensemble towards its ceiling, draws a difference map, weighs a simulated
    ensemble of two states, makes one model with a hierarchy of it and an ensemble
    again, finds side chains in two places in a density, reduces simulated images,
    and sets a null control beside every agreement. Takes a minute or two on two
    processors.

    Example: unstill demo --dataset snase -o snase-report
    """
    chosen = _sections(sections)
    with Verb("demo", as_json=as_json, debug=debug) as verb:
        from unstill.datasets import fetch
        from unstill.io import write_multiconformer
        from unstill.io.atomic import atomic_path
        from unstill.parallel import cpu_count
        from unstill.report.page import write_page
        from unstill.workflows.demo import run_demo
        from unstill.workflows.demo_json import demo_dict
        from unstill.workflows.demo_report import demo_page, demo_picture

        check_folder(out, _FILES)
        page_path, json_path, picture_path, model_path = (out / name for name in _FILES)
        inputs = list(fetch(dataset).paths.values())
        parameters = {
            "dataset": dataset,
            "sections": chosen,
            "frames": frames,
            "out": out,
            "command_line": _command_line(dataset, chosen, frames, seed, out),
        }
        provenance = verb.record(parameters, inputs=inputs, seed=seed).as_dict()
        with progress_bars(_TITLES) as progress:
            result = run_demo(
                dataset,
                sections=chosen,
                seed=seed,
                workers=workers or cpu_count(),
                n_frames=frames,
                progress=progress,
            )
        verb.result = demo_dict(result)
        make_folder(out)
        write_page(demo_page(result, provenance, verb.warnings), page_path)
        write_json(json_path, {**verb.result, "provenance": provenance})
        verb.output("report", page_path)
        verb.output("results", json_path)
        if "fit" in chosen:
            with atomic_path(picture_path) as temporary:
                temporary.write_text(demo_picture(result), encoding="utf-8")
            verb.output("picture", picture_path)
        if result.encoding is not None:
            write_multiconformer(result.encoding.model, model_path, provenance=provenance)
            verb.output("model", model_path)
        _tell(verb, result)


def _sections(text: str) -> list[str]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in _TITLES or name == "data"]
    if unknown:
        known = ", ".join(name for name in _TITLES if name != "data")
        raise typer.BadParameter(f"unknown section {', '.join(unknown)}; choose from {known}")
    return chosen


def _command_line(
    dataset: str, sections: list[str], frames: int | None, seed: int, out: Path
) -> str:
    parts = [
        "unstill demo",
        f"--dataset {dataset}",
        f"--sections {','.join(sections)}",
        f"--seed {seed}",
        *([f"--frames {frames}"] if frames else []),
        f"-o {out}",
    ]
    return " ".join(parts)


def _tell(verb: Verb, result: DemoResult) -> None:
    from unstill.report.numbers import interval, number, with_error

    kind = "simulated, truth known" if result.dataset.simulated else "measured"
    verb.say(f"{result.dataset.title} ({kind})")
    for trial in result.indexing.trials:
        note = "  (wrong on purpose)" if trial.control else ""
        verb.say(
            f"  indexing {trial.operator:8} CC aniso {number(trial.cc_aniso)}"
            f"  total {number(trial.cc_total)}{note}"
        )
    for name, found in result.fits.items():
        fit = found.fit
        values = ", ".join(
            f"{key} {with_error(fit.parameters[key], fit.stderr.get(key))}"
            for key in ("sigma", "gamma", "libration")
            if key in fit.parameters
        )
        verb.say(
            f"  {name:12} CC aniso {number(fit.cc_aniso)} {interval(*found.interval)}"
            f"  null {with_error(found.null_mean, found.chance)}  {values}"
        )
    if result.dataset.truth is not None:
        truth = ", ".join(f"{key} {value:g}" for key, value in result.dataset.truth.items())
        verb.say(f"  truth        {truth}")
    if result.ensemble is not None:
        last = result.ensemble.points[-1]
        verb.say(
            f"  ensemble     CC aniso {number(last.cc_aniso)} with {last.n_frames} frames"
            f"  (expected {number(last.predicted)}, null {number(last.null)})"
        )
    if result.weighting is not None:
        weighed = result.weighting
        verb.say(
            f"  weighting    state A {weighed.share_of_a(weighed.found.prior):.2f} → "
            f"{weighed.share_of_a(weighed.found.weights):.3f} (truth {weighed.share:g})  "
            f"free CC aniso {number(weighed.found.uniform_free.aniso)} → "
            f"{number(weighed.found.cc_free.aniso)}  {weighed.found.verdict}"
        )
    if result.guidance is not None:
        guided = result.guidance
        near = sum(max(one.rmsd_a, one.rmsd_b) <= 1 for one in guided.places)
        after, before = guided.result.after, guided.result.before
        verb.say(
            f"  guidance     {near} of {len(guided.places)} side chains in both places  "
            f"{guided.n_false} false  held-out CC {before.held:.4f} → {after.held:.4f}"
        )
    if result.encoding is not None:
        encoded = result.encoding
        verb.say(
            f"  encoding     {encoded.n_frames} frames → {len(encoded.model.states)} states  "
            f"occupancy of A {encoded.occupancy:.3f} (weights {encoded.share:.3f})  back from "
            f"the file {encoded.roads[0].share:.3f}, made anew {encoded.roads[1].share:.3f}"
        )
    if result.reduction is not None:
        reduced = result.reduction
        verb.say(
            f"  reduction    CC aniso {number(reduced.comparison.cc_aniso)} with the truth of "
            f"{reduced.outcome.n_frames} simulated images  sums {reduced.ratio:.4f}  "
            f"scale error {100 * reduced.b_error:.2f} %"
        )
    verb.say(f"report: {verb.outputs['report']}")
