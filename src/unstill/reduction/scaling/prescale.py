"""A first scale of each sweep from the mean intensity of its resolution."""

from __future__ import annotations

import numpy as np

from unstill.reduction.scaling.rows import VoxelRows
from unstill.shapes import Float

_ROUNDS = 4
_LEAST = 0.02


def prescale(rows: VoxelRows) -> Float[np.ndarray, " n_sweeps"]:
    """Return one log b for each sweep that brings all sweeps to one mean curve I(s).

    Iterates ratios of sums, which no weak row biases. Good to a few percent;
    without it, sweeps that differ by orders of magnitude would start far from
    any solution.
    """
    table = rows.observations
    shell, s = rows.shells
    shell_of_row = shell[rows.voxel]
    signal = table.counts - table.background
    n_sweeps = max(len(table.sweep_names), int(table.sweep.max()) + 1)
    log_scale = np.zeros(n_sweeps)
    for _ in range(_ROUNDS):
        exposure = table.exposure * np.exp(log_scale)[table.sweep]
        total = np.bincount(shell_of_row, weights=exposure, minlength=len(s))
        mean = np.bincount(shell_of_row, weights=signal, minlength=len(s)) / total
        mean = np.maximum(mean, _LEAST * np.mean(np.abs(mean)))
        expected = np.bincount(
            table.sweep, weights=exposure * mean[shell_of_row], minlength=n_sweeps
        )
        counted = np.bincount(table.sweep, weights=signal, minlength=n_sweeps)
        seen = expected > 0
        ratio = counted[seen] / expected[seen]
        log_scale[seen] += np.log(np.clip(ratio, _LEAST, 1 / _LEAST))
        log_scale[seen] -= log_scale[seen].mean()
    return log_scale
