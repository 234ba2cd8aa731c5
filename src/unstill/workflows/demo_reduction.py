"""Images of a crystal whose truth is known, reduced again."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import map_to_asu
from unstill.errors import UnstillWarning
from unstill.maps import IntensityMap
from unstill.maps.compare import Comparison, compare
from unstill.reduction.pipeline.outcome import Outcome
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.pipeline import reduce_images
from unstill.reduction.pipeline.run import open_run
from unstill.reduction.scaling.curves import scale_curve
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.bragg import wilson_peaks
from unstill.simulation.effects import Effects, WavyScale
from unstill.simulation.places import Places
from unstill.simulation.recipe import Recipe
from unstill.simulation.run import write_simulation
from unstill.simulation.sweeps import background_frames
from unstill.simulation.voxel_truth import VoxelTruth, voxel_truth

CRYSTAL = Crystal((29.0, 33.0, 37.0, 90.0, 90.0, 90.0), "P 21 21 21")
DIVISIONS: Triple = (2, 2, 2)
D_MIN = 2.6
N_FRAMES = 60
MEAN_COUNTS = 12.0
"""Diffuse photons a pixel and a frame, on average."""

BACKGROUND = 0.5
"""Photons from air and liquid for one diffuse photon."""

Progress = Callable[[int, int], None]
_STEPS = 4


@dataclass(frozen=True, eq=False)
class ReductionDemo:
    """What went in, and what came out.

    Parameters
    ----------
    truth
        Average of the truth over the pixels that fell into each unique voxel.
    true_map, found
        The truth and the reduced map, on one grid.
    comparison
        Of the two.
    ratio
        Sum of the map over the sum of the truth at the common voxels; 1 is perfect.
    phi, true_b, found_b
        Scale that was put in, and found, against the rotation angle; geometric mean 1.
    outcome
        Of the reduction.
    """

    truth: VoxelTruth
    true_map: IntensityMap
    found: IntensityMap
    comparison: Comparison
    ratio: float
    phi: np.ndarray
    true_b: np.ndarray
    found_b: np.ndarray
    outcome: Outcome

    @property
    def b_error(self) -> float:
        """Root mean square of found over true scale, less 1."""
        return float(np.sqrt(np.mean((self.found_b / self.true_b - 1) ** 2)))

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for programs."""
        return {
            "unit_cell": CRYSTAL.unit_cell,
            "space_group": CRYSTAL.space_group,
            "divisions": DIVISIONS,
            "d_min": D_MIN,
            "cc_total": self.comparison.cc_total,
            "cc_aniso": self.comparison.cc_aniso,
            "n_voxels": self.comparison.n_voxels,
            "ratio": self.ratio,
            "b_rms_error": self.b_error,
            "reduction": self.outcome.as_dict(),
        }


def reduction_demo(*, seed: int, workers: int, progress: Progress) -> ReductionDemo:
    """Simulate a sweep and its background as image files, reduce them, compare.

    Parameters
    ----------
    seed
        Of truth, orientation and noise.
    workers
        Threads; the result does not depend on it.
    progress
        Called as steps are done.
    """
    recipe = Recipe(
        detector="tiny",
        distance=170.0,
        n_frames=N_FRAMES,
        phi_step=1.0,
        exposure_time=1.0,
        mean_counts=MEAN_COUNTS,
        background=BACKGROUND,
        mosaicity=0.1,
        seed=seed,
    )
    truth = AnalyticTruth(CRYSTAL, seed=seed)
    peaks = wilson_peaks(CRYSTAL, D_MIN / 1.2, mosaicity=0.1, seed=seed)
    frames = replace(recipe.frames(truth, peaks), effects=Effects(scale=WavyScale()))
    with tempfile.TemporaryDirectory(prefix="unstill-images-") as folder:
        place = Path(folder)
        written = write_simulation(
            place,
            frames,
            background=background_frames(frames),
            truth_divisions=None,
            workers=workers,
        )
        progress(1, _STEPS)
        parameters = ReduceParameters.from_dict(
            {"frames": {"d_min": D_MIN}, "integrate": {"divisions": list(DIVISIONS)}, "seed": seed}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnstillWarning)
            run = open_run(
                [written.outputs["expt"]],
                place / "reduced",
                parameters,
                backgrounds=[written.outputs["background_expt"]],
                workers=workers,
            )
            outcome = reduce_images(run, until="statistics")
    progress(3, _STEPS)
    oracle = voxel_truth(frames, DIVISIONS, peak_radius=_mask_radius(outcome))
    assert outcome.merged is not None  # the run went past merging
    found = outcome.merged.map
    true_map = _on_grid(oracle, found)
    phi, true_b, found_b, gauge = _scales(outcome, frames.effects.scale)
    both = true_map.measured
    progress(4, _STEPS)
    return ReductionDemo(
        truth=oracle,
        true_map=true_map,
        found=found,
        comparison=compare(found, true_map, reindex="none", d_min=D_MIN),
        # A factor between b and the map is a matter of convention: their product is not.
        ratio=float(found.intensity[both].sum() / true_map.intensity[both].sum() * gauge),
        phi=phi,
        true_b=true_b,
        found_b=found_b,
        outcome=outcome,
    )


def _on_grid(oracle: VoxelTruth, found: IntensityMap) -> IntensityMap:
    """Spread the truth of unique voxels over the box of the reduced map, where it is measured."""
    index = found.grid.index()
    intensity = oracle.at(map_to_asu(CRYSTAL, index.reshape(-1, 3), DIVISIONS))
    return IntensityMap(
        CRYSTAL, found.grid, intensity.reshape(found.grid.shape), mask=~found.measured
    )


def _scales(
    outcome: Outcome, true_scale: Callable[[Places, np.ndarray], np.ndarray | float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Angles, scales put in and found there over their geometric means; ratio of these."""
    assert outcome.scale is not None  # the run went past scaling
    phi, found = scale_curve(outcome.scale.model, 0)
    anywhere = Places(0, np.zeros(1), np.zeros(1), np.zeros(1))
    true = np.asarray(true_scale(anywhere, phi), dtype=float)
    true_mean, found_mean = (float(np.exp(np.log(b).mean())) for b in (true, found))
    return phi, true / true_mean, found / found_mean, found_mean / true_mean


def _mask_radius(outcome: Outcome) -> float:
    """Radius (r.l.u.) of the sphere that is as large as the mask of Bragg peaks."""
    peaks = outcome.sweeps[0].peaks
    assert peaks is not None  # the run went past the peaks
    return float(peaks.shape.cutoff * np.prod(peaks.shape.widths) ** (1 / 3))
