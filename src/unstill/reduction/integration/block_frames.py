"""How many frames a block may have so that what is summed of it stays small.

A worker holds the sums and the rows of one block. Their number follows from
geometry: while a frame is exposed, the detector's part of the Ewald sphere
sweeps through reciprocal space. In units of voxels the sphere has an area,
which cuts about as many voxels as the sum of its three projections, and each
frame adds the volume that it sweeps. On a fine grid frames of a large
detector touch millions of voxels; a block of ten would take gigabytes.

The limit depends on detector, scan, cell and divisions, and never on the number of
workers or on the machine: the cut into blocks is part of the result.
"""

from __future__ import annotations

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.experiment import Experiment
from unstill.experiment.pixels import scattering_vectors
from unstill.reduction.integration.kernel import N_SUMS

BYTES_OF_BLOCK = 1 << 30
"""Sums and rows of a block, about. Less memory costs rows: each block cuts all its voxels anew."""

_BYTES_OF_BRICK = 64 * 8 * N_SUMS
_BYTES_OF_ROW = 230
"""Columns of a row, and what sorting and packing takes meanwhile."""

_CELLS = 96
"""Cells along each side of a panel that the area is added up from."""


def frames_that_fit(experiment: Experiment, divisions: Triple, fine: Triple | None = None) -> int:
    """Return how many frames of a sweep a block may have at most.

    Parameters
    ----------
    experiment
        With lattice.
    divisions, fine
        Voxels a reciprocal-lattice vector, of both maps.

    Returns
    -------
    n_frames
        1 at least.
    """
    area, swept = np.zeros(2), np.zeros(2)
    for row, (cut, volume) in enumerate(
        touched(experiment, grid) for grid in (divisions, fine) if grid is not None
    ):
        area[row], swept[row] = cut, volume
    bricks_area, bricks_swept = area.sum() / 16, swept.sum() / 64
    fixed = bricks_area * _BYTES_OF_BRICK + area.sum() * _BYTES_OF_ROW
    a_frame = bricks_swept * _BYTES_OF_BRICK + swept.sum() * _BYTES_OF_ROW
    if a_frame <= 0:
        return experiment.n_frames
    return max(1, int((BYTES_OF_BLOCK - fixed) / a_frame))


def touched(experiment: Experiment, divisions: Triple) -> tuple[float, float]:
    """Voxels that the detector cuts at any time, and those that it sweeps in a frame, about.

    Voxels smaller than a pixel are touched by pixels and not by what lies between.
    """
    grid = np.array(divisions, float)
    start, stop = (experiment.hkl_matrix(frame) for frame in _first_frame(experiment))
    area = swept = 0.0
    for panel in experiment.detector.panels:
        n_x, n_y = panel.image_size
        x, y = np.linspace(0, n_x, _CELLS + 1), np.linspace(0, n_y, _CELLS + 1)
        s = scattering_vectors(experiment.beam, panel, *np.meshgrid(x, y))
        at = (s @ start.T) * grid
        along, across = at[:-1, 1:] - at[:-1, :-1], at[1:, :-1] - at[:-1, :-1]
        normal = np.cross(along, across)
        moved = ((s @ stop.T) * grid - at)[:-1, :-1]
        pixels = n_x * n_y / _CELLS**2
        area += float(np.minimum(np.abs(normal).sum(axis=-1), pixels).sum())
        swept += float(np.minimum(np.abs((normal * moved).sum(axis=-1)), pixels).sum())
    return area, swept


def _first_frame(experiment: Experiment) -> tuple[float, float]:
    """Start and end of the first frame; of a still the same."""
    turns = experiment.scan is not None and bool(experiment.scan.phi_width)
    return (0.0, 1.0) if turns else (0.5, 0.5)
