"""Observed spots as a table."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from unstill.experiment import Experiment
from unstill.experiment.pixels import scattering_vectors


@dataclass(frozen=True, eq=False)
class Spots:
    """Observed spots, one a row.

    Parameters
    ----------
    panel
        ``(n,)`` int.
    fast, slow
        ``(n,)`` centroid, continuous pixel coordinates.
    frame
        ``(n,)`` centroid along the scan; i + 0.5 is the middle of frame i.
    variance
        ``(n, 3)`` of fast and slow (px²) and frame (frames²).
    intensity
        ``(n,)`` photons above background.
    n_pixels
        ``(n,)`` strong pixels.
    first_frame, last_frame
        ``(n,)`` frames that it was seen on, both included.
    overloaded
        ``(n,)`` whether a pixel counted too much.
    cut
        ``(n,)`` whether it touches the edge of a panel or a pixel without a measurement: its
        place is off.
    at_end
        ``(n,)`` whether it is on the first or last frame of a scan, and may have begun before
        or go on after it: its angle is off.
    """

    panel: np.ndarray
    fast: np.ndarray
    slow: np.ndarray
    frame: np.ndarray
    variance: np.ndarray
    intensity: np.ndarray
    n_pixels: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    overloaded: np.ndarray
    cut: np.ndarray
    at_end: np.ndarray

    def __len__(self) -> int:
        return len(self.panel)

    @property
    def whole(self) -> np.ndarray:
        """``(n,)`` bool: which were seen entire."""
        seen: np.ndarray = ~(self.cut | self.at_end)
        return seen

    def select(self, keep: np.ndarray) -> Spots:
        """Return some of the spots: a mask or indices."""
        return Spots(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})

    def scattering_vectors(self, experiment: Experiment) -> np.ndarray:
        """``(n, 3)`` s = s₁ − s₀ of the centroids in the laboratory (Å⁻¹)."""
        vectors = np.empty((len(self), 3))
        for i, panel in enumerate(experiment.detector.panels):
            here = self.panel == i
            vectors[here] = scattering_vectors(
                experiment.beam, panel, self.fast[here], self.slow[here]
            )
        return vectors
