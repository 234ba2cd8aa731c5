"""The frame of the command line: the list of verbs and the way in."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from unstill.cli.verb import FAILED, INTERRUPTED
from unstill.parallel.threads import keep_to_one_thread
from unstill.provenance import Provenance

VERBS: dict[str, str] = {
    "demo": "unstill.cli.demo",
    "datasets": "unstill.cli.datasets",
    "simulate": "unstill.cli.simulate",
    "experiment": "unstill.cli.experiment",
    "index": "unstill.cli.index",
    "reduce": "unstill.cli.reduce",
    "diffuse": "unstill.cli.diffuse",
    "fit": "unstill.cli.fit",
    "compare": "unstill.cli.compare",
    "weigh": "unstill.cli.weigh",
    "enrich": "unstill.cli.enrich",
    "density": "unstill.cli.density",
    "guide": "unstill.cli.guide",
    "benchmark": "unstill.cli.benchmark",
    "validate": "unstill.cli.validate",
    "predictor": "unstill.cli.predictor",
    "map": "unstill.cli.map",
    "convert": "unstill.cli.convert",
    "hierarchy": "unstill.cli.hierarchy",
}
"""Verb → module that defines it, in the order of ``unstill --help``."""

# Typer gives no name of its own to this class, which moved from click to typer.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="unstill",
    help="Measure, model, encode and publish how proteins move.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run ``unstill``; exits 0, 1 (failed), 2 (bad usage) or 130 (interrupted)."""
    keep_to_one_thread()
    try:
        code = complete_app()(standalone_mode=False)
    except _UsageError as error:
        code = _tell_of_bad_usage(error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except typer.Abort:
        code = FAILED
    except OSError as error:
        # Verbs catch their own; what is left is an output stream that takes nothing.
        typer.echo(f"error: the result could not be printed\n  found: {error}", err=True)
        _silence_stdout()
        code = FAILED
    if code == INTERRUPTED:
        _answer({"what": "interrupted", "found": None, "fix": None})
    sys.exit(code)


def _tell_of_bad_usage(error: Any) -> int:
    error.show()
    _answer({"what": error.format_message(), "found": None, "fix": "see --help"})
    return int(error.exit_code)


def _answer(error: dict[str, Any]) -> None:
    """Keep the promise of one JSON object where no verb came to answer."""
    if "--json" not in sys.argv[1:]:
        return
    found = {"error": error, "outputs": {}, "warnings": []}
    found["provenance"] = Provenance(" ".join(["unstill", *sys.argv[1:]])).as_dict()
    typer.echo(json.dumps(found))


def _silence_stdout() -> None:
    # What is still in the buffer would fail once more when the interpreter ends.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)


def complete_app() -> typer.Typer:
    """Return the program with every verb registered; verbs import nothing heavy."""
    if not app.registered_commands and not app.registered_groups:
        for module in dict.fromkeys(VERBS.values()):
            importlib.import_module(module).register(app)
    return app


def command_help(width: int = 88) -> dict[str, str]:
    """Help text of the program and of every verb, by full name, as it prints them."""
    from typer.testing import CliRunner

    names = [[], *_command_names(complete_app())]
    runner = CliRunner(env={"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)})
    return {
        " ".join(["unstill", *name]): runner.invoke(
            app, [*name, "--help"], prog_name="unstill"
        ).stdout
        for name in names
    }


def _command_names(group: typer.Typer) -> list[list[str]]:
    """Words after the name of a group that call each of its commands, and theirs."""
    names = [[command.name] for command in group.registered_commands if command.name]
    for inner in group.registered_groups:
        if inner.name and inner.typer_instance:
            below = _command_names(inner.typer_instance)
            names += [[inner.name], *([inner.name, *name] for name in below)]
    return names


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from unstill import __version__

        typer.echo(__version__)
        raise typer.Exit
