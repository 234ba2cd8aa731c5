"""``unstill hierarchy coexist add|remove|implied``: rules of coexistence."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from unstill.cli.hierarchy_files import (
    InPlace,
    ModelFile,
    OutModel,
    chosen_output,
    counts,
    edit_file,
    read_stated,
    write_model,
)
from unstill.cli.options import Debug, Json
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles import Multiconformer

rules = typer.Typer(help="Add, remove and list rules of coexistence.", no_args_is_help=True)


class RuleName(Enum):
    """Kinds of rules."""

    AND = "AND"
    OR = "OR"
    NOT = "NOT"


def register(group: typer.Typer) -> None:
    """Add ``coexist`` to the commands of ``unstill hierarchy``."""
    group.add_typer(rules, name="coexist")


@rules.command("add")
def add(
    file: ModelFile,
    state: Annotated[str, typer.Argument(metavar="STATE", help="State the rule speaks of.")],
    kind: Annotated[
        RuleName,
        typer.Argument(
            metavar="AND|OR|NOT", help="In all, in at least one, or in none of the others."
        ),
    ],
    others: Annotated[list[str], typer.Argument(metavar="OTHER", help="The other states.")],
    description: Annotated[str, typer.Option("--description", help="Free text.")] = "",
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Add a rule; one that contradicts the tree or the atoms is refused.

    Example: unstill hierarchy coexist add model.cif A NOT C D -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import add_rule

        return add_rule(model, kind.value, state, others, description=description)

    said = {"state": state, "kind": kind.value, "others": others, "description": description}
    edit_file(
        "coexist add", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug
    )


@rules.command("remove")
def remove(
    file: ModelFile,
    rule: Annotated[int, typer.Argument(metavar="RULE", help="Number of the rule.")],
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove a rule by its number.

    Example: unstill hierarchy coexist remove model.cif 3 -o new.cif
    """

    def edit(model: Multiconformer) -> Multiconformer:
        from unstill.ensembles.hierarchy import remove_rule

        return remove_rule(model, rule)

    said = {"rule": rule}
    edit_file(
        "coexist remove", file, out, edit, said, in_place=in_place, as_json=as_json, debug=debug
    )


@rules.command("implied")
def implied(
    file: ModelFile,
    out: OutModel = None,
    in_place: InPlace = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the rules that the atoms imply; -o or --in-place writes them into the model.

    Example: unstill hierarchy coexist implied model.cif -o new.cif
    """
    with Verb("hierarchy coexist implied", as_json=as_json, debug=debug) as verb:
        from unstill.ensembles.hierarchy import implied_rules
        from unstill.ensembles.hierarchy.consistency import spelled

        writes = out is not None or in_place
        target = chosen_output(file, out, in_place=in_place) if writes else None
        record = verb.record({"file": file, "out": out, "in_place": in_place}, inputs=[file])
        model = read_stated(verb, file)
        found = implied_rules(model)
        verb.result = counts(model) | {"implied": [vars(rule) for rule in found]}
        for rule in found:
            verb.say(spelled(rule))
        verb.say(f"{len(found)} rules are implied and not written")
        if target is not None:
            write_model(verb, model.replace(rules=(*model.rules, *found)), target, record)
