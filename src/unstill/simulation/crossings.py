"""Which crossings of voxels must be changed by how much to be wrong by so many σ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unstill.simulation.outliers import WrongCrossings, voxel_keys

if TYPE_CHECKING:
    from unstill.simulation.frames import SimulatedFrames


def wrong_crossings(frames: SimulatedFrames, block: int) -> WrongCrossings:
    """Outliers of one block of frames, where ``Outliers.sigmas`` is given.

    A crossing that counts N photons on average, S of them from the crystal's own
    intensity, is moved by σ√N if that intensity is multiplied by 1 ± σ√N/S.

    Parameters
    ----------
    frames
        With outliers.
    block
        Number of the block; computing it takes as long as its frames.
    """
    outliers = frames.faults.outliers
    if outliers is None or outliers.sigmas is None:
        return WrongCrossings(np.zeros(0, dtype=np.int64), np.zeros(0))
    first = block * outliers.frames_per_block
    found = [
        _candidates(frames, number, frame)
        for frame in range(first, min(first + outliers.frames_per_block, frames.n_frames))
        for number in range(len(frames.shapes))
    ]
    keys, place = np.unique(np.concatenate([part[0] for part in found]), return_inverse=True)
    label = np.zeros(len(keys), dtype=np.int8)
    label[place] = np.concatenate([part[1] for part in found])
    signal = np.bincount(place, np.concatenate([part[2] for part in found]), len(keys))
    total = np.bincount(place, np.concatenate([part[3] for part in found]), len(keys))
    with np.errstate(divide="ignore", invalid="ignore"):
        change = outliers.sigmas * np.sqrt(total) / signal
    factors = np.where(label == 1, 1 + change, 1 - change)
    possible = np.isfinite(factors) & (factors >= 0)
    return WrongCrossings(keys[possible], factors[possible])


def _candidates(
    frames: SimulatedFrames, number: int, frame: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Keys, labels, signal and total of the pixels in crossings that the hash chose."""
    outliers = frames.faults.outliers
    assert outliers is not None
    matrix = np.array(outliers.divisions)[:, None] * frames.experiment.hkl_matrix(frame + 0.5)
    used = np.ones(frames.shapes[number], dtype=bool)
    for fast0, slow0, fast1, slow1 in frames.experiment.detector.panels[number].masked:
        used[slow0:slow1, fast0:fast1] = False
    parts = []
    for rows, s, signal, rest in frames.parts(number, frame):
        index = np.rint(s @ matrix.T).astype(np.int64)
        label = outliers.label(index, np.full(len(index), frame // outliers.frames_per_block))
        chosen = (label > 0) & used[rows].ravel()
        photons = signal.ravel()[chosen]
        parts.append(
            (voxel_keys(index[chosen]), label[chosen], photons, photons + rest.ravel()[chosen])
        )
    keys, labels, signals, totals = (np.concatenate(column) for column in zip(*parts, strict=True))
    return keys, labels, signals, totals
