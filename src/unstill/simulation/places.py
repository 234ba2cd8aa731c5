"""Where on the detector, and at which resolution, an effect is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.experiment import Experiment
from unstill.experiment.pixels import scattering_vectors


@dataclass(frozen=True, eq=False)
class Places:
    """Points on a detector; the arrays broadcast against each other.

    Parameters
    ----------
    panel
        Which panel, one number or one a point.
    x, y
        Fast and slow pixel coordinates, centres at i + ½.
    s
        1/d (Å⁻¹).
    """

    panel: int | np.ndarray
    x: np.ndarray
    y: np.ndarray
    s: np.ndarray


def places_at(experiment: Experiment, panel: int, x: np.ndarray, y: np.ndarray) -> Places:
    """Points of one panel, with their resolution."""
    vectors = scattering_vectors(experiment.beam, experiment.detector.panels[panel], x, y)
    return Places(
        panel, np.asarray(x, float), np.asarray(y, float), np.linalg.norm(vectors, axis=-1)
    )
