"""Options of ``unstill simulate`` that say in one word what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from unstill.simulation.sweeps import WrongBackground


def wrong_background_of(text: str) -> WrongBackground | None:
    """Read ``exposure=2,distance=10``; nothing is wrong where there is no text."""
    if not text:
        return None
    from unstill.simulation.sweeps import WrongBackground

    given: dict[str, float] = {}
    for item in text.split(","):
        name, _, number = item.partition("=")
        if name.strip() not in ("exposure", "transmission", "distance", "wavelength"):
            raise typer.BadParameter(f"--wrong-background does not know {name.strip()!r}")
        try:
            given[name.strip()] = float(number)
        except ValueError as error:
            raise typer.BadParameter(f"--wrong-background needs a number for {name}") from error
    return WrongBackground(**given)


def frames_of(text: str, n_frames: int) -> tuple[int, ...]:
    """Read numbers of frames such as ``12,13``."""
    try:
        found = tuple(int(item) for item in text.split(",") if item.strip())
    except ValueError as error:
        raise typer.BadParameter("--beam-trip must be frames such as 12,13") from error
    if any(not 0 <= frame < n_frames for frame in found):
        raise typer.BadParameter(f"--beam-trip must be frames from 0 to {n_frames - 1}")
    return found
