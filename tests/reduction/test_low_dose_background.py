"""A few counts a voxel above a background that was measured: is anything biased?

Where little is seen above the background, the noise of the counts would hide what is
asked for. It is known here, photon by photon, and is taken off.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closed_loop import CRYSTAL, paired, reduced, simulate

from unstill.crystal.symmetry import map_to_asu
from unstill.experiment.pixels import pixel_centers, scattering_vectors
from unstill.simulation.frames import SimulatedFrames
from unstill.simulation.recipe import Recipe
from unstill.simulation.voxel_truth import VoxelTruth, voxel_truth

DIVISIONS = (3, 3, 3)
REACH = 120
"""No index of a voxel is as high."""


def shot_noise(frames: SimulatedFrames, truth: VoxelTruth) -> np.ndarray:
    """Photons that each voxel of the truth counted above what its pixels expected."""
    experiment = frames.experiment
    (panel,) = experiment.detector.panels
    s = scattering_vectors(experiment.beam, panel, *pixel_centers(panel)).reshape(-1, 3)
    shape = (2 * REACH + 1,) * 3
    noise = np.zeros(np.prod(shape))
    for frame in range(frames.n_frames):
        hkl = s @ experiment.hkl_matrix(frame + 0.5).T
        index = np.rint(hkl * DIVISIONS).astype(np.int64) + REACH
        flat = np.ravel_multi_index(tuple(index.T), shape)
        np.add.at(noise, flat, (frames.read(frame)[0] - frames.expected(frame)[0]).ravel())
    seen = np.flatnonzero(noise)
    index = np.stack(np.unravel_index(seen, shape), axis=1) - REACH
    mates = map_to_asu(CRYSTAL, index, DIVISIONS)
    row = np.full(shape, -1)
    row[tuple(truth.index.T + REACH)] = np.arange(len(truth.index))
    at = row[tuple(mates.T + REACH)]
    assert at.min() >= 0
    summed: np.ndarray = np.bincount(at, noise[seen], len(truth.index))
    return summed


def biases(folder: Path, recipe: Recipe, exposure: float) -> np.ndarray:
    """Relative bias in four quartiles of the true intensity and in five shells.

    The background sweep was exposed so many times as long as the data.
    """
    made = simulate(folder, recipe, background_exposure=exposure)
    found = reduced(
        made.expt,
        folder / "out",
        background=made.background,
        until="merge",
        integrate={"divisions": list(DIVISIONS)},
        peaks={"cutoff": 0.0},
    )
    assert found.merged is not None
    truth = voxel_truth(made.frames, DIVISIONS)
    intensity, true, weight = paired(found.merged.map, truth)
    # No voxel is lost, so that rows correspond.
    assert len(intensity) == len(truth.index)
    error = weight * (intensity - true) - shot_noise(made.frames, truth)
    s = np.sqrt(CRYSTAL.s_squared(truth.index / np.array(DIVISIONS)))
    found_biases = []
    for key, n_bins in ((true, 4), (s, 5)):
        edges = np.quantile(key, np.linspace(0, 1, n_bins + 1))
        bins = np.clip(np.searchsorted(edges, key, side="right") - 1, 0, n_bins - 1)
        found_biases.append(np.bincount(bins, error) / np.bincount(bins, weight * true))
    return np.concatenate(found_biases)


def recipe(background: float, n_frames: int = 40, seed: int = 0) -> Recipe:
    """Six counts in the median observation, and so many times the photons as background."""
    return Recipe(
        detector="small",
        n_frames=n_frames,
        phi_step=1.0,
        median_counts=6.0,
        divisions=DIVISIONS,
        background=background,
        seed=seed,
    )


def test_a_background_that_is_well_known_biases_nothing(tmp_path: Path) -> None:
    # Noise of the background sweep itself: 0.1 % in the lowest quartile.
    found = biases(tmp_path, recipe(3.0, n_frames=10), exposure=100.0)
    assert np.abs(found).max() <= 0.005, found


@pytest.mark.soak
@pytest.mark.parametrize(("background", "n_sweeps"), [(0.5, 8), (3.0, 24)])
def test_a_background_of_few_counts_biases_nothing(
    tmp_path: Path, background: float, n_sweeps: int
) -> None:
    found = np.array(
        [
            biases(tmp_path / str(seed), recipe(background, seed=seed), exposure=1.0)
            for seed in range(n_sweeps)
        ]
    )
    error = found.std(axis=0, ddof=1) / np.sqrt(n_sweeps)
    assert error.max() <= 0.003, error
    allowed = np.maximum(0.005, 3 * error)
    assert np.all(np.abs(found.mean(axis=0)) <= allowed), (found.mean(axis=0), error)
