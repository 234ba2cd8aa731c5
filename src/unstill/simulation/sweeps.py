"""Sweeps that belong together: the crystal, and the background measured without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unstill.experiment import Experiment, Scan
from unstill.simulation.faults import with_distance_error
from unstill.simulation.frames import SimulatedFrames


@dataclass(frozen=True)
class WrongBackground:
    """How a background sweep differs from the sweep that it belongs to.

    Parameters
    ----------
    exposure
        Its exposure times are so many times as long.
    transmission
        The filters let so much of the beam through.
    distance
        The detector stands so much further away (mm).
    wavelength
        Its wavelength is so many times as long.
    """

    exposure: float = 1.0
    transmission: float = 1.0
    distance: float = 0.0
    wavelength: float = 1.0


def background_experiment(
    experiment: Experiment,
    *,
    n_frames: int | None = None,
    wrong: WrongBackground | None = None,
) -> Experiment:
    """Experiment of the sweep without crystal that covers the same angles.

    Parameters
    ----------
    experiment
        The sweep with the crystal.
    n_frames
        Fewer frames cover the same angles in wider steps; by default about 1° each.
    wrong
        What is different from the sweep with the crystal; recorded in the experiment.
    """
    scan = experiment.scan or Scan(1, 0.0, 0.0)
    total = scan.phi_step * scan.n_frames
    n = n_frames or max(1, min(scan.n_frames, round(abs(total))))
    times = np.array([float(np.median(scan.exposure_times))])
    made = experiment.replace(
        lattice=None,
        scan=Scan(n, scan.phi_start, total / n, exposure_times=times),
        name=f"{experiment.name} background",
    )
    if experiment.scan is None:
        made = made.replace(scan=None)
    return made if wrong is None else _altered(made, wrong)


def background_frames(
    frames: SimulatedFrames,
    *,
    n_frames: int | None = None,
    wrong: WrongBackground | None = None,
) -> SimulatedFrames:
    """Frames of the sweep without crystal, with the background of the given frames."""
    return SimulatedFrames(
        background_experiment(frames.experiment, n_frames=n_frames, wrong=wrong),
        truth=None,
        background=frames.background,
        faults=replace(
            frames.faults, zingers=0.0, ice=0.0, outliers=None, beam_trip=(), second_lattice=0.0
        ),
        seed=frames.seed + 1_000_003,
        exposure_time=frames.exposure_time,
    )


def _altered(experiment: Experiment, wrong: WrongBackground) -> Experiment:
    scan, beam = experiment.scan, experiment.beam
    made = experiment.replace(
        beam=replace(
            beam,
            transmission=beam.transmission * wrong.transmission,
            wavelength=beam.wavelength * wrong.wavelength,
        ),
        scan=None
        if scan is None
        else replace(scan, exposure_times=scan.exposure_times * wrong.exposure),
    )
    return with_distance_error(made, wrong.distance) if wrong.distance else made
