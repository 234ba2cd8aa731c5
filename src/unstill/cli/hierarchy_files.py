"""What all commands of ``unstill hierarchy`` do with files: read, edit, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.outputs import check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles import Multiconformer

ModelFile = Annotated[Path, typer.Argument(metavar="IN", help="A model: mmCIF, BinaryCIF, PDB.")]
OutModel = Annotated[
    Path | None, typer.Option("-o", "--out", help="Where to write the model (.cif, .pdb).")
]
InPlace = Annotated[
    bool, typer.Option("--in-place", help="Replace the input instead of writing to -o.")
]

Edit = Callable[["Multiconformer"], "Multiconformer"]


def read_stated(verb: Verb, path: Path) -> Multiconformer:
    """Read a model; where it states no hierarchy, one is inferred and the user is told."""
    from unstill.ensembles.hierarchy import infer_hierarchy
    from unstill.io.conformers import read_multiconformer

    model = read_multiconformer(path)
    if model.stated:
        return model
    verb.warn(f"{path.name} states no hierarchy; it was inferred from the altlocs")
    return infer_hierarchy(model)


def chosen_output(path: Path, out: Path | None, *, in_place: bool) -> Path:
    """Path to write to; exactly one of -o and --in-place must say so.

    Raises
    ------
    InputError
        If none or both do.
    """
    from unstill.errors import InputError

    if (out is None) != in_place:
        raise InputError(
            "where to write is not clear",
            found="both -o and --in-place" if in_place else "neither -o nor --in-place",
            fix="give -o FILE, or --in-place to replace the input",
        )
    if out is None:
        return path
    check_outputs([out], [path])
    return out


def edit_file(
    name: str,
    path: Path,
    out: Path | None,
    edit: Edit,
    parameters: Mapping[str, Any],
    *,
    in_place: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Run one edit on a file, as the verb ``hierarchy NAME``."""
    with Verb(f"hierarchy {name}", as_json=as_json, debug=debug) as verb:
        target = chosen_output(path, out, in_place=in_place)
        record = verb.record(
            {"file": path, "out": out, "in_place": in_place, **parameters}, inputs=[path]
        )
        before = read_stated(verb, path)
        after = edit(before)
        write_model(verb, after, target, record)
        verb.result = counts(after)
        verb.say(changes(before, after))


def write_model(verb: Verb, model: Multiconformer, path: Path, record: Any) -> None:
    """Write a model with the provenance of this run, and name it as an output."""
    from unstill.io.conformers import write_multiconformer

    write_multiconformer(model, path, provenance=record)
    verb.output("model", path)


def counts(model: Multiconformer) -> dict[str, Any]:
    """Sizes of a model for ``--json``."""
    return {
        "n_states": len(model.states),
        "n_rules": len(model.rules),
        "n_members": 0 if model.members is None else model.members.n_members,
        "n_rows": model.n_rows,
        "n_atoms": model.n_sites,
    }


def changes(before: Multiconformer, after: Multiconformer) -> str:
    """Return in one line what an edit changed in numbers."""
    parts = [
        f"{len(before.states)} → {len(after.states)} states",
        f"{len(before.rules)} → {len(after.rules)} rules",
        f"{before.n_rows} → {after.n_rows} atom lines",
    ]
    return ", ".join(parts)
