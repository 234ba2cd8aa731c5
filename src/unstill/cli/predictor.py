"""``unstill predictor``: networks that predict structures, each in its own environment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.options import Debug, Json, positive
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.guidance.predictors import PredictorProcess
    from unstill.guidance.predictors.environments import Environment

verbs = typer.Typer(
    help="Install, list and check networks that predict structures.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Name of the predictor; see: unstill predictor list.")]


def register(app: typer.Typer) -> None:
    """Add ``unstill predictor`` to the command line."""
    app.add_typer(verbs, name="predictor")


@verbs.command("list")
def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List the predictors and what of them is on this machine.

    Example: unstill predictor list
    """
    with Verb("predictor list", as_json=as_json, debug=debug) as verb:
        from unstill.guidance.predictors.cards import list_cards
        from unstill.guidance.predictors.environments import locate

        verb.record({})
        found = [locate(card) for card in list_cards()]
        verb.result = {"predictors": [_entry(one) for one in found]}
        for one in found:
            card = one.card
            verb.say(f"{card.name}  ({card.title}, {card.licence}, {card.source})")
            verb.say(
                f"    {', '.join((*card.requirements, *card.bare))}, about {card.megabytes} MB"
            )
            verb.say(f"    installed: {one.python or 'no'}")
            inside = "inside the package" if card.role == "packer" else f"no; put {_wanted(one)}"
            verb.say(f"    weights: {one.weights or inside}")


@verbs.command("install")
def install_(
    name: Name,
    python: Annotated[
        Path | None,
        typer.Option("--python", help="Python to make it with. [default: that of unstill]"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make an environment for a predictor and install it there.

    Environments stand in the folder that the variable UNSTILL_PREDICTORS
    names, by default in the user's cache. Weights are not fetched.

    Example: unstill predictor install openfold3
    """
    with Verb("predictor install", as_json=as_json, debug=debug) as verb:
        from unstill.guidance.predictors.cards import find_card
        from unstill.guidance.predictors.environments import install

        verb.record({"name": name, "python": python})
        found = install(find_card(name), python=python, progress=_tell)
        verb.result = {"predictor": _entry(found)}
        verb.output("environment", found.folder)
        verb.say(f"{found.card.title} is installed: {found.python}")
        if found.weights is None and found.card.role == "prior":
            verb.say(f"its weights are missing; put {_wanted(found)}")


@verbs.command("check")
def check_(
    name: Name,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="File of weights. [default: that of the environment]"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="cpu, cuda, cuda:1, ... [default: cuda where there is one]"),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="KEY=VALUE for its worker; may be given several times."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", callback=positive, help="Longest time (s) for an answer."),
    ] = 900.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Start a predictor, try it on a small peptide and report what it used.

    A predictor of structures denoises it, and takes a gradient back; a packer
    of side chains packs it.

    Example: unstill predictor check openfold3
    """
    options = dict(_pair(text) for text in option or [])
    with Verb("predictor check", as_json=as_json, debug=debug) as verb:
        from unstill.guidance.predictors.cards import find_card
        from unstill.guidance.predictors.environments import locate, start

        given = {"weights": weights, "device": device}
        verb.record({"name": name, "timeout": timeout, **given, **options})
        options |= {key: str(value) for key, value in given.items() if value is not None}
        begun = time.monotonic()
        card = find_card(name)
        with start(locate(card), options=options, timeout=timeout) as process:
            ready = time.monotonic()
            done = _packed(process) if card.role == "packer" else _tried(process)
            verb.result = {"seconds_to_start": ready - begun} | done
        for key, value in verb.result.items():
            verb.say(f"{key}: {value:.2f}" if isinstance(value, float) else f"{key}: {value}")


def _tried(process: PredictorProcess) -> dict[str, Any]:
    import numpy as np

    from unstill.guidance.predictors import Molecule, PredictorPrior

    begun = time.monotonic()
    process.featurise([Molecule("protein", "GSG", ("A",))])
    ready = time.monotonic()
    prior = PredictorPrior(process, restarts=0)
    rng = np.random.default_rng(0)
    x = 10.0 * rng.standard_normal((1, prior.n_atoms, 3))
    prior.denoise(x, 10.0)
    done = time.monotonic()
    prior.pullback(x, 10.0, np.ones_like(x))
    return {
        "sigma_data": process.hello.sigma_data,
        "n_atoms": prior.n_atoms,
        "seconds_to_featurise": ready - begun,
        "seconds_to_denoise": done - ready,
        "seconds_to_pull_back": time.monotonic() - done,
    } | _used(process)


def _packed(process: PredictorProcess) -> dict[str, Any]:
    import biotite.structure as bst
    import biotite.structure.info as bsi
    import numpy as np

    from unstill.guidance.predictors import SideChainPacker

    serine = bsi.residue("SER")
    serine = serine[np.isin(serine.atom_name, ["N", "CA", "C", "O", "CB", "OG"])]
    residues = []
    for number in range(1, 4):
        one = serine.copy()
        one.res_id[:] = number
        one.chain_id[:] = "A"
        # As far apart as residues of a strand are.
        one.coord += np.array([3.5 * number, 0.0, 0.0], dtype=np.float32)
        residues.append(one)
    peptide = bst.concatenate(residues)
    begun = time.monotonic()
    SideChainPacker(process, peptide).propose(peptide.coord.astype(float), 1, seed=0)
    seconds = time.monotonic() - begun
    return {"n_atoms": len(peptide), "seconds_to_pack": seconds} | _used(process)


def _used(process: PredictorProcess) -> dict[str, Any]:
    report, hello = process.report(), process.hello
    return {
        "name": hello.name,
        "version": hello.version,
        "python": hello.python,
        "device": report.device,
        "memory_bytes": report.memory,
        "device_memory_bytes": report.device_memory,
    }


def _entry(found: Environment) -> dict[str, Any]:
    card = found.card
    return {
        "name": card.name,
        "title": card.title,
        "licence": card.licence,
        "source": card.source,
        "requirements": [*card.requirements, *card.bare],
        "megabytes": card.megabytes,
        "folder": found.folder,
        "installed": found.python is not None,
        "python": found.python,
        "weights": found.weights,
        "options": dict(card.options),
    }


def _wanted(found: Environment) -> str:
    names = [found.card.weights, *found.card.extra_files.values()]
    return f"{' and '.join(names)} into {found.folder / 'weights'}"


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is no KEY=VALUE", param_hint="--option")
    return key, value


def _tell(text: str) -> None:
    typer.echo(text, err=True)
