"""How the agreement with a given map grows with the number of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.diffuse.cc_max import cc_max
from unstill.diffuse.intensity import diffuse_intensity
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
from unstill.maps.correlation import correlate
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.thin_out import thin_out, thin_out_sums


@dataclass(frozen=True)
class ConvergencePoint:
    """Agreement of the map of the first ``n_blocks`` blocks with the given map.

    ``cc_max`` is the split-half ceiling of the same blocks at the points of that
    map, NaN for too few.
    """

    n_blocks: int
    n_frames: int
    cc_total: float
    cc_aniso: float
    cc_max: float


def convergence(
    sums: BlockSums,
    target: IntensityMap,
    *,
    selection: str = "all",
    counts: Sequence[int] | None = None,
    d_min: float | None = None,
    d_max: float | None = None,
) -> list[ConvergencePoint]:
    """Compare the maps of the first 1, 2, 4, … blocks with a map.

    Parameters
    ----------
    sums
        Blocks in the order of time.
    target
        A measured or a model map, sampled like the sums or more coarsely (the
        common points are then compared).
    selection
        Which atoms.
    counts
        Numbers of blocks; by default powers of two and all.
    d_min, d_max
        Resolution limits (Å).

    Raises
    ------
    InputError
        If a count is out of range, or the maps share no voxels.
    """
    counts = counts if counts is not None else _powers_of_two(sums.n_blocks)
    if not counts or min(counts) < 1 or max(counts) > sums.n_blocks:
        raise InputError(
            "numbers of blocks are out of range",
            found=list(counts),
            fix=f"give numbers from 1 to {sums.n_blocks}",
        )
    points = []
    for count in counts:
        part = sums.take(np.arange(count))
        found = correlate(
            thin_out(
                diffuse_intensity(part, selection=selection, with_sigma=False),
                target.grid.divisions,
            ),
            target,
            d_min=d_min,
            d_max=d_max,
        )
        points.append(
            ConvergencePoint(
                n_blocks=count,
                n_frames=part.total_frames,
                cc_total=found.cc_total,
                cc_aniso=found.cc_aniso,
                cc_max=_ceiling(
                    thin_out_sums(part, target.grid.divisions), selection, d_min, d_max
                ),
            )
        )
    return points


def _ceiling(part: BlockSums, selection: str, d_min: float | None, d_max: float | None) -> float:
    if part.n_blocks < 2 or part.n_frames.min() < 2:
        return float("nan")
    return cc_max(part, selection=selection, d_min=d_min, d_max=d_max).split_half


def _powers_of_two(n_blocks: int) -> list[int]:
    counts = [2**power for power in range(n_blocks.bit_length()) if 2**power < n_blocks]
    return [*counts, n_blocks]
