"""``unstill hierarchy add|remove|rename|reparent``: edits of single states."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from unstill.cli.hierarchy_files import InPlace, ModelFile, OutModel, edit_file
from unstill.cli.options import Debug, Json

if TYPE_CHECKING:
    from unstill.ensembles import Multiconformer

StateId = Annotated[str, typer.Argument(metavar="STATE", help="Id of the state.")]


class Kind(Enum):
    """What a state is."""

    conformational = "conformational"
    compositional = "compositional"


class Rows(Enum):
    """Where the atoms of a removed state go."""

    parent = "parent"
    drop = "drop"


def register(group: typer.Typer) -> None:
    """Add the edits to the commands of ``unstill hierarchy``."""
    group.command("add")(add)
    group.command("remove")(remove)
    group.command("rename")(rename)
    group.command("reparent")(reparent)


def add(
    file: ModelFile,
    state: StateId,
    parent: Annotated[
        str | None, typer.Option("--parent", help="Id of its parent. [default: the root]")
    ] = None,
    occupancy: Annotated[
        float | None,
        typer.Option(
            "--occupancy", min=0, max=1, help="Share of all copies. [default: the parent's]"
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Its name; the id by default.")] = "",
    kind: Annotated[Kind, typer.Option("--kind", help="What it is.")] = Kind.conformational,
    details: Annotated[str, typer.Option("--details", help="Free text.")] = "",
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Add a state without atoms; `reassign` gives it some.

    Example: unstill hierarchy add model.cif Bound --occupancy 0.3 -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import add_state

        return add_state(
            model,
            state,
            parent=parent,
            occupancy=occupancy,
            name=name,
            kind=kind.value,
            details=details,
        )

    said = {"state": state, "parent": parent, "occupancy": occupancy, "name": name}
    said |= {"kind": kind.value, "details": details}
    edit_file("add", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug)


def remove(
    file: ModelFile,
    state: StateId,
    rows: Annotated[
        Rows,
        typer.Option(
            "--rows", help="parent: its atoms go to its parent; drop: they go, with all below."
        ),
    ],
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove a state; say what happens to its atoms.

    Example: unstill hierarchy remove model.cif C --rows drop -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import remove_state

        return remove_state(model, state, rows=rows.value)

    said = {"state": state, "rows": rows.value}
    edit_file("remove", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug)


def rename(
    file: ModelFile,
    state: StateId,
    new_id: Annotated[str | None, typer.Option("--id", help="Its new id.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its new name.")] = None,
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Give a state another id or name; rules and children follow.

    Example: unstill hierarchy rename model.cif A --id Open -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import rename_state

        return rename_state(model, state, id=new_id, name=name)

    said = {"state": state, "id": new_id, "name": name}
    edit_file("rename", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug)


def reparent(
    file: ModelFile,
    state: StateId,
    parent: Annotated[str, typer.Argument(metavar="PARENT", help="Id of its new parent.")],
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Put a state, with all below it, under another parent.

    Example: unstill hierarchy reparent model.cif C A -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import reparent_state

        return reparent_state(model, state, parent)

    said = {"state": state, "parent": parent}
    edit_file("reparent", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug)
