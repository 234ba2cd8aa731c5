"""Stills of many crystals in random orientations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unstill.crystal import Crystal
from unstill.experiment import Detector, Experiment, Lattice
from unstill.experiment.rotation import rotation_about
from unstill.simulation.detectors import make_experiment, random_rotation
from unstill.simulation.faults import turned
from unstill.simulation.frames import SimulatedFrames


@dataclass(frozen=True, eq=False)
class Still:
    """One still: what it really was, and what the geometry file says.

    Parameters
    ----------
    frames
        One simulated frame.
    written
        The experiment with an error in the orientation.
    """

    frames: SimulatedFrames
    written: Experiment


def make_stills(
    crystal: Crystal,
    n: int,
    *,
    detector: str | Detector = "small",
    distance: float = 200.0,
    wavelength: float = 1.0,
    mosaicity: float = 0.05,
    orientation_error: float = 0.0,
    seed: int = 0,
) -> list[tuple[Experiment, Experiment]]:
    """Return pairs of the true experiment and the one that is written, one a still.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    n
        Number of stills.
    detector, distance, wavelength, mosaicity
        See :func:`unstill.simulation.detectors.make_experiment`.
    orientation_error
        Angle between the true and the written orientation (degrees): its root mean
        square over the stills, about random axes.
    seed
        Of orientations and errors.
    """
    base = make_experiment(
        crystal,
        detector=detector,
        distance=distance,
        wavelength=wavelength,
        n_frames=1,
        mosaicity=mosaicity,
    )
    pairs = []
    for i in range(n):
        matrix = random_rotation([seed, 6, i]) @ crystal.fractionalization_matrix.T
        true = base.replace(
            goniometer=None,
            scan=None,
            lattice=Lattice(crystal, matrix, mosaicity=mosaicity),
            name=f"still {i + 1}",
        )
        # Three normal angles of this size make a rotation of this root mean square.
        rng = np.random.default_rng([seed, 9, i])
        tilt = rng.normal(0.0, orientation_error / np.sqrt(3), 3)
        pairs.append((true, _tilted(true, tilt)))
    return pairs


def simulate_stills(
    pairs: Sequence[tuple[Experiment, Experiment]],
    template: SimulatedFrames,
    *,
    scale_spread: float = 0.0,
) -> list[Still]:
    """Put a truth into stills; everything but the experiment is taken from a template.

    Parameters
    ----------
    pairs
        Of :func:`make_stills`.
    template
        Frames with the truth, the background, the flux and the seed.
    scale_spread
        Standard deviation of the logarithm of the flux between stills.
    """
    stills = []
    for i, (true, written) in enumerate(pairs):
        change = np.random.default_rng([template.seed, 10, i]).normal(0.0, scale_spread)
        frames = replace(
            template,
            experiment=true,
            flux=template.flux * float(np.exp(change)),
            seed=template.seed + 1 + i,
            n_steps=1,
        )
        stills.append(Still(frames, written))
    return stills


def _tilted(experiment: Experiment, angles: np.ndarray) -> Experiment:
    size = float(np.linalg.norm(angles))
    if size == 0:
        return experiment
    return turned(experiment, rotation_about(angles / size, size))
