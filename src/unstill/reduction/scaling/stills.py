"""Scales of stills: one number a still, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from unstill.maps.observations import Observations
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.outliers import BAD_RANGE
from unstill.reduction.scaling.scale import ScaleResult, scale_observations
from unstill.shapes import Bool, Float, Int

FEWEST_COMMON = 10
"""A still with fewer rows that another still sees too is left out."""


@dataclass(frozen=True, eq=False)
class StillScales:
    """Scales of stills.

    Parameters
    ----------
    result
        As for sweeps; rows of stills that could not be scaled have ``rejected`` 3.
    scale
        ``(n_stills,)`` b of each.
    n_common
        ``(n_stills,)`` rows whose voxel another still sees too.
    scaled
        ``(n_stills,)`` whether the still has enough of them.
    """

    result: ScaleResult
    scale: Float[np.ndarray, " n_stills"]
    n_common: Int[np.ndarray, " n_stills"]
    scaled: Bool[np.ndarray, " n_stills"]


def scale_stills(
    observations: Observations,
    options: ScaleOptions | None = None,
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> StillScales:
    """Fit one scale to each still; each still is a sweep of one block.

    Parameters
    ----------
    observations
        All stills together, ``sweep`` is the still.
    options
        Outliers and rounds; absorption, offset and detector are not fitted.
    seed, progress
        As for :func:`scale_observations`.

    Raises
    ------
    InputError
        If no row can be used.
    """
    options = ScaleOptions() if options is None else options
    only_scale = replace(
        options, scale="on", absorption="off", offset="off", detector="off", adapt=False
    )
    # One constant a still, whatever the angles say.
    together = observations.replace(phi=np.zeros(len(observations)))
    result = scale_observations(together, only_scale, seed=seed, progress=progress)
    track = result.model.b.track
    assert track is not None  # b lies along φ
    common = np.isfinite(result.residual)
    n_common = np.bincount(observations.sweep[common], minlength=track.n_keys)
    scaled = n_common >= FEWEST_COMMON
    rejected = np.where(scaled[observations.sweep], result.rejected, BAD_RANGE).astype(np.int8)
    return StillScales(
        replace(result, rejected=rejected), np.exp(result.model.b.values), n_common, scaled
    )
