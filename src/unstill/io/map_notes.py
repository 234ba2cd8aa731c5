"""What formats of other programs cannot say about a map, as lines of plain text.

MTZ histories, CCP4 labels and comments in text files have room for short
lines. These hold the unit cell in full, the space group, the divisions and
the box, so that a map comes back as it was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.maps import IntensityMap

_WIDTH = 79
_KEYS = ("CELL", "GROUP", "DIVISIONS", "START", "SHAPE")


@dataclass(frozen=True)
class MapNotes:
    """Crystal and box of a map."""

    crystal: Crystal
    grid: HklGrid


def notes_of(map: IntensityMap) -> list[str]:
    """Return the lines for a map, each shorter than 80 characters."""
    crystal, grid = map.crystal, map.grid
    cell = " ".join(repr(float(value)) for value in crystal.unit_cell)
    if len(cell) > _WIDTH - 13:
        cell = " ".join(f"{value:.7g}" for value in crystal.unit_cell)
    values = {
        "CELL": cell,
        "GROUP": crystal.space_group,
        "DIVISIONS": _words(grid.divisions),
        "START": _words(grid.start),
        "SHAPE": _words(grid.shape),
    }
    return [f"UNSTILL {key} {value}" for key, value in values.items()]


def read_notes(lines: Iterable[str]) -> MapNotes | None:
    """Return crystal and box from lines that :func:`notes_of` made, ``None`` if there are none.

    Raises
    ------
    ValueError
        If there are such lines and they make no sense.
    """
    found: dict[str, str] = {}
    for line in lines:
        mark, _, rest = line.strip().partition("UNSTILL ")
        key, _, value = rest.strip().partition(" ")
        if key in _KEYS and not mark.strip("# "):
            found[key] = value.strip()
    if not found:
        return None
    missing = [key for key in _KEYS if key not in found]
    if missing:
        raise ValueError(f"lines for {', '.join(missing)} are missing")
    a, b, c, alpha, beta, gamma = (float(word) for word in found["CELL"].split())
    return MapNotes(
        Crystal((a, b, c, alpha, beta, gamma), found["GROUP"]),
        HklGrid(_triple(found["START"]), _triple(found["SHAPE"]), _triple(found["DIVISIONS"])),
    )


def _words(values: Triple) -> str:
    return " ".join(str(value) for value in values)


def _triple(text: str) -> Triple:
    h, k, l = (int(word) for word in text.split())
    return h, k, l
