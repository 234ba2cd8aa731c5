"""Frames that come in groups of one size, in groups of the sizes that are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from unstill.diffuse.frame_source import Frames


@dataclass(frozen=True, eq=False)
class FrameGroup:
    """Consecutive frames: ``coord (m, n_atoms, 3)`` and ``box (m, 3, 3)`` in Å."""

    coord: np.ndarray
    box: np.ndarray | None


def regroup(frames: Iterable[Frames], sizes: Iterable[int]) -> Iterator[FrameGroup]:
    """Yield the frames in groups of the given sizes, in order.

    No more is held than a group and what is read at a time. Where the frames
    end early, the last group is shorter, and never empty.

    Parameters
    ----------
    frames
        As they are read.
    sizes
        Frames of each group, 1 or more.
    """
    source = iter(frames)
    rest: FrameGroup | None = None
    for size in sizes:
        parts: list[FrameGroup] = []
        while (missing := size - sum(len(part.coord) for part in parts)) > 0:
            if rest is None:
                found = next(source, None)
                if found is None:
                    break
                rest = FrameGroup(found.coord, found.box)
            parts.append(_part(rest, 0, missing))
            rest = _part(rest, missing, None) if len(rest.coord) > missing else None
        group = _joined([part for part in parts if len(part.coord)])
        if group is None:
            return
        yield group
        if len(group.coord) < size:
            return


def _part(group: FrameGroup, start: int, stop: int | None) -> FrameGroup:
    wanted = slice(start, stop)
    return FrameGroup(group.coord[wanted], None if group.box is None else group.box[wanted])


def _joined(parts: list[FrameGroup]) -> FrameGroup | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    coord = np.concatenate([part.coord for part in parts])
    if all(part.box is None for part in parts):
        return FrameGroup(coord, None)
    # Zeros, not silence: a box that comes and goes must be noticed where boxes are checked.
    boxes = [np.zeros((len(part.coord), 3, 3)) if part.box is None else part.box for part in parts]
    return FrameGroup(coord, np.concatenate(boxes))
