"""``unstill hierarchy clash detect|apply``: what clashes ask for, and doing it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.hierarchy_files import (
    InPlace,
    ModelFile,
    OutModel,
    changes,
    chosen_output,
    counts,
    read_stated,
    write_model,
)
from unstill.cli.json_file import write_json
from unstill.cli.options import Debug, Json, Out
from unstill.cli.outputs import check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles.hierarchy import ClassedClash

_HEADINGS = {
    "actionable": "that copies may have or avoid",
    "same-state": "inside a state: coordinates must change",
    "ancestor": "with an ancestor, wherever the lower state is: coordinates must change",
    "benign": "kept apart already",
}

clashes = typer.Typer(help="Find clashes of states, and act on them.", no_args_is_help=True)


def register(group: typer.Typer) -> None:
    """Add ``clash`` to the commands of ``unstill hierarchy``."""
    group.add_typer(clashes, name="clash")


@clashes.command("detect")
def detect(
    file: ModelFile,
    overlap: Annotated[
        float, typer.Option("--overlap", min=0, help="Overlap of radii that is a clash (Å).")
    ] = 0.6,
    out: Out = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find states that clash and class them; -o writes a report that `apply` reads.

    In the report, set "apply" to true or false, and "action" to "not" or "merge".

    Example: unstill hierarchy clash detect model.cif -o clashes.json
    """
    with Verb("hierarchy clash detect", as_json=as_json, debug=debug) as verb:
        from unstill.ensembles.hierarchy import detect_clashes

        if out is not None:
            check_outputs([out], [file])
        record = verb.record({"file": file, "overlap": overlap}, inputs=[file])
        found = detect_clashes(read_stated(verb, file), overlap=overlap)
        verb.result = {
            "clashes": [clash.as_dict() for clash in found],
            "n": dict(Counter(clash.kind for clash in found)),
        }
        for kind, heading in _HEADINGS.items():
            _say_kind(verb, heading, [clash for clash in found if clash.kind == kind])
        verb.say(f"{len(found)} pairs of states clash")
        if out is not None:
            write_json(out, verb.result | {"provenance": record.as_dict()})
            verb.output("report", out)


@clashes.command("apply")
def apply(
    file: ModelFile,
    report: Annotated[
        Path, typer.Argument(metavar="REPORT", help="The report of `detect`, edited or not.")
    ],
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Merge states or add rules as a report of `detect` says.

    Example: unstill hierarchy clash apply model.cif clashes.json -o new.cif
    """
    with Verb("hierarchy clash apply", as_json=as_json, debug=debug) as verb:
        from unstill.ensembles.hierarchy import apply_clashes, clashes_from_dicts

        target = chosen_output(file, out, in_place=in_place)
        record = verb.record(
            {"file": file, "report": report, "out": out, "in_place": in_place},
            inputs=[file, report],
        )
        before = read_stated(verb, file)
        after = apply_clashes(before, clashes_from_dicts(_entries(report)))
        write_model(verb, after, target, record)
        verb.result = counts(after)
        verb.say(changes(before, after))


def _entries(path: Path) -> Any:
    import json

    from unstill.errors import FormatError

    try:
        return json.loads(path.read_text(encoding="utf-8"))["clashes"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            "the file is no report of clashes",
            found=f"{path.name}: {error}",
            fix="take the file that `unstill hierarchy clash detect -o` writes",
        ) from error


def _say_kind(verb: Verb, heading: str, clashes: list[ClassedClash]) -> None:
    if not clashes:
        return
    verb.say(f"{len(clashes)} {heading}")
    for clash in clashes:
        # What a rule keeps apart already needs no reader.
        if clash.kind != "benign":
            verb.say(_line(clash))
    verb.say()


def _line(clash: ClassedClash) -> str:
    said = {
        "merge": "→ merge " + ", ".join("+".join(pair) for pair in clash.merge),
        "not": f"→ {clash.state_a} NOT {clash.state_b}",
        "none": "",
    }[clash.action]
    if clash.kind == "actionable" and clash.action == "none":
        said = f"not avoidable: in {clash.unavoidable:.2f} of all copies at least"
    return f"  {clash.atom_a} – {clash.atom_b}  {clash.distance:.2f} Å  {said}".rstrip()
