"""A measured map as a list of Laue-unique points with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import has_symmetry_of, map_to_asu
from unstill.disorder.model import unique_points
from unstill.errors import InputError
from unstill.maps.common_split import outside_limits
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.isotropic import MIN_SHELLS
from unstill.shapes import Float, Int, Integer

Weighting = Literal["auto", "sigma", "shell", "equal"]
"""How residuals are weighted; see :func:`fit_data`."""

_FEWEST = 8
"""Shells with fewer points take the variance of the nearest fuller shell."""


@dataclass(frozen=True, eq=False)
class FitData:
    """What a fit minimises against.

    Parameters
    ----------
    index, divisions
        ``(n, 3)`` grid indices, one of each Laue orbit; hkl = index / divisions.
    intensity
        ``(n,)`` weighted mean of the measured members of each orbit.
    weight
        ``(n,)`` sum of their weights.
    s
        ``(n,)`` 1/d (Å⁻¹).
    step
        Length of the (1,1,1) vector of the grid (Å⁻¹), the width of a shell.
    n_voxels
        Measured voxels behind the points.
    weighting
        What the weights are: ``"sigma"``, ``"shell"`` or ``"equal"``.
    """

    index: Integer[np.ndarray, "points 3"]
    divisions: Triple
    intensity: Float[np.ndarray, " points"]
    weight: Float[np.ndarray, " points"]
    s: Float[np.ndarray, " points"]
    step: float
    n_voxels: int
    weighting: str

    @property
    def n_points(self) -> int:
        """Number of Laue orbits."""
        return len(self.s)

    @property
    def shell(self) -> Int[np.ndarray, " points"]:
        """Number of the resolution shell of each point, round(s / step)."""
        number: np.ndarray = np.floor(self.s / self.step + 0.5).astype(np.int64)
        return number


def fit_data(
    observed: IntensityMap,
    model_crystal: Crystal,
    *,
    d_min: float | None,
    d_max: float | None,
    weighting: Weighting = "auto",
) -> FitData:
    r"""Reduce a map to one point a Laue orbit.

    The weighted sum of squares over all voxels differs from the one over
    orbit means by a constant.

    Parameters
    ----------
    observed
        In the indexing of the model.
    model_crystal
        Where its Laue group is lower than that of the map, only Friedel mates
        are averaged.
    d_min, d_max
        Resolution limits (Å).
    weighting
        ``"sigma"``: w = 1/σ². ``"shell"``: w = 1/(variance of the intensity in
        the voxel's resolution shell), so that each shell has the same say.
        ``"equal"``: 1. ``"auto"``: sigma where the map has it, else shell.

    Raises
    ------
    InputError
        If nothing is measured between the limits, too few shells are, or
        sigma is asked of a map without it.
    """
    if weighting not in get_args(Weighting):
        raise InputError(
            "unknown weighting",
            found=repr(weighting),
            fix=f"choose from {', '.join(get_args(Weighting))}",
        )
    s = np.sqrt(observed.s_squared())
    usable = observed.measured & ~outside_limits(s, d_min=d_min, d_max=d_max)
    # The origin is the direct beam.
    usable &= s > 0
    if not usable.any():
        raise InputError(
            "nothing is measured between the resolution limits",
            found=f"d_min {d_min}, d_max {d_max}; the map ends at {observed.d_min:.2f} Å",
            fix="widen the limits",
        )
    divisions = observed.grid.divisions
    index, orbit = unique_points(
        map_to_asu(
            _averaging_crystal(observed.crystal, model_crystal),
            observed.grid.index()[usable],
            divisions,
        )
    )
    weight, kind = _voxel_weights(observed, usable, weighting)
    total = np.bincount(orbit, weights=weight)
    mean = np.bincount(orbit, weights=weight * observed.intensity[usable]) / total
    data = FitData(
        index,
        divisions,
        mean,
        total,
        np.sqrt(observed.crystal.s_squared(index / np.array(divisions))),
        float(np.sqrt(observed.crystal.s_squared(1 / np.array([divisions]))[0])),
        int(np.count_nonzero(usable)),
        kind,
    )
    if len(np.unique(data.shell)) < MIN_SHELLS:
        raise InputError(
            "too few resolution shells for a fit",
            found=f"{len(np.unique(data.shell))} shells, {data.n_points} points",
            fix="widen d_min and d_max",
        )
    return _weighted_by_shell(data) if kind == "shell" else data


def _averaging_crystal(observed: Crystal, model: Crystal) -> Crystal:
    if has_symmetry_of(model, observed):
        return observed
    return Crystal(observed.unit_cell, "P 1")


def _voxel_weights(
    observed: IntensityMap, usable: np.ndarray, weighting: Weighting
) -> tuple[np.ndarray, str]:
    kind: str = weighting
    if weighting == "auto":
        kind = "shell" if observed.sigma is None else "sigma"
    if kind != "sigma":
        return np.ones(int(np.count_nonzero(usable))), kind
    if observed.sigma is None:
        raise InputError("the map has no sigma to weight by", fix="use weighting='shell'")
    sigma = observed.sigma[usable]
    if not (sigma > 0).any():
        raise InputError(
            "no voxel has a positive sigma", found=sigma.max(), fix="use weighting='shell'"
        )
    # Rounded or failed sigmas of zero must not outweigh the map.
    floor = 0.1 * float(np.median(sigma[sigma > 0]))
    return 1 / np.maximum(sigma, floor) ** 2, kind


def _weighted_by_shell(data: FitData) -> FitData:
    shell = data.shell
    count = np.bincount(shell)
    mean = np.bincount(shell, data.intensity) / np.maximum(count, 1)
    squares = np.bincount(shell, (data.intensity - mean[shell]) ** 2)
    full = np.flatnonzero((count >= _FEWEST) & (squares > 0))
    if not len(full):
        return data
    variance = squares[full] / count[full]
    nearest = full[np.argmin(np.abs(np.arange(len(count))[:, None] - full), axis=1)]
    of_shell = variance[np.searchsorted(full, nearest)]
    return FitData(**{**data.__dict__, "weight": data.weight / of_shell[shell]})
