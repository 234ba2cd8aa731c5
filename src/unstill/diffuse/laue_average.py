"""Laue averaging of values on one half of reciprocal space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import check_metric, map_to_asu


@dataclass(frozen=True, eq=False)
class LaueAverage:
    """Mean over the Laue orbit of each point of a half sphere.

    On the points rather than on the filled map, Friedel mates count once:
    they are copies and carry no information of their own.

    Parameters
    ----------
    orbit_of_point
        ``(n_points,)`` number of the orbit.
    size
        ``(n_orbits,)`` points of the half sphere in each: the number m of
        independent estimates of one intensity.
    """

    orbit_of_point: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, crystal: Crystal, divisions: Triple, index: np.ndarray) -> LaueAverage:
        """Find the orbits.

        Raises
        ------
        InputError
            If the unit cell or the divisions do not allow the Laue group.
        """
        check_metric(crystal)
        asu = map_to_asu(crystal, index.astype(np.int64), divisions)
        low = asu.min(axis=0)
        span = asu.max(axis=0) - low + 1
        h, k, l = np.moveaxis(asu - low, -1, 0)
        _, orbit_of_point, size = np.unique(
            (h * span[1] + k) * span[2] + l, return_inverse=True, return_counts=True
        )
        return cls(orbit_of_point.reshape(-1), size)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return each value replaced by the mean of its orbit."""
        sums = np.bincount(self.orbit_of_point, weights=values, minlength=len(self.size))
        averaged: np.ndarray = (sums / self.size)[self.orbit_of_point]
        return averaged

    @property
    def multiplicity(self) -> np.ndarray:
        """``(n_points,)`` independent points that were averaged at each point."""
        multiplicity: np.ndarray = self.size[self.orbit_of_point]
        return multiplicity
