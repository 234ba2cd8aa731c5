"""Options that every verb shares, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def positive(value: float | None) -> float | None:
    """Refuse what is no length, as bad usage."""
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter("must be positive")
    return value


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Where to write the result.")]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, help="Seed of the random numbers; recorded in the output."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes to use. [default: the processors that may be used]"
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
DMin = Annotated[
    float | None, typer.Option("--d-min", callback=positive, help="High-resolution limit (Å).")
]
DMax = Annotated[
    float | None, typer.Option("--d-max", callback=positive, help="Low-resolution limit (Å).")
]
Reindex = Annotated[
    str,
    typer.Option(
        "--reindex",
        help="auto tries all that the lattice allows; none; or an operator such as k,h,-l.",
    ),
]
UnitCell = Annotated[
    str | None,
    typer.Option("--unit-cell", help="a,b,c,alpha,beta,gamma for files that carry none."),
]
SpaceGroup = Annotated[
    str | None, typer.Option("--space-group", help="Space group for files that carry none.")
]
Model = Annotated[
    Path | None, typer.Option("--model", help="Coordinates that give the cell and space group.")
]
