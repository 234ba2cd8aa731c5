"""Indexed spots as a DIALS reflection table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unstill.experiment import Experiment
from unstill.io.dials_refl import INDEXED, STRONG, Reflections
from unstill.reduction.indexing.result import IndexResult
from unstill.reduction.indexing.turning import angles

_UNINDEXED_ID = -1


def reflections_of(results: Sequence[IndexResult]) -> Reflections:
    """Make a table of the spots of results, one experiment each, in their order.

    Parameters
    ----------
    results
        One sweep, or several stills.
    """
    parts = [_columns(result, number) for number, result in enumerate(results)]
    return Reflections({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def centred_frames(experiment: Experiment) -> Experiment:
    """Return frames that stand still at equal steps as frames that turn about their angles.

    An experiment list of DIALS knows steps only. Half a step is taken from the
    start, so that the middle of each frame is at the angle that it was taken at.
    """
    scan = experiment.scan
    if scan is None or scan.phi_width or not scan.phi_step:
        return experiment
    start = scan.phi_start - scan.phi_step / 2
    return experiment.replace(scan=replace(scan, phi_start=start, phi_width=scan.phi_step))


def _columns(result: IndexResult, number: int) -> dict[str, np.ndarray]:
    spots, experiment = result.spots, result.experiment
    first = 1 if experiment.scan is None else experiment.scan.first_image
    before = np.array([0.0, 0.0, first - 1.0])
    observed = np.stack([spots.fast, spots.slow, spots.frame], axis=1)
    calculated = observed.copy()
    known = result.indexed
    moved = result.residuals[known].copy()
    moved[:, 2] = moved[:, 2] / _degrees_a_frame(experiment)
    calculated[known] += moved
    calculated[~known] = 0
    s = spots.scattering_vectors(experiment)
    return {
        "id": np.where(known, number, _UNINDEXED_ID).astype(np.int32),
        "imageset_id": np.full(len(spots), number, np.int32),
        "panel": spots.panel.astype(np.uint64),
        "miller_index": result.hkl.astype(np.int32),
        "xyzobs.px.value": observed + before,
        "xyzobs.px.variance": spots.variance,
        "xyzobs.mm.value": _millimetres(experiment, result),
        "xyzcal.px": calculated + np.where(known[:, None], before, 0),
        "intensity.sum.value": spots.intensity,
        "n_signal": spots.n_pixels.astype(np.int32),
        "s1": s + experiment.beam.s0,
        "flags": (STRONG + INDEXED * known).astype(np.uint64),
    }


def _degrees_a_frame(experiment: Experiment) -> float:
    scan = experiment.scan
    if scan is None:
        return 1.0
    return float(scan.phi_width or scan.phi_step or 1.0)


def _millimetres(experiment: Experiment, result: IndexResult) -> np.ndarray:
    spots = result.spots
    sizes = np.array([panel.pixel_size for panel in experiment.detector.panels])[spots.panel]
    columns = [spots.fast * sizes[:, 0], spots.slow * sizes[:, 1]]
    return np.stack([*columns, np.radians(angles(experiment, spots))], axis=1)
