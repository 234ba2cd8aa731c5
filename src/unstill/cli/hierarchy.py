"""``unstill hierarchy``: infer, show and edit the states of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unstill.cli import (
    hierarchy_clash,
    hierarchy_edits,
    hierarchy_join,
    hierarchy_regroup,
    hierarchy_report,
    hierarchy_rules,
    hierarchy_validate,
)
from unstill.cli.hierarchy_files import ModelFile, counts, read_stated, write_model
from unstill.cli.options import Debug, Json
from unstill.cli.outputs import check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles import Multiconformer

group = typer.Typer(
    help="Infer, show, check and edit the states of a model.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add ``unstill hierarchy`` to the command line."""
    app.add_typer(group, name="hierarchy")


@group.command("infer")
def infer(
    file: ModelFile,
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the model.")],
    rules: Annotated[
        bool, typer.Option("--rules", help="Write what is implied as rules (NOT).")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a tree of states of the altlocs of a model.

    Bonds, labels, occupancies and clashes say which altlocs of neighbours are
    one state. A file that states a hierarchy keeps it.

    Example: unstill hierarchy infer model.pdb -o model.cif --rules
    """
    with Verb("hierarchy infer", as_json=as_json, debug=debug) as verb:
        from unstill.ensembles.hierarchy import infer_hierarchy
        from unstill.io.conformers import read_multiconformer

        check_outputs([out], [file])
        record = verb.record({"file": file, "out": out, "rules": rules}, inputs=[file])
        model = infer_hierarchy(read_multiconformer(file), rules=rules)
        write_model(verb, model, out, record)
        verb.result = counts(model)
        verb.say(f"{len(model.states)} states, {len(model.rules)} rules")


@group.command("show")
def show(
    file: ModelFile,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Children of one state that are listed.")
    ] = 200,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the tree of states with occupancies and atoms, and the rules.

    A file that states no hierarchy is shown as ``infer`` would make it.

    Example: unstill hierarchy show model.cif
    """
    with Verb("hierarchy show", as_json=as_json, debug=debug) as verb:
        from unstill.ensembles.hierarchy.tree_text import states_as_dicts, tree_lines

        verb.record({"file": file, "most": most}, inputs=[file])
        model = read_stated(verb, file)
        verb.result = counts(model) | {
            "states": states_as_dicts(model),
            "rules": [vars(rule) for rule in model.rules],
        }
        for line in tree_lines(model, most=most):
            verb.say(line)
        _say_rules(verb, model)


def _say_rules(verb: Verb, model: Multiconformer) -> None:
    from unstill.ensembles.hierarchy.consistency import spelled

    if model.rules:
        verb.say()
    for rule in model.rules:
        text = f"  ({rule.description})" if rule.description else ""
        verb.say(f"rule {rule.id:<4d} {spelled(rule)}{text}")


hierarchy_validate.register(group)
hierarchy_report.register(group)
hierarchy_edits.register(group)
hierarchy_regroup.register(group)
hierarchy_rules.register(group)
hierarchy_clash.register(group)
hierarchy_join.register(group)
