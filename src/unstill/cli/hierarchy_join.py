"""``unstill hierarchy merge-states``: a ground and a changed model made one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unstill.cli.hierarchy_files import counts, write_model
from unstill.cli.options import Debug, Json
from unstill.cli.outputs import check_outputs
from unstill.cli.verb import Verb


def register(group: typer.Typer) -> None:
    """Add ``merge-states`` to the commands of ``unstill hierarchy``."""
    group.command("merge-states")(merge_states)


def merge_states(
    ground: Annotated[Path, typer.Argument(metavar="GROUND", help="Model of the ground state.")],
    changed: Annotated[
        Path, typer.Argument(metavar="CHANGED", help="Model of the changed (bound) state.")
    ],
    share: Annotated[
        float, typer.Option("--share", help="Share of copies that are changed, 0 to 1.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the model.")],
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Å within which places are the same.")
    ] = 0.1,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Join two models of one crystal: Base, and below it Ground and Changed.

    What is in the same place in both stays in Base, once. Occupancies follow
    the share and add up exactly. Of the files, what still holds is kept; what is
    lost is said.

    Example: unstill hierarchy merge-states apo.pdb bound.pdb --share 0.3 -o joined.cif
    """
    with Verb("hierarchy merge-states", as_json=as_json, debug=debug) as verb:
        from unstill.ensembles.hierarchy import join_models
        from unstill.io.conformers import read_multiconformer
        from unstill.io.conformers.joined_file import carry_over

        check_outputs([out], [ground, changed])
        record = verb.record(
            {"ground": ground, "changed": changed, "share": share, "tolerance": tolerance},
            inputs=[ground, changed],
        )
        other = read_multiconformer(changed)
        joined = join_models(
            read_multiconformer(ground), other, changed_share=share, tolerance=tolerance
        )
        joined, lost = carry_over(joined, other)
        for text in lost:
            verb.warn(f"not kept: {text}")
        write_model(verb, joined, out, record)
        verb.result = counts(joined) | {"lost": list(lost)}
        verb.say(f"{len(joined.states)} states, {joined.n_rows} atom lines")
