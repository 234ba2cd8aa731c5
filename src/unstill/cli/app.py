"""The frame of the command line: the list of verbs and the way in."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

VERBS: dict[str, str] = {}
"""Verb → module that defines it, in the order of ``unstill --help``."""

app = typer.Typer(
    name="unstill",
    help="Measure, model, encode and publish how proteins move.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run ``unstill``; exits 0, 1 (failed), 2 (bad usage) or 130 (interrupted)."""
    for module in dict.fromkeys(VERBS.values()):
        importlib.import_module(module).register(app)
    app()


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
