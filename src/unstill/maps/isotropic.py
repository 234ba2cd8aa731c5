"""The isotropic–anisotropic split: a smooth curve in |s|, and the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Bool, Float, Mask

MIN_SHELLS = 4
"""A not-a-knot cubic spline needs four knots."""


@dataclass(frozen=True, eq=False)
class IsotropicSplit:
    """A map as the sum of a curve in |s| and of what is left.

    Parameters
    ----------
    isotropic, anisotropic
        Maps that sum to the original; masked where the original was, where
        the caller's mask was, and beyond the outermost shells.
    s
        ``(n_shells,)`` |s| of the knots (Å⁻¹).
    shell_mean
        ``(n_shells,)`` mean intensity of each shell.
    shell_count
        ``(n_shells,)`` voxels behind each mean.
    """

    isotropic: IntensityMap
    anisotropic: IntensityMap
    s: Float[np.ndarray, " shells"]
    shell_mean: Float[np.ndarray, " shells"]
    shell_count: np.ndarray


def split_isotropic(full: IntensityMap, *, mask: Mask | None = None) -> IsotropicSplit:
    """Split a map into an isotropic curve and the anisotropic rest (the lunus rule).

    With r = |s|/s₀, s₀ the length of the (1,1,1) grid vector, voxels fall into
    shells round(r); a not-a-knot cubic spline runs through the points (shell
    number, mean of the shell). I_aniso = I − spline(r).

    Parameters
    ----------
    full
        The map.
    mask
        True where a voxel shall not be used, beyond the map's own mask. For a
        comparison give the mask of the other map, so that both are split on
        the same voxels.

    Raises
    ------
    InputError
        If fewer than four shells hold a usable voxel.

    References
    ----------
    Wall, M. E. (2009). Methods and software for diffuse X-ray scattering from
    protein crystals. *Methods Mol. Biol.* 544, 269–279.
    https://doi.org/10.1007/978-1-59745-483-4_17
    """
    usable = full.measured if mask is None else full.measured & ~mask
    shells = shell_radius(full)
    number = np.floor(shells[usable] + 0.5).astype(np.int64)
    count = np.bincount(number)
    total = np.bincount(number, weights=full.intensity[usable])
    knots = np.flatnonzero(count)
    if len(knots) < MIN_SHELLS:
        raise InputError(
            "too few resolution shells for an isotropic curve",
            found=f"{len(knots)} shells with usable voxels, {int(usable.sum())} voxels in all",
            fix=f"widen d_min and d_max or unmask voxels, to have at least {MIN_SHELLS} shells",
        )
    mean = total[knots] / count[knots]
    curve, inside = _curve(shells, knots, mean)
    excluded = ~(usable & inside)
    grid_step = float(np.sqrt(_step_squared(full)))
    return IsotropicSplit(
        isotropic=full.replace(intensity=curve, sigma=None, mask=excluded),
        anisotropic=full.replace(intensity=full.intensity - curve, mask=excluded),
        s=knots * grid_step,
        shell_mean=mean,
        shell_count=count[knots],
    )


def shell_radius(full: IntensityMap) -> Float[np.ndarray, "h k l"]:
    """|s| of every voxel in units of the (1,1,1) vector of the grid."""
    radius: np.ndarray = np.sqrt(full.s_squared() / _step_squared(full))
    return radius


def _step_squared(full: IntensityMap) -> float:
    return float(full.crystal.s_squared(1 / np.array([full.grid.divisions]))[0])


def _curve(
    shells: Float[np.ndarray, "h k l"], knots: np.ndarray, mean: np.ndarray
) -> tuple[Float[np.ndarray, "h k l"], Bool[np.ndarray, "h k l"]]:
    # The spline is not extrapolated: beyond the outermost knots a cubic runs away.
    inside = (shells >= knots[0]) & (shells <= knots[-1])
    curve = np.full(shells.shape, np.nan)
    curve[inside] = CubicSpline(knots, mean, bc_type="not-a-knot")(shells[inside])
    return curve, inside
