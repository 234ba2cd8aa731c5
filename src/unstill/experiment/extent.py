"""What a detector reaches: the direct beam on it, and its resolution limits."""

from __future__ import annotations

import numpy as np

from unstill.experiment.beam import Beam
from unstill.experiment.detector import Detector, Panel
from unstill.experiment.pixels import scattering_vectors
from unstill.experiment.predict import ray_to_pixel, rays_to_pixels


def beam_center(beam: Beam, detector: Detector) -> tuple[int, float, float] | None:
    """Panel and pixel coordinates (fast, slow) of the direct beam.

    On a detector of one panel the point may lie beside it; ``None`` where the
    beam meets none of several panels, or runs away from the only one.
    """
    ray = beam.s0[None]
    panel, fast, slow = rays_to_pixels(detector, ray)
    if panel[0] >= 0:
        return int(panel[0]), float(fast[0]), float(slow[0])
    if len(detector.panels) > 1:
        return None
    beside = ray_to_pixel(detector.panels[0], ray)
    found = float(beside[0][0]), float(beside[1][0])
    return (0, *found) if np.all(np.isfinite(found)) else None


def corner_resolution(beam: Beam, detector: Detector) -> float:
    """Spacing d (Å) at the pixel farthest from the direct beam."""
    longest = max(float(_lengths(beam, panel).max()) for panel in detector.panels)
    return 1 / longest


def edge_resolution(beam: Beam, detector: Detector) -> float | None:
    """Spacing d (Å) of the largest full ring on a panel that the direct beam hits.

    ``None`` for several panels, and where the beam misses the only one or hits its rim.
    """
    center = beam_center(beam, detector)
    if center is None or len(detector.panels) > 1:
        return None
    panel, (_, fast, slow) = detector.panels[0], center
    if not (0 < fast < panel.image_size[0] and 0 < slow < panel.image_size[1]):
        return None
    return 1 / float(_lengths(beam, panel).min())


def _lengths(beam: Beam, panel: Panel) -> np.ndarray:
    """|s| (Å⁻¹) along the border of a panel."""
    n_fast, n_slow = panel.image_size
    fast, slow = np.linspace(0, n_fast, 101), np.linspace(0, n_slow, 101)
    x = np.concatenate([fast, fast, np.zeros(101), np.full(101, n_fast)])
    y = np.concatenate([np.zeros(101), np.full(101, n_slow), slow, slow])
    lengths: np.ndarray = np.linalg.norm(scattering_vectors(beam, panel, x, y), axis=1)
    return lengths
