"""How the fine observations of a run are cut into parts that fit into memory."""

from __future__ import annotations

import numpy as np

from unstill.experiment import Experiment
from unstill.experiment.pixels import scattering_vectors
from unstill.reduction.merging.fine_slabs import Slabs, cut_slabs
from unstill.reduction.pipeline.run import Run

_VOXELS = 1_000_000
"""Voxels of the sphere, mates counted, that a slab stands for, about.

A full turn observes each voxel some three times, as often as a block ends in it
more: these rows are in memory at once. How many there are in all is not known
when the first block is cut, and must not matter where sweeps grow or are added.
"""

_MOST = 400
"""Each block is read once a slab: more slabs would take long."""


def run_slabs(run: Run) -> Slabs | None:
    """Return the cut for all sweeps of a run; ``None`` without a fine map.

    It depends on the first crystal and on the highest resolution of all sweeps.
    """
    fine = run.parameters.integrate.fine
    if fine is None:
        return None
    if "slabs" not in run.memo:
        crystal = run.sweeps[0].experiment.crystal
        limit = run.parameters.frames.d_min or min(
            highest_resolution(sweep.experiment) for sweep in run.sweeps
        )
        sphere = 4 / 3 * np.pi / limit**3 * crystal.volume * float(np.prod(fine))
        symmetry = run.parameters.merge.symmetry
        run.memo["slabs"] = cut_slabs(
            crystal,
            fine,
            limit,
            int(np.clip(np.ceil(sphere / _VOXELS), 1, _MOST)),
            symmetry=symmetry,
            friedel=symmetry,
        )
    slabs: Slabs = run.memo["slabs"]
    return slabs


def highest_resolution(experiment: Experiment) -> float:
    """Smallest d (Å) that the corners of the detector see, rounded down to 0.001 Å."""
    largest = 0.0
    for panel in experiment.detector.panels:
        x, y = panel.image_size
        fast, slow = np.array([0, x, 0, x]), np.array([0, 0, y, y])
        s = scattering_vectors(experiment.beam, panel, fast, slow)
        largest = max(largest, float(np.linalg.norm(s, axis=-1).max()))
    return float(np.floor(1000 / largest)) / 1000
