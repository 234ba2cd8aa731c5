"""How strong the beam must be for observations of a wanted size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.experiment.pixels import pixel_centers, scattering_vectors
from unstill.simulation.frames import SimulatedFrames, response_at

_SHARE = 37
"""One voxel in so many is looked at."""


def with_median_counts(
    frames: SimulatedFrames, median: float, divisions: Triple, *, max_spread: float = 1.0
) -> SimulatedFrames:
    """Return the frames with the flux at which the median observation counts so many photons.

    Only the diffuse intensity is counted: neither Bragg peaks nor background.

    Parameters
    ----------
    frames
        With a truth.
    median
        Photons of the median observation: a voxel in one block of frames.
    divisions
        Voxels a reciprocal-lattice vector.
    max_spread
        Angle that a block spans at most (degrees).
    """
    counts = _diffuse_counts(frames, divisions, max_spread)
    return replace(frames, flux=frames.flux * median / float(np.median(counts)))


def _diffuse_counts(frames: SimulatedFrames, divisions: Triple, max_spread: float) -> np.ndarray:
    """Mean photons of the observations of some voxels in the middle of the sweep."""
    experiment, truth = frames.experiment, frames.truth
    if truth is None:
        return np.ones(1)
    step = abs(experiment.scan.phi_step) if experiment.scan is not None else 0.0
    in_block = max(1, int(np.floor(max_spread / step + 1e-6))) if step > 0 else 1
    first = max(0, (frames.n_frames - in_block) // 2)
    keys, photons = [], []
    for number, panel in enumerate(experiment.detector.panels):
        x, y = pixel_centers(panel)
        s = scattering_vectors(experiment.beam, panel, x, y).reshape(-1, 3)
        response = response_at(experiment, number, x, y).reshape(-1)
        for i in range(first, min(first + in_block, frames.n_frames)):
            hkl = s @ experiment.hkl_matrix(i + 0.5).T
            index = np.rint(hkl * np.array(divisions)).astype(np.int64)
            key = (index[:, 0] * 1009 + index[:, 1]) * 1013 + index[:, 2]
            chosen = key % _SHARE == 0
            seen = frames.flux * truth.at(hkl[chosen]) * response[chosen]
            keys.append(key[chosen])
            photons.append(seen * frames.seconds(i) * experiment.beam.transmission)
    _, place = np.unique(np.concatenate(keys), return_inverse=True)
    return np.bincount(place, np.concatenate(photons))
