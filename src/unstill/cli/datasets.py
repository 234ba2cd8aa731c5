"""``unstill datasets``: what data there are, and how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.json_file import write_json
from unstill.cli.options import Debug, Json, Out
from unstill.cli.out_folder import check_folder, make_folder
from unstill.cli.outputs import check_map_format, check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.datasets import Dataset

verbs = typer.Typer(help="List, fetch and regenerate named data sets.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add ``unstill datasets`` to the command line."""
    app.add_typer(verbs, name="datasets")


@verbs.command("list")
def list_(out: Out = None, as_json: Json = False, debug: Debug = False) -> None:
    """List the data sets; -o writes the list as JSON.

    Example: unstill datasets list
    """
    with Verb("datasets list", as_json=as_json, debug=debug) as verb:
        from unstill.datasets import list_datasets

        record = verb.record({"out": out})
        if out is not None:
            check_outputs([out])
        found = list_datasets()
        verb.result = {"datasets": [_entry(dataset) for dataset in found]}
        for dataset in found:
            where = "comes with unstill" if dataset.embedded else "fetched on demand"
            verb.say(f"{dataset.name}  ({dataset.kind}, {dataset.bytes / 1e6:.1f} MB, {where})")
            verb.say(f"    {dataset.description}")
            verb.say(f"    licence: {dataset.licence}")
            verb.say(f"    cite: {dataset.citation} https://doi.org/{dataset.doi}")
        if out is not None:
            write_json(out, verb.result | {"provenance": record.as_dict()})
            verb.output("list", out)


@verbs.command("fetch")
def fetch_(
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    out: Out = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fetch a data set and verify it.

    -o copies the files into a folder. A folder named by the environment
    variable UNSTILL_DATA is looked in before the network.

    Example: unstill datasets fetch snase
    """
    with Verb("datasets fetch", as_json=as_json, debug=debug) as verb:
        from unstill.datasets import fetch, find_dataset

        verb.record({"name": name, "out": out})
        if out is not None:
            check_folder(out, [Path(file.path).name for file in find_dataset(name).files])
        found = fetch(name)
        paths = dict(found.paths) if out is None else _copied(found.paths, out)
        verb.result = {"dataset": _entry(found.dataset), "origins": dict(found.origins)}
        for role, path in paths.items():
            verb.output(role, path)
            verb.say(f"{role}: {path}  ({found.origins[role]}, sha256 verified)")
        verb.say(f"licence: {found.dataset.licence}")
        verb.say(f"cite: {found.dataset.citation} https://doi.org/{found.dataset.doi}")


@verbs.command("regenerate")
def regenerate_(out: Out = None, as_json: Json = False, debug: Debug = False) -> None:
    """Make the embedded map again and compare.

    Example: unstill datasets regenerate -o bpti_simulated.nxs
    """
    with Verb("datasets regenerate", as_json=as_json, debug=debug) as verb:
        from unstill.workflows.simulated_data import EMBEDDED, differing_voxels, regenerate

        verb.record({"dataset": EMBEDDED, "out": out})
        if out is not None:
            check_map_format(out)
            check_outputs([out])
        made = regenerate(out)
        differing = differing_voxels(made)
        verb.result = {"n_measured": made.n_measured, "differing_voxels": differing}
        if out is not None:
            verb.output("map", out)
        verb.say(f"{made.n_measured} voxels, {differing} differ from the embedded map")
        if differing:
            verb.fail()


def _entry(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "title": dataset.title,
        "kind": dataset.kind,
        "description": dataset.description,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "doi": dataset.doi,
        "source": dataset.source,
        "truth": dataset.truth,
        "bytes": dataset.bytes,
        "embedded": dataset.embedded,
        "files": [
            {
                "role": file.role,
                "path": file.path,
                "bytes": file.bytes,
                "sha256": file.sha256,
                "source": file.source,
            }
            for file in dataset.files
        ],
    }


def _copied(paths: Any, folder: Path) -> dict[str, Path]:
    import shutil

    from unstill.io.atomic import atomic_path

    make_folder(folder)
    copies = {}
    for role, path in paths.items():
        copies[role] = folder / path.name
        with atomic_path(copies[role]) as temporary:
            shutil.copyfile(path, temporary)
    return copies
