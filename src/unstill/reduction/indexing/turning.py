"""How the crystal turns while spots are measured."""

from __future__ import annotations

import numpy as np

from unstill.experiment import Experiment
from unstill.reduction.indexing.spots import Spots

NEAR_AXIS = 0.05
"""Crossing rate below which a spot is so close to the axis that its angle means nothing."""


def turns_during(experiment: Experiment) -> bool:
    """Whether the crystal turns while a frame is taken."""
    scan = experiment.scan
    return scan is not None and abs(float(scan.phi_width or 0.0)) > 0


def angles(experiment: Experiment, spots: Spots) -> np.ndarray:
    """``(n,)`` rotation angles of centroids (degrees); 0 for a still."""
    if experiment.scan is None:
        return np.zeros(len(spots))
    return experiment.scan.phi(spots.frame)


def crossing_rates(experiment: Experiment, spots: Spots) -> np.ndarray:
    """``(n,)`` |ζ|: how fast a turn takes spots through the Ewald sphere.

    ζ = e·(s₁ × s₀)/|s₁ × s₀| is 0 on the rotation axis e and 1 across it. An
    error of the angle is 1/|ζ| of one of the orientation. 1 where nothing turns.
    """
    if not turns_during(experiment) or experiment.goniometer is None:
        return np.ones(len(spots))
    s0 = experiment.beam.s0
    across = np.cross(spots.scattering_vectors(experiment) + s0, s0)
    length = np.linalg.norm(across, axis=1)
    safe = np.where(length > 0, length, 1.0)
    rates: np.ndarray = np.abs(across @ experiment.goniometer.lab_axis) / safe
    return rates
