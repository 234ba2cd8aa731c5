"""``unstill hierarchy merge|split|reassign``: atoms moved between states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unstill.cli.hierarchy_edits import StateId
from unstill.cli.hierarchy_files import InPlace, ModelFile, OutModel, edit_file
from unstill.cli.options import Debug, Json

if TYPE_CHECKING:
    from unstill.ensembles import Multiconformer

Selection = Annotated[
    str, typer.Argument(metavar="SELECTION", help='Atoms, for example "chain A and altloc B".')
]


def register(group: typer.Typer) -> None:
    """Add the edits to the commands of ``unstill hierarchy``."""
    group.command("merge")(merge)
    group.command("split")(split)
    group.command("reassign")(reassign)


def merge(
    file: ModelFile,
    states: Annotated[
        list[str], typer.Argument(metavar="STATE", help="Ids, two or more; the first is kept.")
    ],
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Merge states of one parent and one occupancy that always occur together.

    Example: unstill hierarchy merge model.cif A C -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import merge_states

        return merge_states(model, states)

    said = {"states": states}
    edit_file("merge", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug)


def split(
    file: ModelFile,
    state: StateId,
    selection: Selection,
    new_id: Annotated[
        str | None, typer.Option("--id", help="Id of the new state. [default: the next letters]")
    ] = None,
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Split the selected atoms off a state, into a sibling of its own.

    Example: unstill hierarchy split model.cif A "resid 10-20" --id A2 -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import split_state

        return split_state(model, state, selection, id=new_id)

    said = {"state": state, "selection": selection, "id": new_id}
    edit_file("split", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug)


def reassign(
    file: ModelFile,
    selection: Selection,
    state: StateId,
    set_occupancy: Annotated[
        bool, typer.Option("--set-occupancy", help="Give them the occupancy of the state.")
    ] = False,
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Move the selected atoms to another state.

    Example: unstill hierarchy reassign model.cif "resid 303 and altloc B" Bound -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import reassign_rows

        return reassign_rows(model, selection, state, set_occupancy=set_occupancy)

    said = {"selection": selection, "state": state, "set_occupancy": set_occupancy}
    edit_file("reassign", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug)
