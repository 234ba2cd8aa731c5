"""What is known before indexing, and how to go about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from unstill.reduction.indexing.find_spots import SpotOptions
from unstill.reduction.indexing.geometry_model import Free


@dataclass(frozen=True)
class IndexOptions:
    """How frames are indexed.

    Parameters
    ----------
    unit_cell
        a, b, c (Å) and α, β, γ (degrees), if known.
    space_group
        If known.
    spots
        How spots are found.
    scan_varying
        Whether orientation and cell may drift over a sweep; ``None`` lets them
        where the sweep is long enough.
    knot_step
        Degrees between the knots of the drift.
    free
        Which geometry is refined.
    beam_search
        How far from its place the beam centre is looked for (pixels).
    try_reversed_axis
        Also try the rotation axis the other way round.
    max_cell
        Longest axis looked for when the cell is unknown (Å).
    """

    unit_cell: tuple[float, float, float, float, float, float] | None = None
    space_group: str | None = None
    spots: SpotOptions = field(default_factory=SpotOptions)
    scan_varying: bool | None = None
    knot_step: float = 10.0
    free: Free = field(default_factory=Free)
    beam_search: float = 8.0
    try_reversed_axis: bool = False
    max_cell: float | None = None
