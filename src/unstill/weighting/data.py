"""The observed map at the Laue orbits of the members: values, weights, curves."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.interpolate import BSpline, CubicSpline
from scipy.sparse import csr_array

from unstill.errors import InputError, UnstillWarning
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.isotropic import MIN_SHELLS
from unstill.maps.mate_spread import sigma_from_mates
from unstill.maps.null_control import shuffled_within
from unstill.maps.symmetrize import symmetrize
from unstill.shapes import Bool, Float, Int
from unstill.weighting.orbits import Orbits

_ROUNDING = 1e-9
"""Of the largest intensity; no map has features below it."""

_FEWEST = 8
"""Shells with fewer orbits take the variance of the nearest fuller shell."""


@dataclass(frozen=True, eq=False)
class Observed:
    """Observed intensity, one number a Laue orbit.

    Parameters
    ----------
    orbits
        Where.
    intensity
        ``(n_orbits,)`` mean of the measured mates; 0 where there are none.
    precision
        ``(n_orbits,)`` 1/σ², σ that of the mean; 0 where nothing was measured.
    sigma_source
        ``"file"``, ``"mates"`` (spread of Laue mates) or ``"shell"``: no σ is
        known, and the spread of the intensity in each shell of resolution,
        divided by √(members), stands for it, so that all shells have the same say.
    """

    orbits: Orbits
    intensity: Float[np.ndarray, " orbits"]
    precision: Float[np.ndarray, " orbits"]
    sigma_source: str

    @property
    def measured(self) -> Bool[np.ndarray, " orbits"]:
        """``(n_orbits,)`` True where the map has a value."""
        return self.precision > 0

    @cached_property
    def multiplicity(self) -> Float[np.ndarray, " orbits"]:
        """Voxels of each measured orbit, by which correlations count; 0 elsewhere."""
        voxels: np.ndarray = np.where(self.measured, 2.0 * self.orbits.size, 0.0)
        return voxels

    @cached_property
    def shell_of(self) -> Float[np.ndarray, "orbits n_shells"]:
        """1 where an orbit lies in a shell, else 0; shells that hold nothing are left out."""
        shells = np.unique(self.orbits.shell[self.measured])
        of_shell: np.ndarray = (self.orbits.shell[:, None] == shells).astype(float)
        return of_shell

    @cached_property
    def interpolation(self) -> Float[np.ndarray, "orbits n_shells"]:
        """Every isotropic curve: ``interpolation @ means`` is the spline through shell means.

        Its columns span what a comparison of maps may subtract, and so do what
        a fit leaves free.
        """
        knots = np.unique(self.orbits.shell[self.measured]).astype(float)
        spline = CubicSpline(knots, np.eye(len(knots)), bc_type="not-a-knot")
        inside = np.clip(self.orbits.radius, knots[0], knots[-1])
        return np.asarray(spline(inside))

    @cached_property
    def curve_basis(self) -> csr_array:
        """``(n_orbits, n_shells)`` B-splines of the same curves; four of them at a point."""
        knots = np.unique(self.orbits.shell[self.measured]).astype(float)
        # Not-a-knot: the third derivative does not jump at the last knots but one.
        ends = [knots[0]] * 4, [knots[-1]] * 4
        radius = np.clip(self.orbits.radius, knots[0], knots[-1])
        return csr_array(BSpline.design_matrix(radius, np.r_[ends[0], knots[2:-2], ends[1]], 3))

    @cached_property
    def inside(self) -> Bool[np.ndarray, " orbits"]:
        """Where the isotropic curve is defined: not beyond the outermost shells."""
        knots = np.unique(self.orbits.shell[self.measured])
        radius = self.orbits.radius
        within: np.ndarray = (radius >= knots[0]) & (radius <= knots[-1])
        return within

    def permuted(self, seed: int | list[int]) -> Observed:
        """Exchange the anisotropic parts of the measured orbits within shells: the null control.

        The isotropic curve stays, and so do the spread in every shell and the
        σ of every value; where the features are is lost.
        """
        used = np.flatnonzero(self.measured)
        source = used[shuffled_within(self.orbits.shell[used], np.random.default_rng(seed))]
        curve = self.isotropic_curve()
        intensity, precision = self.intensity.copy(), self.precision.copy()
        intensity[used] = curve[used] + (self.intensity - curve)[source]
        # An orbit of another size has another σ of the mean: what travels is that of a voxel.
        per_voxel = self.precision[source] / self.orbits.size[source]
        precision[used] = per_voxel * self.orbits.size[used]
        return replace(self, intensity=intensity, precision=precision)

    def isotropic_curve(self) -> Float[np.ndarray, " orbits"]:
        """Spline through the means of shells at every orbit."""
        share = self.multiplicity
        mean = (share * self.intensity) @ self.shell_of / (share @ self.shell_of)
        curve: np.ndarray = self.interpolation @ mean
        return curve


def observe(observed: IntensityMap, orbits: Orbits) -> Observed:
    """Take a map to the orbits of the members.

    Parameters
    ----------
    observed
        On the lattice and in the indexing of the members; its divisions may be
        those of the supercell or a part of them.
    orbits
        Of the members.

    Raises
    ------
    InputError
        If nothing is measured at the orbits, or in too few shells.
    """
    observed = _without_refused(observed)
    if not observed.measured.any():
        raise InputError(
            "the observed map is masked everywhere",
            found=f"{observed.grid.size} voxels, none usable",
            fix="check the mask of the map: unstill map info",
        )
    source = "file"
    if observed.sigma is None:
        sigma = sigma_from_mates(observed)
        source = "shell" if sigma is None else "mates"
        observed = observed.replace(sigma=sigma)
    averaged = symmetrize(observed, expand=True)
    steps = np.array(orbits.divisions) // np.array(observed.grid.divisions)
    on_grid = np.all(orbits.index % steps == 0, axis=1)
    index = orbits.index // steps
    inside = on_grid & averaged.grid.contains(index)
    place = averaged.grid.position(index[inside])
    measured = np.zeros(orbits.n_orbits, dtype=bool)
    measured[inside] = averaged.measured.ravel()[place]
    if len(np.unique(orbits.shell[measured])) < MIN_SHELLS:
        raise InputError(
            "the observed map and the members share too little",
            found=f"{int(measured.sum())} Laue-unique points in "
            f"{len(np.unique(orbits.shell[measured]))} shells of resolution",
            fix="widen the resolution limits, or check the mask of the map",
        )
    intensity = np.zeros(orbits.n_orbits)
    intensity[inside] = averaged.intensity.ravel()[place]
    intensity[~measured] = 0.0
    _check_features(orbits, intensity, measured)
    precision = np.zeros(orbits.n_orbits)
    if averaged.sigma is None:
        precision[measured] = _shell_precision(orbits, intensity, measured)[measured]
    else:
        sigma = np.zeros(orbits.n_orbits)
        sigma[inside] = averaged.sigma.ravel()[place]
        precision[measured] = _precision(sigma[measured])
    return Observed(orbits, intensity, precision, source)


def _without_refused(observed: IntensityMap) -> IntensityMap:
    """Leave out voxels of negative σ: a flag of programs, not a number to weigh by."""
    if observed.sigma is None:
        return observed
    refused = observed.measured & (observed.sigma < 0)
    n = int(np.count_nonzero(refused))
    if not n:
        return observed
    warnings.warn(
        f"{n} voxels of the observed map have a negative sigma and are left out",
        UnstillWarning,
        stacklevel=4,
    )
    return observed.replace(mask=observed.mask | refused)


def _check_features(orbits: Orbits, intensity: np.ndarray, measured: np.ndarray) -> None:
    """Refuse a map of which only rounding would be correlated."""
    shell, values = orbits.shell[measured], intensity[measured]
    mean = np.bincount(shell, values) / np.maximum(np.bincount(shell), 1)
    if np.abs(values - mean[shell]).max() <= _ROUNDING * np.abs(values).max():
        raise InputError(
            "the observed map has no anisotropic part",
            found="intensities that are equal in every shell",
            fix="check that this is the diffuse map, and that it is not flattened",
        )


def _precision(sigma: np.ndarray) -> np.ndarray:
    if not (sigma > 0).any():
        raise InputError(
            "no voxel of the observed map has a positive sigma",
            found=f"largest {sigma.max():g}",
            fix="give a map with sigma, or without any",
        )
    # Rounded or failed sigmas of zero must not outweigh the map.
    floor = 0.1 * float(np.median(sigma[sigma > 0]))
    precision: np.ndarray = 1 / np.maximum(sigma, floor) ** 2
    return precision


def _shell_precision(orbits: Orbits, intensity: np.ndarray, measured: np.ndarray) -> np.ndarray:
    shell = orbits.shell
    count = np.bincount(shell[measured])
    mean = np.bincount(shell[measured], intensity[measured]) / np.maximum(count, 1)
    squares = np.bincount(shell[measured], (intensity[measured] - mean[shell[measured]]) ** 2)
    full = np.flatnonzero((count >= _FEWEST) & (squares > 0))
    if not len(full):
        full = np.flatnonzero(squares > 0)
    variance = squares[full] / count[full]
    nearest = np.argmin(np.abs(shell[:, None] - full), axis=1)
    precision: np.ndarray = orbits.size / variance[nearest]
    return precision


def blocks_of(
    orbits: Orbits, counted: Bool[np.ndarray, " orbits"], n_blocks: int
) -> Int[np.ndarray, " orbits"]:
    """Label each orbit with a cubic block of the asymmetric wedge.

    Diffuse features are wider than a voxel, so that neighbours are not
    independent; mates are one orbit already.

    Parameters
    ----------
    orbits
        The orbits.
    counted
        Which to count when the width of a block is chosen.
    n_blocks
        Blocks to aim at; those at the rim are partly empty.
    """
    # A single voxel is no block, however few there are.
    edge = max(2, round((int(counted.sum()) / n_blocks) ** (1 / 3)))
    _, label = np.unique(orbits.index // edge, axis=0, return_inverse=True)
    labels: np.ndarray = label.ravel()
    return labels
