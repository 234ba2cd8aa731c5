"""``unstill convert``: an ensemble to a multiconformer model, and back."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.convert_text import say_decoded, say_encoded
from unstill.cli.options import Debug, Json, Seed, positive
from unstill.cli.outputs import check_outputs
from unstill.cli.progress import progress_bar
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.ensembles.encode import Encoded
    from unstill.ensembles.multiconformer import Members, Multiconformer
    from unstill.provenance import Provenance


class Target(StrEnum):
    """What to convert to."""

    MULTICONFORMER = "multiconformer"
    ENSEMBLE = "ensemble"


class Profile(StrEnum):
    """What a multiconformer model keeps of an ensemble."""

    LOSSLESS = "lossless"
    EPS = "eps"
    LEGACY = "legacy"


class Mode(StrEnum):
    """Which copies are made of a multiconformer model."""

    MARGINAL = "marginal"
    MAXENT = "maxent"
    BEST = "best"


def register(app: typer.Typer) -> None:
    """Add ``unstill convert`` to the command line."""
    app.command("convert")(convert)


def convert(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="mmCIF, BinaryCIF or PDB; or a trajectory, with --topology."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Where to write: .cif or .pdb.")],
    *,
    to: Annotated[Target, typer.Option("--to", help="What to make.")],
    profile: Annotated[
        Profile,
        typer.Option(
            help="To multiconformer: lossless keeps all places and members; eps few states "
            "within --eps; legacy one letter a conformer."
        ),
    ] = Profile.LOSSLESS,
    eps: Annotated[
        float,
        typer.Option(callback=positive, help="Largest RMSD (Å) of a residue from its state."),
    ] = 0.5,
    labels: Annotated[
        int, typer.Option(min=1, max=62, help="Letters that --profile legacy may use.")
    ] = 26,
    members: Annotated[
        str,
        typer.Option(
            metavar="N|recorded",
            help="To ensemble: how many members to make, or those that the model records.",
        ),
    ] = "20",
    mode: Annotated[
        Mode,
        typer.Option(
            help="To ensemble: marginal keeps populations with equal weights; maxent assumes "
            "least; best are the most probable copies."
        ),
    ] = Mode.MARGINAL,
    renormalise: Annotated[
        bool,
        typer.Option(
            "--renormalise", help="To ensemble: scale down occupancies that sum to too much."
        ),
    ] = False,
    topology: Annotated[
        Path | None, typer.Option(help="Atoms of a trajectory: PDB, mmCIF, GRO, PSF, prmtop.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights of the members: CSV of unstill weigh, or one number a line."),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Use every n-th member.")] = 1,
    select: Annotated[str | None, typer.Option(help="Atoms to keep, such as protein.")] = None,
    digits: Annotated[
        int | None,
        typer.Option(
            min=1, max=8, help="Decimals of coordinates. [default: 3; lossless keeps all]"
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a multiconformer model of an ensemble, or an ensemble of a multiconformer model.

    Example: unstill convert models.pdb model.cif --to multiconformer --profile eps --eps 0.5

    Example: unstill convert model.cif models.cif --to ensemble --members 20
    """
    given = {name: value for name, value in locals().items() if name not in ("as_json", "debug")}
    wanted = _wanted(members)
    with Verb("convert", as_json=as_json, debug=debug) as verb:
        extra = [path for path in (topology, weights) if path is not None]
        check_outputs([out], [file, *extra])
        _check_suffix(out, lossless=to is Target.MULTICONFORMER and profile is Profile.LOSSLESS)
        record = verb.record(given, inputs=[file, *extra], seed=seed)
        if to is Target.MULTICONFORMER:
            _encode(verb, given, record)
        else:
            _decode(verb, given, wanted, record)


def _wanted(members: str) -> int | None:
    """Return the number of members to make; ``None`` for the recorded ones."""
    if members == "recorded":
        return None
    if not members.isdecimal() or not 1 <= int(members) <= 100_000:
        raise typer.BadParameter("--members needs a number from 1 to 100000, or: recorded")
    return int(members)


def _check_suffix(out: Path, *, lossless: bool) -> None:
    from unstill.errors import InputError
    from unstill.io.conformers.conformer_files import written_format

    if written_format(out) == "pdb" and lossless:
        raise InputError(
            "a PDB file cannot hold a model without loss: it has no states, members or weights",
            found=out,
            fix="write .cif, or choose --profile legacy",
        )


def _encode(verb: Verb, given: Mapping[str, Any], record: Provenance) -> None:
    from unstill.io.conformers import write_multiconformer
    from unstill.io.ensemble_files import read_ensemble

    with progress_bar("read the members") as progress:
        ensemble = read_ensemble(
            given["file"],
            topology=given["topology"],
            weights=given["weights"],
            stride=given["stride"],
            select=given["select"],
            progress=progress,
        )
    with progress_bar("find the states") as progress:
        encoded = _encoded(given, ensemble, progress)
    lossless = given["profile"] is Profile.LOSSLESS
    digits = given["digits"] if given["digits"] or lossless else 3
    write_multiconformer(encoded.model, given["out"], digits=digits, provenance=record)
    verb.output("model", given["out"])
    verb.result = {"profile": str(given["profile"]), "report": encoded.report.as_dict()}
    for note in encoded.report.notes:
        verb.warn(note)
    say_encoded(verb, encoded.report)
    if given["profile"] is Profile.EPS and not encoded.report.bound_holds:
        verb.fail()


def _encoded(given: Mapping[str, Any], ensemble: Any, progress: Any) -> Encoded:
    from unstill.ensembles.encode import encode_eps, encode_legacy, encode_lossless

    if given["profile"] is Profile.LOSSLESS:
        return encode_lossless(ensemble, digits=given["digits"])
    if given["profile"] is Profile.EPS:
        return encode_eps(ensemble, eps=given["eps"], progress=progress)
    return encode_legacy(ensemble, eps=given["eps"], n_labels=given["labels"], progress=progress)


def _decode(verb: Verb, given: Mapping[str, Any], wanted: int | None, record: Provenance) -> None:
    from unstill.ensembles.multiconformer.models import models_of_members
    from unstill.io.conformers import read_multiconformer, write_multiconformer

    model = read_multiconformer(given["file"])
    model, members = _copies(verb, given, model, wanted)
    models = models_of_members(model, members)
    write_multiconformer(models, given["out"], digits=given["digits"] or 3, provenance=record)
    verb.output("ensemble", given["out"])
    verb.result["members"] = {
        "n_members": members.n_members,
        "weights": members.weights,
        "names": list(members.names),
    }


def _copies(
    verb: Verb, given: Mapping[str, Any], model: Multiconformer, wanted: int | None
) -> tuple[Multiconformer, Members]:
    """Return the copies that were asked for, and the model whose states they are in."""
    from unstill.ensembles.decode import decode
    from unstill.errors import InputError

    if wanted is None:
        if model.members is None:
            raise InputError(
                "the model records no members",
                found=f"{len(model.states)} states and no member of theirs in {given['file']}",
                fix="choose how many members to make, such as --members 20",
            )
        verb.result = {"mode": "recorded"}
        verb.say(f"{model.members.n_members} members restored as they were recorded")
        return model, model.members
    with progress_bar("decoding") as progress:
        decoded = decode(
            model,
            n_members=wanted,
            mode=str(given["mode"]),  # type: ignore[arg-type]
            seed=given["seed"],
            renormalise=given["renormalise"],
            progress=progress,
        )
    verb.result = {"mode": str(given["mode"]), "report": decoded.report.as_dict()}
    for note in decoded.report.notes:
        verb.warn(note)
    say_decoded(verb, decoded.report)
    # A copy has an atom or not: no occupancy is left inside it.
    populations = decoded.members.populations[decoded.model.state]
    return decoded.model.replace(occupancy=populations), decoded.members
