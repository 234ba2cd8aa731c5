"""Simulate a sweep into a folder and reduce it again, as a user would."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.maps import IntensityMap
from unstill.reduction.pipeline.outcome import Outcome
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.pipeline import reduce_images
from unstill.reduction.pipeline.run import open_run
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.bragg import BraggPeaks, wilson_peaks
from unstill.simulation.frames import SimulatedFrames
from unstill.simulation.recipe import Recipe
from unstill.simulation.run import write_simulation
from unstill.simulation.sweeps import WrongBackground, background_frames
from unstill.simulation.voxel_truth import VoxelTruth

CRYSTAL = Crystal((29.0, 33.0, 37.0, 90, 90, 90), "P 2 2 2")
"""Without systematic absences: every reflection has its mask."""

PEAK_RADIUS = 0.15
"""Masked about each reflection where there are no peaks to fit (r.l.u.)."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """A sweep on disk, and what it was made from."""

    expt: Path
    background: Path | None
    frames: SimulatedFrames


def simulate(
    folder: Path,
    recipe: Recipe,
    *,
    crystal: Crystal = CRYSTAL,
    bragg: bool = False,
    image_format: str = "cbf",
    background_exposure: float = 1.0,
    **more: Any,
) -> Simulated:
    """Write a sweep of an analytic truth, and one without crystal if there is a background."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = AnalyticTruth(crystal, seed=1)
    peaks: BraggPeaks | None = None
    if bragg:
        peaks = wilson_peaks(crystal, 1.5, mosaicity=recipe.mosaicity, seed=1)
    frames = recipe.frames(truth, peaks)
    empty = None
    if recipe.background:
        empty = background_frames(frames, wrong=WrongBackground(exposure=background_exposure))
    written = write_simulation(
        folder,
        frames,
        background=empty,
        image_format=image_format,  # type: ignore[arg-type]
        truth_divisions=None,
        **more,
    )
    return Simulated(Path(written.outputs["expt"]), written.outputs.get("background_expt"), frames)


def reduced(
    expt: Path | list[Path],
    out: Path,
    *,
    background: Path | None = None,
    until: str | None = None,
    workers: int = 1,
    **groups: dict[str, Any],
) -> Outcome:
    """Reduce; parameters by group, warnings unseen."""
    paths = expt if isinstance(expt, list) else [expt]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = open_run(
            paths,
            out,
            ReduceParameters.from_dict(groups),
            backgrounds=[background] if background else (),
            workers=workers,
        )
        return reduce_images(run, until=until)


def paired(
    found: IntensityMap, truth: VoxelTruth, *, n_least: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intensity in the map, true intensity and exposure at the voxels that both have."""
    place = found.grid.position(truth.index)
    known = found.grid.contains(truth.index)
    measured = np.zeros(len(truth.index), bool)
    measured[known] = found.measured.reshape(-1)[place[known]]
    if found.n_obs is not None:
        measured[known] &= found.n_obs.reshape(-1)[place[known]] >= n_least
    intensity = np.full(len(truth.index), np.nan)
    intensity[measured] = found.intensity.reshape(-1)[place[measured]]
    return intensity[measured], truth.intensity[measured], truth.exposure[measured]


def digest(folder: Path) -> dict[str, bytes]:
    """Content of all results in a store, by name."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".json" and ".locks" not in file.parts
    }
