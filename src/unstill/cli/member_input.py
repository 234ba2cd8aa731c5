"""How verbs read members: block sums, a stack of MTZ files, or a trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from unstill.diffuse.open_frames import SupercellFrames
    from unstill.maps import IntensityMap
    from unstill.maps.members import MemberSource

Sums = Annotated[
    list[Path],
    typer.Argument(
        metavar="SUMS",
        help="Block sums of unstill diffuse (--blocks-out); or one MTZ a frame with F and phase; "
        "or topology and trajectories, with --supercell.",
    ),
]
Supercell = Annotated[
    tuple[int, int, int] | None,
    typer.Option(help="Unit cells along a, b, c, where SUMS are coordinates."),
]
Blocks = Annotated[
    int,
    typer.Option(
        min=0,
        help="Members to make of a trajectory: blocks of consecutive frames; 0 is every frame.",
    ),
]
Select = Annotated[
    str, typer.Option("--select", help="Selection of the block sums, or atoms of a trajectory.")
]


@dataclass(frozen=True, eq=False)
class MemberInput:
    """Members, and the frames behind them where coordinates were given.

    Parameters
    ----------
    source
        The members.
    opened
        The frames, or ``None``.
    divisions
        Unit cells of the supercell that they fill.
    """

    source: MemberSource
    opened: SupercellFrames | None
    divisions: tuple[int, int, int] | None


def open_members(
    paths: list[Path],
    observed: IntensityMap,
    *,
    supercell: tuple[int, int, int] | None,
    frames: list[Path] | None,
    d_min: float | None,
    blocks: int,
    select: str,
    unit_cell: str | None,
    space_group: str | None,
    workers: int,
) -> MemberInput:
    """Recognise what the files are, and open them as members.

    Raises
    ------
    InputError
        If they are of different kinds, or coordinates lack a supercell.
    """
    from unstill.diffuse.open_frames import open_frames
    from unstill.errors import InputError

    known = {"unit_cell": unit_cell, "space_group": space_group}
    kinds = {_kind(path) for path in paths}
    if len(kinds & {"sums", "mtz"}) and len(kinds) > 1:
        raise InputError(
            "the files are of different kinds",
            found=", ".join(path.name for path in paths[:6]),
            fix="give block sums, or MTZ files of frames, or a topology with trajectories",
        )
    if kinds == {"coordinates"}:
        if supercell is None:
            raise InputError(
                "coordinates need to know how many unit cells they fill",
                found=", ".join(path.name for path in paths[:6]),
                fix="give --supercell N N N",
            )
        opened = open_frames(paths[0], paths[1:], supercell, **known)  # type: ignore[arg-type]
        source = _streamed(opened, supercell, d_min or observed.d_min, blocks, select, workers)
        return MemberInput(source, opened, supercell)
    source = _sums(paths, select) if kinds == {"sums"} else _stack(paths, observed)
    if not frames:
        return MemberInput(source, None, None)
    behind = open_frames(frames[0], frames[1:], source.divisions, **known)  # type: ignore[arg-type]
    return MemberInput(source, behind, source.divisions)


def known_crystal(paths: list[Path]) -> Path | None:
    """First of the files, if it may tell a map without a crystal what it is of."""
    return paths[0] if _kind(paths[0]) == "coordinates" else None


def _kind(path: Path) -> str:
    from unstill.io.reading import head

    start = head(path)
    if start.startswith(b"\x89HDF\r\n\x1a\n") and path.suffix.lower() not in (".nc", ".ncdf"):
        return "sums"
    return "mtz" if start.startswith(b"MTZ ") else "coordinates"


def _sums(paths: list[Path], select: str) -> MemberSource:
    from unstill.io import open_block_sums, read_block_sums
    from unstill.maps import merge_block_sums
    from unstill.maps.members import BlockMembers

    if len(paths) == 1:
        return open_block_sums(paths[0], selection=select)
    return BlockMembers(merge_block_sums([read_block_sums(path) for path in paths]), select)


def _stack(paths: list[Path], observed: IntensityMap) -> MemberSource:
    from unstill.io import open_mtz_stack

    return open_mtz_stack(paths, crystal=observed.crystal)


def _streamed(
    opened: SupercellFrames,
    supercell: tuple[int, int, int],
    d_min: float,
    blocks: int,
    select: str,
    workers: int,
) -> MemberSource:
    from unstill.diffuse import stream_members

    return stream_members(
        opened.frames,
        supercell,
        d_min,
        crystal=opened.crystal,
        n_members=min(blocks, opened.n_frames) or None,
        selection=_mask(opened, select),
        selection_name=select,
        workers=workers,
    )


def _mask(opened: SupercellFrames, select: str) -> np.ndarray | None:
    from unstill.ensembles.selection import atom_mask

    return None if select == "all" else atom_mask(opened.frames.atoms, select)
