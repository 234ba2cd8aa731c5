"""Agreement of two maps against the distance from the Bragg positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.maps.bragg import bragg_distance
from unstill.maps.common_split import split_on_common_mask
from unstill.maps.correlation import pearson
from unstill.maps.intensity_map import IntensityMap


@dataclass(frozen=True)
class BraggDistanceBin:
    """Voxels at one distance (Å⁻¹) from the nearest integer hkl, and their agreement."""

    distance: float
    cc_aniso: float
    n: int


def bragg_profile(
    a: IntensityMap,
    b: IntensityMap,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    n_bins: int = 12,
) -> tuple[BraggDistanceBin, ...]:
    """Anisotropic correlation by distance from the nearest Bragg position.

    Halos around the Bragg peaks come from motions with long correlation
    lengths, the intensity between them from short ones; a model can be right
    about one and wrong about the other. Both maps are split once, on the whole
    common mask.

    Parameters
    ----------
    a, b
        Maps of one lattice and equal divisions.
    d_min, d_max
        Resolution limits (Å).
    n_bins
        Most bins to use. A grid has few distinct distances; where they are
        fewer, each is a bin of its own.

    Returns
    -------
    profile
        Nearest first; ``cc_aniso`` is NaN where a bin has fewer than three voxels.

    Raises
    ------
    InputError
        If the maps share no voxels or no lattice.
    """
    common = split_on_common_mask(a, b, d_min=d_min, d_max=d_max)
    distance = bragg_distance(common.a)[common.usable]
    aniso_a, aniso_b = common.aniso_a(), common.aniso_b()
    bins = _bins(distance, n_bins)
    return tuple(
        BraggDistanceBin(
            distance=float(distance[members].mean()),
            cc_aniso=pearson(aniso_a[members], aniso_b[members]),
            n=int(np.count_nonzero(members)),
        )
        for members in (bins == number for number in np.unique(bins))
    )


def _bins(distance: np.ndarray, n_bins: int) -> np.ndarray:
    distinct, number = np.unique(np.round(distance, 9), return_inverse=True)
    if len(distinct) <= n_bins:
        return number
    # Integer hkl stay alone: Bragg intensity leaks there first.
    n_others = max(1, n_bins - 1)
    width = distinct[-1] / n_others
    bins: np.ndarray = np.minimum((distance / width).astype(int), n_others - 1) + 1
    return np.where(distance == 0, 0, bins)
