"""``unstill hierarchy validate``: what is wrong with the states of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.options import Debug, Json
from unstill.cli.outputs import check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles.multiconformer import Multiconformer
    from unstill.validation import Finding


def register(group: typer.Typer) -> None:
    """Add ``validate`` to the commands of ``unstill hierarchy``."""
    group.command("validate")(validate)


def validate(
    file: Annotated[Path, typer.Argument(help="A model: mmCIF, BinaryCIF or PDB.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the findings as a page as well.")
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, help="Findings of one sort that are listed.")
    ] = 10,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the states of a model: tree, rules, occupancies, bonds, clashes, members, labels.

    Rules V1 to V10. A file without a hierarchy is given one first, from its
    altlocs. Exit code 1 if there are errors: the model says what cannot be, for
    example occupancies of one atom that sum to more than 1.02, or populations
    that force more than 0.05 of all copies into a clash.

    Example: unstill hierarchy validate model.cif --html findings.html
    """
    with Verb("hierarchy validate", as_json=as_json, debug=debug) as verb:
        from unstill.report.page import write_page
        from unstill.validation import RULES
        from unstill.validation.finding import arranged
        from unstill.workflows.heterogeneity_report import validation_page

        if html is not None:
            check_outputs([html], [file])
        record = verb.record({"file": file, "html": html, "most": most}, inputs=[file])
        findings, model, inferred = _examine(file)
        about = _about(model, findings, inferred=inferred)
        verb.result = {
            "findings": [finding.as_dict() for finding in arranged(findings, most)],
            **{f"n_{name}s": _number(findings, name) for name in ("error", "warning", "note")},
            "rules": RULES,
            **about,
        }
        _say(verb, findings, about, most)
        if html is not None:
            page = validation_page(
                file.name,
                findings,
                record.as_dict(),
                about=_sentence(about),
                most=most,
                warnings=verb.warnings,
            )
            verb.output("html", write_page(page, html))
        if _number(findings, "error"):
            verb.fail()


def _examine(file: Path) -> tuple[tuple[Finding, ...], Multiconformer | None, bool]:
    """Return findings, the model if one can be built, and whether its tree was inferred."""
    from unstill.ensembles.hierarchy import infer_hierarchy
    from unstill.errors import InputError
    from unstill.io.conformers import read_hierarchy_tables, read_multiconformer
    from unstill.validation import Finding, check_hierarchy, check_tables
    from unstill.validation.finding import arranged

    told = check_tables(read_hierarchy_tables(file), most=None)
    if any(finding.severity == "error" and finding.rule in ("V1", "V2") for finding in told):
        return told, None, False
    try:
        model = read_multiconformer(file)
    except InputError as error:
        # An atom twice in one state, a position that is no number: a verdict, too.
        refused = Finding(
            "V2", "error", f"{error.what}: {error.found}", remedy=error.fix or "", kind="no-model"
        )
        return arranged([*told, refused], None), None, False
    inferred = not model.stated
    if inferred:
        model = infer_hierarchy(model)
    found = check_hierarchy(model, most=None, inferred=inferred)
    return arranged([*told, *found], None), model, inferred


def _about(
    model: Multiconformer | None, findings: tuple[Finding, ...], *, inferred: bool
) -> dict[str, Any]:
    if model is None:
        return {"checked": ["V1", "V2", "V10"], "hierarchy": "broken"}
    from unstill.ensembles.multiconformer.macrostates import enumerate_macrostates

    found = enumerate_macrostates(model, limit=1000, complete=True)
    return {
        "checked": [f"V{number}" for number in range(1, 11)],
        "hierarchy": "inferred" if inferred else "stated",
        "n_states": len(model.states),
        "n_rules": len(model.rules),
        "n_members": 0 if model.members is None else model.members.n_members,
        "n_macrostates": found.count,
        "all_macrostates_found": found.all_found,
    }


def _number(findings: tuple[Finding, ...], severity: str) -> int:
    return sum(finding.severity == severity for finding in findings)


def _sentence(about: dict[str, Any]) -> str:
    if about["hierarchy"] == "broken":
        return "The tree is broken; only what tables say by themselves was checked."
    many = about["n_macrostates"]
    number = str(many) if many < 10**6 else f"about 10^{len(str(many)) - 1}"
    least = "" if about["all_macrostates_found"] else "at least "
    inferred = about["hierarchy"] == "inferred"
    return (
        f"{about['n_states']} states, {about['n_rules']} rules, {about['n_members']} members; "
        f"{least}{number} combinations of states are allowed."
        + (" The file states no hierarchy; one was inferred from its altlocs." if inferred else "")
    )


def _say(verb: Verb, findings: tuple[Finding, ...], about: dict[str, Any], most: int) -> None:
    from unstill.validation.finding import arranged

    verb.say(_sentence(about))
    for finding in arranged(findings, most):
        verb.say()
        verb.say(f"{finding.severity:8s} {finding.rule:4s} {finding.message}")
        if finding.atoms:
            verb.say(f"         atoms: {'; '.join(finding.atoms)}")
        if finding.remedy:
            verb.say(f"         to do: {finding.remedy}")
    verb.say()
    counts = [(_number(findings, name), name) for name in ("error", "warning", "note")]
    verb.say(", ".join(f"{n} {name}{'' if n == 1 else 's'}" for n, name in counts))
