"""Geometry files and images → the sweeps of a run; what has no images is left out and named."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.experiment import Experiment, FrameSource, ImageSet
from unstill.io.experiment_files import read_experiments
from unstill.io.frames import open_frames
from unstill.io.scan_headers import reconcile_scan
from unstill.io.sweep_frames import match_frames
from unstill.reduction.pipeline.identity import experiment_digest, image_digest
from unstill.reduction.survey.frame_cache import FrameCache


@dataclass(frozen=True, eq=False)
class Sweep:
    """One experiment with its frames.

    Parameters
    ----------
    number
        In the run, from 0.
    name
        What people call it.
    experiment
        Its scan is the one that is believed.
    source
        Its frames.
    images
        Identity of the images.
    growing
        Whether they came while the sweep was measured: then only the first frames
        decide the shape of the peaks.
    limit
        Use so many frames at most; ``None`` uses what is there.
    """

    number: int
    name: str
    experiment: Experiment
    source: FrameSource
    images: str
    growing: bool = False
    limit: int | None = None

    @property
    def n_available(self) -> int:
        """Frames that are there and belong to the scan."""
        n = min(self.source.n_frames, self.experiment.n_frames)
        return n if self.limit is None else min(n, self.limit)

    @property
    def digest(self) -> str:
        """Identity of everything that is read of the sweep."""
        return f"{experiment_digest(self.experiment)} {self.images}"


def open_sweeps(
    paths: Sequence[Path],
    folder: Path,
    *,
    images: Sequence[str] = (),
    scan: Literal["header", "expt"] = "header",
    space_group: str | None = None,
    growing: bool = False,
    indexed: bool = True,
) -> list[Sweep]:
    """Open all experiments of geometry files.

    Parameters
    ----------
    paths
        Geometry files, each with one or several experiments.
    folder
        Where identities of images are noted (see :func:`image_digest`).
    images
        Images in place of those that the experiments name: one pattern for each
        experiment, or patterns whose files are given out by their numbers.
    scan
        Whom to believe where headers contradict the scan.
    space_group
        In place of the stored one.
    growing
        Whether frames still come.
    indexed
        Whether each must have a crystal; false for background sweeps.

    Raises
    ------
    InputError
        If no experiment has images, or one has no crystal.
    """
    experiments = [
        experiment
        for path in paths
        for experiment in read_experiments(path, space_group=space_group)
    ]
    given = _given_frames(experiments, images, growing=growing)
    sweeps: list[Sweep] = []
    for number, experiment in enumerate(experiments):
        source = given[number] if images else _own_frames(experiment, growing=growing)
        matched = _matched(experiment, source, growing=growing)
        if matched is None:
            continue
        # Frames that are looked at before integration are not read twice.
        matched = matched[0], FrameCache(matched[1])
        if indexed:
            matched[0].crystal  # noqa: B018 - says what is missing
        believed = _believed(*matched, scan=scan, growing=growing)
        identity = image_digest(matched[1], folder / "images", growing=growing)
        name = experiment.name or f"sweep {number + 1}"
        sweeps.append(Sweep(len(sweeps), name, believed, matched[1], identity, growing))
    if not sweeps:
        raise InputError(
            "no experiment has images",
            found=", ".join(map(str, paths)),
            fix="say where they are with --images GLOB",
        )
    return _with_names_apart(sweeps)


def _own_frames(experiment: Experiment, *, growing: bool) -> FrameSource | None:
    """Open the images that an experiment names; ``None`` where they are not there at all."""
    images, name = experiment.images, experiment.name or "an experiment"
    if not images:
        _warn(f"{name} is skipped: it names no images; give them with --images GLOB")
        return None
    numbers = experiment.scan.image_numbers if experiment.scan is not None else None
    try:
        return open_frames(
            images,
            detector=experiment.detector,
            image_range=None if numbers is None else (numbers[0], numbers[-1]),
            growing=growing,
        )
    except InputError as error:
        if not _absent(images):
            raise
        _warn(f"{name} is skipped: {error.what} ({error.found}); {error.fix}")
        return None


def _given_frames(
    experiments: Sequence[Experiment], images: Sequence[str], *, growing: bool
) -> list[FrameSource]:
    """Open the images that the user names, for each experiment."""
    n = len(experiments)
    if not images:
        return []
    detector = experiments[0].detector
    if n > 1 and len(images) == n:
        return [
            open_frames(_alone(pattern), detector=one.detector, growing=growing)
            for one, pattern in zip(experiments, images, strict=True)
        ]
    if n > 1 and all(experiment.scan is None for experiment in experiments):
        files = [file for pattern in images for file in files_of(pattern)]
        if len(files) == n:
            return [
                open_frames(file, detector=one.detector)
                for one, file in zip(experiments, files, strict=True)
            ]
    if len(images) == 1:
        return [open_frames(_alone(images[0]), detector=detector, growing=growing)] * n
    files = [file for pattern in images for file in files_of(pattern)]
    return [open_frames(files, detector=detector, growing=growing)] * n


def _alone(pattern: str) -> str:
    return str(Path(pattern).absolute())


def _matched(
    experiment: Experiment, source: FrameSource | None, *, growing: bool
) -> tuple[Experiment, FrameSource] | None:
    if source is None or growing:
        return None if source is None else (experiment, source)
    found = match_frames(experiment, source)
    if found is None:
        name = experiment.name or "an experiment"
        _warn(f"{name} is skipped: none of the images belongs to it")
    return found


def _believed(
    experiment: Experiment,
    source: FrameSource,
    *,
    scan: Literal["header", "expt"],
    growing: bool,
) -> Experiment:
    n = source.n_frames
    if not growing or experiment.scan is None or n >= experiment.n_frames:
        return reconcile_scan(experiment, source, prefer=scan)
    # Frames are still to come: what the headers of the first ones say holds for all.
    found = reconcile_scan(experiment.part(0, n), source, prefer=scan)
    if found.scan is None:
        return experiment
    times = experiment.scan.exposure_times.copy()
    if not np.array_equal(times[:n], found.scan.exposure_times):
        times[:] = found.scan.exposure_times[-1]
    whole = replace(found.scan, n_frames=experiment.n_frames, exposure_times=times)
    return found.replace(scan=whole, lattice=experiment.lattice)


def _absent(images: ImageSet) -> bool:
    """Whether no file of a set is there at all."""
    folder = Path(images.folder)
    if images.paths:
        return not any((folder / path).exists() for path in images.paths)
    template = folder / images.template
    if template.exists() or not template.parent.is_dir():
        return not template.exists()
    front = re.split(r"#|%", template.name)[0]
    return not any(entry.name.startswith(front) for entry in template.parent.iterdir())


def files_of(pattern: str) -> list[str]:
    """Files of a pattern, a template or a name.

    Raises
    ------
    InputError
        If there is none.
    """
    from unstill.io.frames.image_template import (
        find_pattern,
        find_template,
        is_pattern,
        is_template,
    )

    if is_pattern(pattern):
        return [str(path.absolute()) for path in find_pattern(pattern).present]
    if is_template(pattern) and not Path(pattern).exists():
        return [str(path.absolute()) for path in find_template(pattern).present]
    if not Path(pattern).is_file():
        raise InputError("there is no such image", found=pattern, fix="check --images")
    return [str(Path(pattern).absolute())]


def _warn(text: str) -> None:
    warnings.warn(text, UnstillWarning, stacklevel=3)


def _with_names_apart(sweeps: list[Sweep]) -> list[Sweep]:
    names = [sweep.name for sweep in sweeps]
    if len(set(names)) == len(names):
        return sweeps
    return [replace(sweep, name=f"{sweep.name} {sweep.number + 1}") for sweep in sweeps]
