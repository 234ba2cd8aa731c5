"""The frame of the command line: the list of verbs and the way in."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from unstill.parallel.threads import keep_to_one_thread

VERBS: dict[str, str] = {
    "demo": "unstill.cli.demo",
    "datasets": "unstill.cli.datasets",
    "diffuse": "unstill.cli.diffuse",
    "fit": "unstill.cli.fit",
    "compare": "unstill.cli.compare",
    "map": "unstill.cli.map",
}
"""Verb → module that defines it, in the order of ``unstill --help``."""

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
    complete_app()()


def complete_app() -> typer.Typer:
    """Return the program with every verb registered; verbs import nothing heavy."""
    if not app.registered_commands and not app.registered_groups:
        for module in dict.fromkeys(VERBS.values()):
            importlib.import_module(module).register(app)
    return app


def command_help(width: int = 88) -> dict[str, str]:
    """Help text of the program and of every verb, by full name, as it prints them."""
    from typer.testing import CliRunner

    complete_app()
    names: list[list[str]] = [[]]
    names += [[command.name] for command in app.registered_commands if command.name]
    for group in app.registered_groups:
        inner = group.typer_instance.registered_commands if group.typer_instance else []
        if group.name:
            names.append([group.name])
            names += [[group.name, command.name] for command in inner if command.name]
    runner = CliRunner(env={"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)})
    return {
        " ".join(["unstill", *name]): runner.invoke(
            app, [*name, "--help"], prog_name="unstill"
        ).stdout
        for name in names
    }


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
