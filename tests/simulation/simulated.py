"""Small simulated sweeps, shared by the tests of this folder."""

from __future__ import annotations

from functools import lru_cache

from unstill.crystal import Crystal
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.background import AirScatter
from unstill.simulation.bragg import BraggPeaks, wilson_peaks
from unstill.simulation.detectors import make_experiment
from unstill.simulation.effects import Effects
from unstill.simulation.frames import SimulatedFrames, flux_for

CRYSTAL = Crystal((41.0, 41.0, 57.0, 90.0, 90.0, 90.0), "P 43 21 2")


@lru_cache
def peaks(mosaicity: float = 0.05) -> BraggPeaks:
    return wilson_peaks(CRYSTAL, 1.6, seed=3, mosaicity=mosaicity)


def make_frames(
    *,
    detector: str = "tiny",
    n_frames: int = 4,
    counts: float = 2.0,
    bragg: bool = False,
    effects: bool = False,
    background: float = 0.0,
    drift: float = 0.0,
    seed: int = 1,
    **more: object,
) -> SimulatedFrames:
    experiment = make_experiment(
        CRYSTAL, detector=detector, n_frames=n_frames, phi_step=0.25, drift=drift, seed=7
    )
    truth = AnalyticTruth(CRYSTAL)
    flux = flux_for(experiment, truth, counts)
    usual = Effects.usual(experiment.detector, offset=0.3 * flux * float(truth.scale or 0))
    return SimulatedFrames(
        experiment,
        truth,
        peaks() if bragg else None,
        flux=flux,
        effects=usual if effects else Effects(),
        background=AirScatter(background) if background else None,
        seed=seed,
        **more,  # type: ignore[arg-type]
    )
