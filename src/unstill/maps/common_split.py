"""Two maps on one grid and one mask, each split into its isotropic and anisotropic part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.isotropic import IsotropicSplit, split_isotropic
from unstill.maps.overlap import overlap
from unstill.shapes import Float, Mask


@dataclass(frozen=True, eq=False)
class CommonSplit:
    """What every comparison of two maps starts from.

    Parameters
    ----------
    a, b
        The maps on their common box.
    mask
        The common mask: True where either map is masked, or outside the
        resolution limits.
    split_a, split_b
        Each map split on the common mask. Both lack the voxels beyond the
        outermost shells; that mask is the same for both.
    s
        |s| of every voxel (Å⁻¹).
    """

    a: IntensityMap
    b: IntensityMap
    mask: Mask
    split_a: IsotropicSplit
    split_b: IsotropicSplit
    s: Float[np.ndarray, "h k l"]

    @property
    def usable(self) -> Mask:
        """True where both anisotropic parts are defined."""
        return self.split_a.anisotropic.measured

    def aniso_a(self) -> Float[np.ndarray, " voxels"]:
        """Anisotropic intensities of ``a`` at the usable voxels."""
        values: np.ndarray = self.split_a.anisotropic.intensity[self.usable]
        return values

    def aniso_b(self) -> Float[np.ndarray, " voxels"]:
        """Anisotropic intensities of ``b`` at the usable voxels."""
        values: np.ndarray = self.split_b.anisotropic.intensity[self.usable]
        return values


def split_on_common_mask(
    a: IntensityMap, b: IntensityMap, *, d_min: float | None = None, d_max: float | None = None
) -> CommonSplit:
    """Crop, intersect the masks, and split each map on what is left.

    Intersecting first matters: shells over different voxels would leave an
    isotropic difference in the anisotropic parts.

    Parameters
    ----------
    a, b
        Maps of one lattice and equal divisions.
    d_min, d_max
        Resolution limits (Å), inclusive, by the cell of ``a``.

    Raises
    ------
    InputError
        If the maps have no common voxels, or too few for an isotropic curve.
    """
    a, b = overlap(a, b)
    # One cell decides for both, so that a voxel lies in the same shell of each.
    b = b.replace(crystal=a.crystal)
    s = np.sqrt(a.s_squared())
    mask = a.mask | b.mask | outside_limits(s, d_min=d_min, d_max=d_max)
    if mask.all():
        raise InputError(
            "the maps have no common voxels",
            found=f"{a.n_measured} and {b.n_measured} usable voxels in the common box, "
            f"none usable in both with d_min {d_min}, d_max {d_max}",
            fix="check the masks and the resolution limits, or expand both maps by symmetry: "
            "unstill map symmetrize --expand",
        )
    return CommonSplit(a, b, mask, split_isotropic(a, mask=mask), split_isotropic(b, mask=mask), s)


def outside_limits(
    s: Float[np.ndarray, "h k l"], *, d_min: float | None, d_max: float | None
) -> Mask:
    """Whether voxels of length |s| (Å⁻¹) lie outside d_min ≤ d ≤ d_max (Å).

    Raises
    ------
    InputError
        If a limit is not positive, or d_max is not larger than d_min.
    """
    for name, value in (("d_min", d_min), ("d_max", d_max)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} must be positive", found=value, fix="give it in angstroms")
    if d_min is not None and d_max is not None and d_max <= d_min:
        raise InputError(
            "d_max must be larger than d_min",
            found=f"d_max {d_max:g} Å, d_min {d_min:g} Å",
            fix="exchange them",
        )
    outside = np.zeros(s.shape, dtype=bool)
    if d_min is not None:
        outside |= s > (1 + 1e-9) / d_min
    if d_max is not None:
        outside |= s < (1 - 1e-9) / d_max
    return outside
