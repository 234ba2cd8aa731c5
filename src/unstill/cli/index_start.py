"""The geometry that ``unstill index`` starts from: of a file, or of the headers of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.experiment import Experiment, FrameSource, Scan
    from unstill.reduction.indexing import GeometryHints


def starting_geometry(
    source: FrameSource, given: Experiment | None, hints: GeometryHints, *, stills: bool
) -> Experiment:
    """Geometry to start from; frames of stills need no angles."""
    from dataclasses import replace

    from unstill.experiment import FrameSubset
    from unstill.reduction.indexing.image_set import image_set_of
    from unstill.reduction.indexing.starting_geometry import geometry_from_headers, with_hints

    images, first_image = image_set_of(source.files(), source.n_frames)
    if given is not None:
        start = with_hints(_reconciled(given, source, stills=stills), hints)
        return start.replace(images=replace(images, mask=given.images.mask))
    seen = FrameSubset(source, (0,)) if stills else source
    start = geometry_from_headers(seen, hints=hints, images=images)
    if start.scan is None:
        return start
    return start.replace(scan=replace(start.scan, first_image=first_image))


def first_experiment(verb: Verb, expt: Path) -> Experiment:
    """Read the geometry that a file begins with, its lattice left out."""
    from unstill.io.experiment_files import read_experiments

    experiments = read_experiments(expt)
    if len(experiments) > 1:
        verb.warn(f"{expt.name} holds {len(experiments)} experiments; the first is the start")
    return experiments[0].replace(lattice=None)


def _reconciled(given: Experiment, source: FrameSource, *, stills: bool) -> Experiment:
    from unstill.io.scan_headers import reconcile_scan

    if stills:
        return given.replace(scan=None, goniometer=None)
    # The images that were named are the sweep: as many frames as there are.
    scan = given.scan
    if scan is not None and source.n_frames != scan.n_frames:
        given = given.replace(scan=_resized(scan, source.n_frames))
    return reconcile_scan(given, source)


def _resized(scan: Scan, n_frames: int) -> Scan:
    from dataclasses import replace

    import numpy as np

    return replace(
        scan, n_frames=n_frames, exposure_times=np.array([np.median(scan.exposure_times)])
    )
