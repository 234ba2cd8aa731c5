"""Miller indices of spots, and which of them a refined lattice explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.experiment import Experiment
from unstill.reduction.indexing.crystal_motion import CrystalMotion
from unstill.reduction.indexing.prediction import crystal_frame, geometry_of
from unstill.reduction.indexing.spots import Spots
from unstill.reduction.indexing.turning import NEAR_AXIS, angles, crossing_rates

LOOSE = 0.3
"""Distance of a Miller coordinate from an integer up to which a spot is indexed."""

_CUT = 6.0


@dataclass(frozen=True, eq=False)
class Assigned:
    """Miller indices of all spots.

    Parameters
    ----------
    hkl
        ``(n, 3)`` nearest integers.
    distance
        ``(n,)`` largest distance of a coordinate from its integer.
    indexed
        ``(n,)`` bool: within the tolerance, and not 0,0,0.
    """

    hkl: np.ndarray
    distance: np.ndarray
    indexed: np.ndarray


def crystal_points(experiment: Experiment, spots: Spots) -> np.ndarray:
    """``(n, 3)`` reciprocal vectors of spots in the frame of the crystal (Å⁻¹)."""
    return crystal_frame(
        geometry_of(experiment), spots.scattering_vectors(experiment), angles(experiment, spots)
    )


def assign_indices(
    experiment: Experiment, motion: CrystalMotion, spots: Spots, *, tolerance: float = LOOSE
) -> Assigned:
    """Give every spot the nearest reciprocal lattice point.

    Parameters
    ----------
    experiment
        Geometry; its own lattice is not looked at.
    motion
        The crystal.
    spots
        All spots.
    tolerance
        Largest distance of each coordinate from an integer.
    """
    points = crystal_points(experiment, spots)
    inverse = np.linalg.inv(motion.matrices(spots.frame))
    hkl = np.einsum("nij,nj->ni", inverse, points)
    nearest = np.rint(hkl)
    distance = np.abs(hkl - nearest).max(axis=1) if len(hkl) else np.zeros(0)
    indexed = (distance <= tolerance) & np.any(nearest != 0, axis=1)
    return Assigned(nearest.astype(int), distance, indexed)


def within_spread(
    experiment: Experiment,
    spots: Spots,
    residuals: np.ndarray,
    *,
    smallest: tuple[float, float],
) -> np.ndarray:
    """Which residuals are no outliers: within six robust standard deviations of each kind.

    The angle of spots that the ends of the scan cut is not judged. That of
    others may be off by more the closer they are to the rotation axis.

    Parameters
    ----------
    experiment, spots
        What the residuals belong to.
    residuals
        ``(n, 3)`` fast, slow (pixels), angle (degrees); NaN is an outlier.
    smallest
        Limits that are never undercut, pixels and degrees.
    """
    seen = np.isfinite(residuals[:, 0])
    if not seen.any():
        return np.zeros(len(residuals), bool)
    scaled = np.abs(np.nan_to_num(residuals))
    scaled[:, 2] *= np.maximum(crossing_rates(experiment, spots), NEAR_AXIS)
    spread = 1.4826 * np.median(scaled[seen], axis=0)
    limit = np.maximum(_CUT * spread, [smallest[0], smallest[0], smallest[1]])
    close = scaled <= limit
    close[:, 2] |= spots.at_end
    inside: np.ndarray = seen & np.all(close, axis=1)
    return inside
