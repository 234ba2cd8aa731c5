"""How strong the beam must be for observations of a wanted size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.experiment.pixels import DIALS_CENTER, scattering_vectors
from unstill.simulation.frames import SimulatedFrames, response_at

_PATCHES = 24
_PATCH = 96
"""A large detector is looked at in so many patches, of so many pixels along each side."""


def median_counts(frames: SimulatedFrames, divisions: Triple, *, max_spread: float = 1.0) -> float:
    """Photons of the median observation, a voxel in one block of frames.

    Only the diffuse intensity counts: neither Bragg peaks nor background, nor
    effects.

    Parameters
    ----------
    frames
        With a truth.
    divisions
        Voxels a reciprocal-lattice vector.
    max_spread
        Angle that a block spans at most (degrees).

    Raises
    ------
    InputError
        If there is no truth.
    """
    return float(np.median(_diffuse_counts(frames, divisions, max_spread)))


def with_median_counts(
    frames: SimulatedFrames, median: float, divisions: Triple, *, max_spread: float = 1.0
) -> SimulatedFrames:
    """Return the frames with the flux at which the median observation counts so many photons."""
    now = median_counts(frames, divisions, max_spread=max_spread)
    return replace(frames, flux=frames.flux * median / now)


def _diffuse_counts(frames: SimulatedFrames, divisions: Triple, max_spread: float) -> np.ndarray:
    """Mean photons of the observations of some voxels in the middle of the sweep."""
    experiment, truth = frames.experiment, frames.truth
    if truth is None:
        raise InputError(
            "these frames have no truth", found="None", fix="give frames of a crystal"
        )
    step = abs(experiment.scan.phi_step) if experiment.scan is not None else 0.0
    in_block = max(1, int(np.floor(max_spread / step + 1e-6))) if step > 0 else 1
    first = max(0, (frames.n_frames - in_block) // 2)
    block = range(first, min(first + in_block, frames.n_frames))
    found = []
    for number, x, y in _patches(frames):
        s = scattering_vectors(experiment.beam, experiment.detector.panels[number], x, y)
        response = response_at(experiment, number, x, y).reshape(-1)
        edge = np.ones(s.shape[:2], dtype=bool)
        edge[1:-1, 1:-1] = False
        keys, photons = [], []
        for i in block:
            hkl = s.reshape(-1, 3) @ experiment.hkl_matrix(i + 0.5).T
            index = np.rint(hkl * np.array(divisions)).astype(np.int64) + (1 << 19)
            keys.append(((index[:, 0] << 40) + (index[:, 1] << 20)) + index[:, 2])
            seen = frames.flux * truth.at(hkl) * response
            photons.append(seen * frames.seconds(i) * experiment.beam.transmission)
        _, place = np.unique(np.concatenate(keys), return_inverse=True)
        cut = np.bincount(place, np.tile(edge.reshape(-1), len(block))) > 0
        counts = np.bincount(place, np.concatenate(photons))
        # Voxels that reach the edge of a patch are not seen as a whole.
        found.append(counts if np.all(cut) else counts[~cut])
    return np.concatenate(found)


def _patches(frames: SimulatedFrames) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Panel and pixel coordinates of parts of the detector, or of all of a small one."""
    panels = frames.experiment.detector.panels
    small = frames.experiment.detector.n_pixels <= _PATCHES * _PATCH**2
    rng = np.random.default_rng([11])
    chosen = range(len(panels)) if small else rng.integers(0, len(panels), _PATCHES)
    for number in chosen:
        fast, slow = panels[number].image_size
        wide, high = (fast, slow) if small else (min(fast, _PATCH), min(slow, _PATCH))
        left, top = int(rng.integers(0, fast - wide + 1)), int(rng.integers(0, slow - high + 1))
        x = (np.arange(left, left + wide) + DIALS_CENTER)[None, :]
        y = (np.arange(top, top + high) + DIALS_CENTER)[:, None]
        yield int(number), x, y
