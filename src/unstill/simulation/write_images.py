"""Simulated frames into files, so that a run can be stopped and goes on later.

A folder of a sweep holds ::

    truth.json         what was put in: seed, parameters, exact curves of the effects
    truth.nxs          the diffuse truth as an IntensityMap (e² per cell)
    sweep.expt         geometry; background.expt for the sweep without crystal
    XPARM.XDS          the same for XDS
    images/            sweep_00001.cbf … or sweep_master.h5 and its data files
    background/        background_00001.cbf …

and one of stills ``stills.expt`` and ``images/still_00001.cbf``. Every file is
whole or absent; those that are there are not computed again, provided that
``truth.json`` is that of the same simulation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unstill.errors import OutputError
from unstill.experiment import Experiment, ImageSet
from unstill.io.atomic import atomic_path
from unstill.io.image_writers import EigerWriter, raw_image, write_cbf, write_tiff
from unstill.io.image_writers.raw_image import raw_shape
from unstill.provenance.record import plain
from unstill.simulation.frames import SimulatedFrames

ImageFormat = Literal["cbf", "eiger", "tiff"]
Progress = Callable[[int, int], None]

_SUFFIX = {"cbf": ".cbf", "tiff": ".tif"}
_WRITE = {"cbf": write_cbf, "tiff": write_tiff}


def write_sweep(
    frames: SimulatedFrames,
    folder: Path,
    prefix: str = "sweep",
    *,
    image_format: ImageFormat = "cbf",
    workers: int = 1,
    frames_per_file: int = 100,
    progress: Progress | None = None,
) -> ImageSet:
    """Write the frames of one sweep that are not there yet.

    Parameters
    ----------
    frames
        The frames.
    folder
        Made if it is not there.
    prefix
        Of the names of the files.
    image_format
        ``"cbf"`` (mini-CBF), ``"eiger"`` (HDF5) or ``"tiff"``.
    workers
        Threads.
    frames_per_file
        Frames in an HDF5 data file.
    progress
        Called with frames done and their number.

    Returns
    -------
    images
        Where they are, relative to the folder above ``folder``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    _make(folder)
    if image_format == "eiger":
        return _write_hdf5(frames, folder, prefix, workers, frames_per_file, progress)
    suffix = _SUFFIX[image_format]
    first = 1 if frames.experiment.scan is None else frames.experiment.scan.first_image

    def write(index: int) -> int:
        path = folder / f"{prefix}_{first + index:05d}{suffix}"
        if not path.is_file():
            image = raw_image(frames.read(index), frames.experiment.detector)
            _WRITE[image_format](path, image, frames.header(index))
        return index

    for index in _in_order(write, range(frames.n_frames), workers):
        if progress is not None:
            progress(index + 1, frames.n_frames)
    template = f"{folder.name}/{prefix}_#####{suffix}"
    return ImageSet(template=template, folder=str(folder.parent))


def write_still_images(
    stills: Sequence[SimulatedFrames],
    folder: Path,
    *,
    image_format: ImageFormat = "cbf",
    workers: int = 1,
    progress: Progress | None = None,
) -> list[ImageSet]:
    """Write one image a still (CBF or TIFF), or one HDF5 file a still.

    Returns
    -------
    images
        Where they are, one a still, relative to the folder above ``folder``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    _make(folder)

    def write(index: int) -> ImageSet:
        frames = stills[index]
        name = f"still_{index + 1:05d}"
        if image_format == "eiger":
            made = _write_hdf5(frames, folder, name, 1, 1, None)
            return ImageSet(paths=(made.template,), indices=(0,), folder=made.folder)
        path = folder / f"{name}{_SUFFIX[image_format]}"
        if not path.is_file():
            image = raw_image(frames.read(0), frames.experiment.detector)
            _WRITE[image_format](path, image, frames.header(0))
        return ImageSet(paths=(f"{folder.name}/{path.name}",), folder=str(folder.parent))

    found = []
    for done, images in enumerate(_in_order(write, range(len(stills)), workers)):
        found.append(images)
        if progress is not None:
            progress(done + 1, len(stills))
    return found


def start_record(path: Path, record: dict[str, Any]) -> bool:
    """Write the record of a simulation first, or check that the one there is the same.

    Returns
    -------
    goes_on
        Whether it was there.

    Raises
    ------
    OutputError
        If the folder holds another simulation.
    """
    wanted = plain(record)
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if found != json.loads(json.dumps(wanted)):
            raise OutputError(
                "the folder holds another simulation",
                found=path,
                fix="give another folder with -o, or remove that one",
            )
        return True
    with atomic_path(path) as temporary:
        text = json.dumps(wanted, indent=1, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return False


def described(experiment: Experiment, images: ImageSet) -> Experiment:
    """Experiment as its geometry file shall say it: with images."""
    return replace(experiment, images=images)


def _write_hdf5(
    frames: SimulatedFrames,
    folder: Path,
    prefix: str,
    workers: int,
    frames_per_file: int,
    progress: Progress | None,
) -> ImageSet:
    experiment = frames.experiment
    detector = experiment.detector
    writer = EigerWriter(
        folder,
        prefix,
        frames.n_frames,
        raw_shape(detector),
        frames.header(0),
        frames_per_file=frames_per_file,
        bad=_never_used(experiment),
        phi_step=None if experiment.scan is None else experiment.scan.phi_step,
    )
    if not writer.master.is_file():
        writer.write_master()
    start = writer.skip_written()
    for done, values in enumerate(_in_order(frames.read, range(start, frames.n_frames), workers)):
        writer.add(raw_image(values, detector))
        if progress is not None:
            progress(start + done + 1, frames.n_frames)
    return ImageSet(template=f"{folder.name}/{writer.master.name}", folder=str(folder.parent))


def _never_used(experiment: Experiment) -> np.ndarray:
    """Pixels in gaps, within panels and between them."""
    detector = experiment.detector
    marks = []
    for panel in detector.panels:
        values = np.zeros(panel.shape, dtype=np.int32)
        for fast0, slow0, fast1, slow1 in panel.masked:
            values[slow0:slow1, fast0:fast1] = -1
        marks.append(values)
    bad: np.ndarray = raw_image(marks, detector) < 0
    return bad


def _in_order(function: Callable[[int], Any], items: Sequence[int], workers: int) -> Iterator[Any]:
    """Results of a function that releases the interpreter lock, in the order of the items."""
    if workers <= 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: list[Future[Any]] = []
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers + 1:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "the folder for the images cannot be made",
            found=f"{folder}: {error.strerror}",
            fix="give another folder with -o",
        ) from error
