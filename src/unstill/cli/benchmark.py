"""``unstill benchmark``: known answers, and how near the methods come to them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from unstill.cli.json_file import write_json
from unstill.cli.options import Debug, Json, Seed, positive
from unstill.cli.progress import progress_bar
from unstill.cli.verb import Verb

verbs = typer.Typer(help="Measure methods against known answers.", no_args_is_help=True)


class Kind(StrEnum):
    """Sets of the benchmark."""

    two_state = "two-state"


def register(app: typer.Typer) -> None:
    """Add ``unstill benchmark`` to the command line."""
    app.add_typer(verbs, name="benchmark")


def _strengths(text: str) -> str:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or any(not 0 <= value < float("inf") for value in values):
        raise typer.BadParameter("give numbers of 0 or more, such as 0.25,1,4")
    return text


@verbs.command("guidance")
def guidance(
    models: Annotated[list[Path], typer.Argument(help="Models with alternate locations.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for runs and the report.")],
    kind: Annotated[
        Kind, typer.Option("--set", help="Maps of two states, half and half.")
    ] = Kind.two_state,
    resolution: Annotated[
        float, typer.Option("--resolution", callback=positive, help="Of the maps (Å).")
    ] = 1.8,
    occupancy: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="Of the first state.")
    ] = 0.5,
    map_noise: Annotated[
        float,
        typer.Option(
            "--map-noise", min=0.0, help="Of the maps, in standard deviations of the density."
        ),
    ] = 0.0,
    noise: Annotated[
        float, typer.Option("--noise", callback=positive, help="Noise to start from (Å).")
    ] = 1.5,
    strengths: Annotated[
        str, typer.Option(callback=_strengths, help="Strengths to sweep, as 0.25,1,4.")
    ] = "1",
    ensemble: Annotated[int, typer.Option("--ensemble", min=2, max=100)] = 8,
    levels: Annotated[int, typer.Option(min=3, max=1000, help="Noise levels.")] = 12,
    loops: Annotated[
        bool, typer.Option("--loops/--no-loops", help="Let loops leap along residual density.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. [default: one a core]")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, instead of processes here.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Guide one state of known models into maps of two, and judge what is found.

    Segments are found by themselves: runs of residues whose two states differ,
    cut to the three that differ most. Finished runs are kept in the folder and
    not done again.

    Example: unstill benchmark guidance model.cif --strengths 0.25,1,4 -o benchmark
    """
    given = {name: value for name, value in locals().items() if name not in ("as_json", "debug")}
    with Verb("benchmark guidance", as_json=as_json, debug=debug) as verb:
        from unstill.cli.out_folder import check_folder, make_folder
        from unstill.guidance.run import RunOptions
        from unstill.parallel import cpu_count
        from unstill.report.page import write_page
        from unstill.workflows.guidance_benchmark import PUBLISHED, TwoStateTask, sweep
        from unstill.workflows.guidance_benchmark_page import benchmark_page

        del kind
        check_folder(out, ["report.html", "benchmark.json"])
        record = verb.record(given, inputs=models, seed=seed)
        task = TwoStateTask(
            d_min=resolution,
            occupancy=occupancy,
            noise=map_noise,
            run=RunOptions(
                n_members=ensemble,
                n_levels=levels,
                sigma_max=noise,
                loops=loops,
                b_factors=False,
                seed=seed,
            ),
        )
        digests = {str(i["path"]): i["sha256"] for i in record.as_dict()["inputs"]}
        work = [
            (path, one, digests.get(str(path), ""))
            for path in models
            for one in sweep(task, [float(part) for part in strengths.split(",")])
        ]
        make_folder(out)
        entries = _run(work, out, workers or cpu_count(), dask)
        missing = [one for one in PUBLISHED if one not in {_id(path).upper() for path in models}]
        import numpy as np

        verb.result = {
            "entries": entries,
            "rscc_median": float(np.median([entry["rscc_median"] for entry in entries])),
            "both_states_1A": float(np.mean([entry["both_states_1A"] for entry in entries])),
            "not_at_hand": missing,
        }
        write_json(out / "benchmark.json", verb.result | {"provenance": record.as_dict()})
        verb.output("results", out / "benchmark.json")
        write_page(
            benchmark_page(entries, missing=missing, provenance=record.as_dict()),
            out / "report.html",
        )
        verb.output("report", out / "report.html")
        for entry in entries:
            both = 100 * entry["both_states_1A"]
            verb.say(
                f"{entry['id']}  strength {entry['strength']:g}: "
                f"{len(entry['segments'])} segments, RSCC {entry['rscc_median']:.3f}, "
                f"both states within 1 Å in {both:.0f} %, bonds {entry['bond_rmsd']:.4f} Å, "
                f"{entry['cpu_s']:.0f} CPU s"
            )
        verb.say(f"{len(missing)} of the 40 published entries are not at hand")
        verb.say(str(out / "report.html"))


def _id(path: Path) -> str:
    """Entry of a file: the four letters of an entry of the archive, or its name.

    Examples
    --------
    >>> _id(Path("1vme_final.cif")), _id(Path("mine.cif"))
    ('1vme', 'mine')
    """
    stem = path.name.split(".")[0]
    head = stem[:4]
    archived = len(head) == 4 and head[0].isdigit() and head.isalnum()
    return head.lower() if archived and (len(stem) == 4 or not stem[4].isalnum()) else stem


def _run(
    work: list[tuple[Path, Any, str]], out: Path, workers: int, dask: str | None
) -> list[dict[str, Any]]:
    """Entries in the order of the work; one process a core, done ones are read."""
    found: dict[int, dict[str, Any]] = {}
    from unstill.parallel import ordered_map

    files = [
        out / f"{number:03d}-{_id(path)}-{task.run.strength:g}.json"
        for number, (path, task, _) in enumerate(work)
    ]
    for number, ((_, task, digest), file) in enumerate(zip(work, files, strict=True)):
        known = _read(file)
        if known and known["task"] == _plain(task.as_dict()) and known["sha256"] == digest:
            found[number] = known["entry"]
    left = [number for number in range(len(work)) if number not in found]
    with progress_bar("guiding") as progress:
        progress(len(found), len(work))

        def keep(number: int, entry: dict[str, Any]) -> None:
            _, task, digest = work[number]
            content = {"task": task.as_dict(), "sha256": digest, "entry": entry}
            write_json(files[number], content)
            found[number] = _plain(entry)
            progress(len(found), len(work))

        if left:
            items = [work[number][:2] for number in left]
            size = min(workers, len(items))
            with closing(
                ordered_map(_task, items, workers=size, dask=dask, prefetch=1)
            ) as entries:
                for number, entry in zip(left, entries, strict=True):
                    keep(number, entry)
    return [found[number] for number in range(len(work))]


def _task() -> Callable[[tuple[Path, Any]], dict[str, Any]]:
    return _one


def _one(item: tuple[Path, Any]) -> dict[str, Any]:
    from unstill.io.structure_files import read_structure
    from unstill.workflows.guidance_benchmark import run_two_state

    path, task = item
    return {"id": _id(path)} | run_two_state(read_structure(path), task)


def _read(file: Path) -> dict[str, Any] | None:
    import json

    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and {"task", "sha256", "entry"} <= set(known) else None


def _plain(value: Any) -> Any:
    import json

    from unstill.provenance.record import plain

    return json.loads(json.dumps(plain(value)))
