"""How verbs read members: block sums, a stack of MTZ files, or a trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from unstill.diffuse.open_frames import SupercellFrames
    from unstill.diffuse.stream_members import FrameMembers
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
    first_frame
        First frame of each member, counting from 0, where members need not
        follow one another; ``None`` where they do.
    """

    source: MemberSource
    opened: SupercellFrames | None = None
    divisions: tuple[int, int, int] | None = None
    first_frame: np.ndarray | None = None

    def starts(self, n_members: int) -> np.ndarray | None:
        """First frames of the members that were read: fewer, if a trajectory breaks off."""
        return None if self.first_frame is None else self.first_frame[:n_members]


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

    _check_once(paths)
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
                "SUMS are neither block sums nor MTZ files, and coordinates need --supercell",
                found=", ".join(path.name for path in paths[:6]),
                fix="give block sums of unstill diffuse --blocks-out; or --supercell N N N, the "
                "unit cells along a, b, c, where these are a topology and trajectories",
            )
        if frames:
            raise InputError(
                "the frames are given twice",
                found="coordinates as SUMS, and --frames",
                fix="leave --frames out: it names the frames behind block sums",
            )
        opened = open_frames(paths[0], paths[1:], supercell, **known)  # type: ignore[arg-type]
        return _streamed(opened, supercell, d_min or observed.d_min, blocks, select, workers)
    source = _sums(paths, select) if kinds == {"sums"} else _stack(paths, observed, select)
    if supercell is not None and tuple(supercell) != tuple(source.divisions):
        raise InputError(
            "the members are of another supercell",
            found=f"{tuple(source.divisions)} in the files, --supercell {tuple(supercell)}",
            fix="leave --supercell out: the files say what they are of",
        )
    if not frames:
        return MemberInput(source)
    group = space_group or source.crystal.space_group
    behind = open_frames(
        frames[0], frames[1:], source.divisions, unit_cell=unit_cell, space_group=group
    )
    _check_frames(source, behind)
    return MemberInput(source, behind, source.divisions)


def known_crystal(paths: list[Path]) -> Path | None:
    """First of the files, if it may tell a map without a crystal what it is of."""
    return paths[0] if _kind(paths[0]) == "coordinates" else None


def _check_once(paths: list[Path]) -> None:
    from unstill.errors import InputError

    places = [path.resolve() for path in paths]
    twice = [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]
    if twice:
        raise InputError(
            "a file is given twice, and its frames would count twice",
            found=twice[0],
            fix="give each file once",
        )


def _check_frames(source: MemberSource, behind: SupercellFrames) -> None:
    """Refuse frames that are not as many as were summed, before the long work."""
    from unstill.errors import InputError

    counts = getattr(source, "n_frames", None)
    n_frames = source.n_members if counts is None else int(counts.sum())
    if n_frames != behind.n_frames:
        raise InputError(
            "--frames are not those behind the members",
            found=f"{behind.n_frames} frames, {n_frames} in {source.n_members} members",
            fix="give the topology and all trajectories that were summed, in their order",
        )


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
    # Members are named by their place: labels and frames follow the order of the files.
    sums = merge_block_sums([read_block_sums(path) for path in paths], keep_order=True)
    return BlockMembers(sums, select)


def _stack(paths: list[Path], observed: IntensityMap, select: str) -> MemberSource:
    from unstill.errors import InputError
    from unstill.io import open_mtz_stack

    if select != "all":
        raise InputError(
            "structure factors in MTZ files hold no atoms to select from",
            found=f"--select {select}",
            fix="leave --select out, or give coordinates",
        )
    return open_mtz_stack(paths, crystal=observed.crystal)


def _streamed(
    opened: SupercellFrames,
    supercell: tuple[int, int, int],
    d_min: float,
    blocks: int,
    select: str,
    workers: int,
) -> MemberInput:
    from unstill.diffuse import stream_members

    source = stream_members(
        opened.frames,
        supercell,
        d_min,
        crystal=opened.crystal,
        n_members=min(blocks, opened.n_frames) or None,
        selection=_mask(opened, select),
        selection_name=select,
        workers=workers,
    )
    return MemberInput(source, opened, supercell, _first_frames(source))


def _first_frames(source: FrameMembers) -> np.ndarray:
    """Where the members begin: models of no weight are left out."""
    import numpy as np

    from unstill.errors import InputError

    weights, edges = source.run.weights, np.asarray(source.run.edges())
    starts = edges[:-1]
    used = np.array([weights[a:b].any() for a, b in zip(starts, edges[1:], strict=True)])
    if not weights.all() and len(starts) < len(weights):
        raise InputError(
            "models without weight cannot share a block with others",
            found=f"{int((weights == 0).sum())} of {len(weights)} models weigh nothing",
            fix="make each model a member with --blocks 0, or leave these models out",
        )
    begin: np.ndarray = starts[used]
    return begin


def _mask(opened: SupercellFrames, select: str) -> np.ndarray | None:
    from unstill.ensembles.selection import atom_mask

    return None if select == "all" else atom_mask(opened.frames.atoms, select)
