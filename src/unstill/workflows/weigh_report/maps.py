"""The maps: anisotropic data, weighted members, and what is left."""

from __future__ import annotations

import numpy as np

from unstill.maps.intensity_map import IntensityMap
from unstill.maps.isotropic import split_isotropic
from unstill.maps.thin_out import thin_out
from unstill.report.blocks import Block, FigureBlock
from unstill.weighting.prepare import map_of_orbits
from unstill.weighting.result import Weighed
from unstill.workflows.weigh_report.figures import map_slices, planes_of


def map_blocks(result: Weighed) -> list[Block]:
    """Slices of both maps and of their difference."""
    observed, weighted = anisotropic_maps(result)
    planes = planes_of(observed)
    if not planes:
        return []
    words = " and ".join(f"l = {'½' if value == 0.5 else f'{value:g}'}" for value in planes)
    sampling = (
        " The map holds whole indices only, so l = 1 stands in for l = ½." if 1.0 in planes else ""
    )
    return [
        FigureBlock(
            map_slices(observed, weighted, planes),
            f"Slices {words} of what remains above the smooth isotropic curve, averaged over the "
            "Laue group, on one colour scale. Work and free points are not told apart. Hatched: "
            f"not measured, masked, or out of range.{sampling}",
            "Good: data and weighted members share their features and the difference is "
            "structureless. Bad: features stay in the difference; these members, so "
            "weighted, do not have them.",
            panels=True,
        )
    ]


def anisotropic_maps(result: Weighed) -> tuple[IntensityMap, IntensityMap]:
    """Anisotropic parts of the data and of the weighted map, on the scale and grid of the data.

    Split on the grid of the supercell, as the comparison was, and thinned afterwards.
    """
    weighted = result.weighted_map
    observed = _observed_at_orbits(result)
    hidden = weighted.mask | observed.mask
    split = [
        split_isotropic(one.replace(sigma=None, mask=hidden)).anisotropic
        for one in (observed, weighted)
    ]
    divisions = result.observed_map.grid.divisions
    return thin_out(split[0], divisions), thin_out(split[1], divisions)


def _observed_at_orbits(result: Weighed) -> IntensityMap:
    """Spread the data over the whole sphere, as they entered the fit."""
    data = result.observed
    return map_of_orbits(data.orbits, np.where(data.measured, data.intensity, np.nan))
