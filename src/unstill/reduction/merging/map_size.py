"""Which voxels of a merged data set go into the box of a map."""

from __future__ import annotations

import warnings

from unstill.crystal import HklGrid
from unstill.errors import UnstillWarning
from unstill.maps import IntensityMap
from unstill.reduction.merging.merged import Merged

MOST_VOXELS = 20_000_000
"""A box of more voxels takes more than 0.5 GB with its uncertainties, and as much to write."""


def fitting_map(merged: Merged) -> IntensityMap:
    """Return the map with all mates filled in, or of representatives where that is too large.

    Warns
    -----
    UnstillWarning
        If mates are left out: the map holds one voxel of each Laue orbit, like a fine map.
    """
    if fits(merged):
        return merged.map
    grid = box_with_mates(merged)
    warnings.warn(
        f"the map would have {grid.size / 1e6:.0f} million voxels with all symmetry mates; it is "
        "written with one of each; unstill map symmetrize --expand fills in the others, "
        "and d_min in [frames] of --config or lower --divisions make it smaller",
        UnstillWarning,
        stacklevel=2,
    )
    return merged.to_map(expand=False)


def fits(merged: Merged) -> bool:
    """Whether the box with all mates is small enough to be in memory."""
    return box_with_mates(merged).size <= MOST_VOXELS


def box_with_mates(merged: Merged) -> HklGrid:
    """Box that holds all voxels and their mates."""
    return merged.grid if merged.grid is not None else merged.box(merged.operations)


def plane_map(merged: Merged, axis: int, place: int) -> IntensityMap:
    """Return one plane of the map, mates filled in, whatever the size of the whole.

    Parameters
    ----------
    merged
        The data.
    axis
        0, 1 or 2: the index that is constant.
    place
        Its grid index.
    """
    whole = box_with_mates(merged)
    start, shape = list(whole.start), list(whole.shape)
    start[axis], shape[axis] = place, 1
    h, k, l = start
    n_h, n_k, n_l = shape
    return merged.boxed(HklGrid((h, k, l), (n_h, n_k, n_l), whole.divisions), expand=True)
