"""How verbs read a map: the file, completed by what the user or a partner knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unstill.maps import IntensityMap

Divisions = Annotated[
    tuple[int, int, int] | None,
    typer.Option(
        "--file-divisions",
        min=1,
        help="Voxels a reciprocal-lattice vector, for files that do not say.",
        metavar="H K L",
    ),
]


def read_map_input(
    path: Path,
    *,
    unit_cell: str | None = None,
    space_group: str | None = None,
    model: Path | None = None,
    partner: Path | None = None,
    divisions: tuple[int, int, int] | None = None,
) -> IntensityMap:
    """Read a map; files without a crystal take it from options, a model or the partner.

    A space group that the user names holds for files that carry another one
    too (it declares symmetry); a unit cell must agree with that of the file.

    Raises
    ------
    UnknownCrystalError
        If nobody knows the crystal.
    """
    from unstill.crystal import Crystal
    from unstill.io import read_map
    from unstill.io.crystal_source import read_crystal, resolve_crystal

    own = read_crystal(path)
    # A file that knows its crystal asks no partner: the partner's axes may be others.
    known = path if own is not None else partner
    found = read_map(
        path,
        crystal=resolve_crystal(unit_cell, space_group, model, known),
        divisions=divisions,
    )
    if space_group is None:
        return found
    return found.replace(crystal=Crystal(found.crystal.unit_cell, space_group))
