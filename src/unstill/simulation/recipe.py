"""From a few numbers to frames: the usual choices in one place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.experiment import Detector, Experiment
from unstill.experiment.pixels import scattering_vectors
from unstill.simulation.background import AirScatter
from unstill.simulation.bragg import BraggPeaks
from unstill.simulation.detectors import make_detector, make_experiment
from unstill.simulation.dose import with_median_counts
from unstill.simulation.effects import Effects
from unstill.simulation.faults import Faults
from unstill.simulation.frames import SimulatedFrames, flux_for, response_at
from unstill.simulation.outliers import Outliers
from unstill.simulation.places import places_at
from unstill.simulation.truth import Truth


@dataclass(frozen=True)
class Recipe:
    """What is measured and how.

    Parameters
    ----------
    detector, distance, wavelength, tilt
        See :func:`unstill.simulation.detectors.make_detector`.
    split_panels
        One panel a module.
    count_cutoff
        Largest count; by default that of the detector.
    n_frames, phi_start, phi_step, exposure_time, drift, mosaicity
        See :func:`unstill.simulation.detectors.make_experiment`.
    mean_counts
        Diffuse photons a pixel and a frame, on average.
    median_counts
        Diffuse photons of the median observation, in place of ``mean_counts``.
    divisions
        Voxels a reciprocal-lattice vector of those observations.
    background
        Photons from air and liquid, as a multiple of the diffuse ones.
    effects
        Whether scale, absorption, offset and detector response vary.
    outliers
        Share of observations that are 20 σ too bright, and as many too dark.
    faults
        What else goes wrong.
    seed
        Of orientation and noise.
    """

    detector: str = "pilatus-2m"
    distance: float = 200.0
    wavelength: float = 1.0
    tilt: tuple[float, float] = (0.0, 0.0)
    split_panels: bool = False
    count_cutoff: float | None = None
    n_frames: int = 40
    phi_start: float = 0.0
    phi_step: float = 0.1
    exposure_time: float = 0.1
    drift: float = 0.0
    mosaicity: float = 0.05
    mean_counts: float = 1.0
    median_counts: float | None = None
    divisions: Triple = (4, 4, 4)
    background: float = 0.0
    effects: bool = False
    outliers: float = 0.0
    faults: Faults = field(default_factory=Faults)
    seed: int = 0

    def made_detector(self) -> Detector:
        """Return the detector."""
        made = make_detector(
            self.detector,
            distance=self.distance,
            wavelength=self.wavelength,
            tilt=self.tilt,
            split=self.split_panels,
        )
        if self.count_cutoff is None:
            return made
        trusted = (0.0, float(self.count_cutoff))
        return Detector(tuple(replace(panel, trusted_range=trusted) for panel in made.panels))

    def experiment(self, truth: Truth) -> Experiment:
        """Return the experiment on the crystal of a truth."""
        return make_experiment(
            truth.crystal,
            detector=self.made_detector(),
            wavelength=self.wavelength,
            n_frames=self.n_frames,
            phi_start=self.phi_start,
            phi_step=self.phi_step,
            exposure_time=self.exposure_time,
            drift=self.drift,
            mosaicity=self.mosaicity,
            seed=self.seed,
        )

    def frames(self, truth: Truth, peaks: BraggPeaks | None = None) -> SimulatedFrames:
        """Return the frames of a truth and Bragg peaks."""
        experiment = self.experiment(truth)
        bare = SimulatedFrames(
            experiment,
            truth,
            peaks,
            flux=flux_for(experiment, truth, self.mean_counts),
            seed=self.seed,
            faults=replace(self.faults, seed=self.seed),
        )
        if self.median_counts is not None:
            bare = with_median_counts(bare, self.median_counts, self.divisions)
        diffuse, air, response = _levels(bare)
        effects = Effects()
        if self.effects:
            # An offset of a fifth of what a pixel sees of the crystal.
            effects = Effects.usual(experiment.detector, offset=0.2 * diffuse / response)
        return replace(
            bare,
            background=AirScatter(self.background * diffuse / air) if self.background else None,
            effects=effects,
            faults=replace(bare.faults, outliers=self._outliers()),
        )

    def _outliers(self) -> Outliers | None:
        if self.outliers <= 0:
            return None
        return Outliers(
            divisions=self.divisions,
            frames_per_block=max(1, int(np.floor(1 / abs(self.phi_step) + 1e-6))),
            bright=self.outliers,
            dark=self.outliers,
            sigmas=20.0,
            seed=self.seed,
        )


def _levels(frames: SimulatedFrames) -> tuple[float, float, float]:
    """Mean diffuse rate and air rate of level 1 (photons/s/pixel), mean response (sr)."""
    experiment, truth = frames.experiment, frames.truth
    diffuse, air, response, n = 0.0, 0.0, 0.0, 0
    phi = experiment.phi(0.5)
    for number, panel in enumerate(experiment.detector.panels):
        x = np.arange(0.5, panel.image_size[0], max(1, panel.image_size[0] // 64))[None, :]
        y = np.arange(0.5, panel.image_size[1], max(1, panel.image_size[1] // 64))[:, None]
        places = places_at(experiment, number, x, y)
        seen = response_at(experiment, number, x, y)
        if truth is not None:
            diffuse += float(np.sum(seen * truth.at(_hkl(experiment, number, x, y))))
        air += float(np.sum(AirScatter(1.0)(places, phi)))
        response += float(seen.sum())
        n += seen.size
    return frames.flux * diffuse / n, air / n, response / n


def _hkl(experiment: Experiment, number: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    panel = experiment.detector.panels[number]
    s = scattering_vectors(experiment.beam, panel, x, y)
    hkl: np.ndarray = s @ experiment.hkl_matrix(0.5).T
    return hkl
