"""Anisotropic parts of columns of a merged table, without a box about them.

The same numbers as :func:`unstill.maps.common_split.split_on_common_mask` gives
for maps of representatives. A box is mostly empty, and eight of them for the
halves of a large map would take more memory than the reduction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal.symmetry import map_to_asu
from unstill.errors import InputError
from unstill.maps.correlation_interval import bootstrap_interval
from unstill.maps.isotropic import MIN_SHELLS
from unstill.reduction.merging.merged import Merged
from unstill.shapes import Bool, Float

N_BLOCKS = 64


@dataclass(frozen=True, eq=False)
class VoxelSplit:
    """Anisotropic parts of columns, on the voxels that all of them have.

    Parameters
    ----------
    voxels
        ``(n,)`` rows of the table.
    s
        ``(n,)`` 1/d (Å⁻¹).
    parts
        ``(n,)`` a column: its intensity less its isotropic curve.
    """

    voxels: np.ndarray
    s: Float[np.ndarray, " n"]
    parts: tuple[Float[np.ndarray, " n"], ...]


def split_voxels(
    merged: Merged,
    columns: tuple[Float[np.ndarray, " v"], ...],
    usable: Bool[np.ndarray, " v"],
    *,
    d_min: float | None = None,
    d_max: float | None = None,
) -> VoxelSplit:
    """Take the isotropic curve of each column away, on common voxels.

    Parameters
    ----------
    merged
        The table.
    columns
        Intensities.
    usable
        Voxels that may be used.
    d_min, d_max
        Resolution limits (Å), inclusive.

    Raises
    ------
    InputError
        If there are too few voxels for an isotropic curve.
    """
    s = merged.s()
    chosen = usable.copy()
    for column in columns:
        chosen &= np.isfinite(column)
    if d_min is not None:
        chosen &= s <= (1 + 1e-9) / d_min
    if d_max is not None:
        chosen &= s >= (1 - 1e-9) / d_max
    voxels = np.flatnonzero(chosen)
    hkl = merged.index[voxels] / np.array(merged.divisions)
    step_squared = merged.crystal.s_squared(1 / np.array([merged.divisions]))[0]
    # As in maps.isotropic to the last bit: many voxels lie just between two shells.
    radius = np.sqrt(merged.crystal.s_squared(hkl) / step_squared)
    number = np.floor(radius + 0.5).astype(np.int64)
    count = np.bincount(number)
    knots = np.flatnonzero(count)
    if len(knots) < MIN_SHELLS:
        raise InputError(
            "too few resolution shells for an isotropic curve",
            found=f"{len(knots)} shells, {len(voxels)} voxels",
            fix="widen the limits of resolution",
        )
    inside = (radius >= knots[0]) & (radius <= knots[-1])
    voxels, radius_inside = voxels[inside], radius[inside]
    parts = []
    for column in columns:
        total = np.bincount(number, weights=column[chosen])
        parts.append(column[voxels] - _curve(knots, total[knots] / count[knots], radius_inside))
    return VoxelSplit(voxels, s[voxels], tuple(parts))


def interval_of(merged: Merged, split: VoxelSplit) -> tuple[float, float]:
    """95 % interval of the correlation of the first two parts; see ``correlation_interval``."""
    wedge = map_to_asu(merged.crystal, merged.index[split.voxels], merged.divisions)
    edge = max(1, round((len(wedge) / N_BLOCKS) ** (1 / 3)))
    block = wedge // edge
    if not len(block):
        return float("nan"), float("nan")
    low = block.min(axis=0)
    span = block.max(axis=0) - low + 1
    label = np.ravel_multi_index(tuple((block - low).T), tuple(span))
    return bootstrap_interval(label, split.parts[0], split.parts[1])


def _curve(knots: np.ndarray, mean: np.ndarray, radius: np.ndarray) -> np.ndarray:
    from scipy.interpolate import CubicSpline

    curve: np.ndarray = CubicSpline(knots, mean, bc_type="not-a-knot")(radius)
    return curve
