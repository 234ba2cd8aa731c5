"""A whole simulation on disk: images, background, geometry, truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unstill.crystal.hkl_grid import Triple
from unstill.experiment import Experiment, ImageSet
from unstill.io import write_map
from unstill.io.dials_expt import write_expt
from unstill.io.xds_xparm import write_xparm
from unstill.provenance import Provenance
from unstill.simulation.frames import SimulatedFrames
from unstill.simulation.stills import Still
from unstill.simulation.truth_record import truth_map, truth_record
from unstill.simulation.write_images import (
    ImageFormat,
    start_record,
    write_still_images,
    write_sweep,
)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class WrittenSimulation:
    """What a simulation left on disk.

    Parameters
    ----------
    outputs
        Files by purpose: ``truth``, ``truth_map``, ``expt``, ``background_expt``, ``xparm``.
    images
        Templates of the image files, or the files of stills; the background is last.
    n_frames
        Frames of the crystal.
    went_on
        Whether an earlier run had begun it.
    image_seconds
        Time that the images of the crystal took, those that were there included.
    """

    outputs: Mapping[str, Path]
    images: tuple[str, ...]
    n_frames: int
    went_on: bool
    image_seconds: float


def write_simulation(
    folder: Path,
    frames: SimulatedFrames,
    *,
    background: SimulatedFrames | None = None,
    written: Experiment | None = None,
    image_format: ImageFormat = "cbf",
    truth_divisions: Triple | None = (2, 2, 2),
    truth_d_min: float | None = None,
    workers: int = 1,
    provenance: Provenance | None = None,
    progress: Progress | None = None,
) -> WrittenSimulation:
    """Write one sweep and what belongs to it; the layout is that of ``write_images``.

    Parameters
    ----------
    folder
        Must exist.
    frames
        The sweep with the crystal.
    background
        The sweep without it.
    written
        The experiment as the geometry file shall say it, where that is not the truth.
    image_format
        ``"cbf"``, ``"eiger"`` or ``"tiff"``.
    truth_divisions, truth_d_min
        Grid of the truth map; ``None`` writes none.
    workers
        Threads.
    provenance
        Of the run.
    progress
        Called with the part, what is done and what is to do.

    Raises
    ------
    OutputError
        If the folder holds another simulation, or a file cannot be written.
    """
    record = {
        "sweep": truth_record(frames),
        "format": image_format,
        "truth_grid": [truth_divisions, truth_d_min],
    }
    if background is not None:
        record["background"] = truth_record(background)
    outputs = {"truth": folder / "truth.json"}
    went_on = start_record(outputs["truth"], record)
    if truth_divisions is not None and frames.truth is not None:
        outputs["truth_map"] = folder / "truth.nxs"
        _write_truth(frames, outputs["truth_map"], truth_divisions, truth_d_min)
    began = time.perf_counter()
    images = write_sweep(
        frames, folder / "images", image_format=image_format, workers=workers,
        progress=_named(progress, "images"),
    )  # fmt: skip
    spent = time.perf_counter() - began
    described = replace(written or frames.experiment, images=images)
    outputs["expt"] = folder / "sweep.expt"
    write_expt(outputs["expt"], [described], provenance=provenance)
    templates = [images.template]
    if background is not None:
        alone = _write_background(folder, background, image_format, workers, provenance, progress)
        outputs["background_expt"] = folder / "background.expt"
        templates.append(alone.template)
    if _fits_xparm(described):
        outputs["xparm"] = folder / "XPARM.XDS"
        write_xparm(outputs["xparm"], described)
    return WrittenSimulation(outputs, tuple(templates), frames.n_frames, went_on, spent)


def write_still_simulation(
    folder: Path,
    stills: Sequence[Still],
    *,
    background: SimulatedFrames | None = None,
    image_format: ImageFormat = "cbf",
    truth_divisions: Triple | None = (2, 2, 2),
    truth_d_min: float | None = None,
    workers: int = 1,
    provenance: Provenance | None = None,
    progress: Progress | None = None,
) -> WrittenSimulation:
    """Write stills and their geometry, one experiment a still, as ``write_simulation`` does."""
    first = stills[0].frames
    record = {
        "stills": truth_record(first),
        "n_stills": len(stills),
        "flux": [still.frames.flux for still in stills],
        "a_matrix": [_a_matrix(still.frames.experiment) for still in stills],
        "a_matrix_written": [_a_matrix(still.written) for still in stills],
        "format": image_format,
        "truth_grid": [truth_divisions, truth_d_min],
    }
    if background is not None:
        record["background"] = truth_record(background)
    outputs = {"truth": folder / "truth.json"}
    went_on = start_record(outputs["truth"], record)
    if truth_divisions is not None and first.truth is not None:
        outputs["truth_map"] = folder / "truth.nxs"
        _write_truth(first, outputs["truth_map"], truth_divisions, truth_d_min)
    began = time.perf_counter()
    images = write_still_images(
        [still.frames for still in stills], folder / "images", image_format=image_format,
        workers=workers, progress=_named(progress, "images"),
    )  # fmt: skip
    spent = time.perf_counter() - began
    outputs["expt"] = folder / "stills.expt"
    described = [
        replace(still.written, images=found) for still, found in zip(stills, images, strict=True)
    ]
    write_expt(outputs["expt"], described, provenance=provenance)
    files = [_path_of(found) for found in images]
    if background is not None:
        alone = _write_background(folder, background, image_format, workers, provenance, progress)
        outputs["background_expt"] = folder / "background.expt"
        files.append(alone.template)
    return WrittenSimulation(outputs, tuple(files), len(stills), went_on, spent)


def _write_background(
    folder: Path,
    background: SimulatedFrames,
    image_format: ImageFormat,
    workers: int,
    provenance: Provenance | None,
    progress: Progress | None,
) -> ImageSet:
    """Write images and geometry of the sweep without crystal."""
    images = write_sweep(
        background, folder / "background", "background", image_format=image_format,
        workers=workers, progress=_named(progress, "background"),
    )  # fmt: skip
    alone = replace(background.experiment, images=images)
    write_expt(folder / "background.expt", [alone], provenance=provenance)
    return images


def _write_truth(
    frames: SimulatedFrames, path: Path, divisions: Triple, d_min: float | None
) -> None:
    if not path.is_file():
        write_map(truth_map(frames, divisions, d_min), path)


def _fits_xparm(experiment: Experiment) -> bool:
    """Whether XPARM.XDS can hold it: one panel, a scan, a lattice that does not drift."""
    lattice = experiment.lattice
    one_panel = len(experiment.detector.panels) == 1
    steady = lattice is not None and lattice.a_at_scan_points is None
    return one_panel and steady and experiment.scan is not None


def _path_of(images: ImageSet) -> str:
    return images.paths[0] if images.paths else images.template


def _a_matrix(experiment: Experiment) -> Any:
    return None if experiment.lattice is None else experiment.lattice.a_matrix


def _named(progress: Progress | None, part: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(part, done, total)
