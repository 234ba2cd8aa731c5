"""What a merged data set says about each row, and how much of that is the row's own doing."""

from __future__ import annotations

import numpy as np

from unstill.maps.observations import Observations
from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.representatives import packed, packed_representatives
from unstill.reduction.merging.voxel_sums import weights_of
from unstill.shapes import Float


def predict_rows(
    observations: Observations,
    scale: Float[np.ndarray, " n"],
    offset: Float[np.ndarray, " n"],
    merged: Merged,
    *,
    keep: np.ndarray | None = None,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the merged intensity of the voxel of each row, and the leverage of the row.

    Parameters
    ----------
    observations, scale, offset, keep
        As they were merged.
    merged
        What :func:`~unstill.reduction.merging.merge.merge_observations` made of them.

    Returns
    -------
    intensity
        ``(n,)``; NaN for rows of no merged voxel.
    leverage
        ``(n,)`` ω e / Σ ω e, 0 for rows that were left out.
    """
    key = packed_representatives(merged.operations, observations.index)
    known = packed(merged.index)
    place = np.minimum(np.searchsorted(known, key), len(known) - 1)
    found = known[place] == key
    effective = observations.exposure * scale
    flat = observations.background + observations.exposure * offset
    weight = weights_of(
        effective,
        flat,
        observations.background_sigma,
        merged.expectation.mean_at(key),
        merged.error_model,
    )
    used = found if keep is None else found & np.asarray(keep, bool)
    share = np.where(used, weight * effective, 0.0)
    total = np.bincount(place, weights=share, minlength=len(known))
    with np.errstate(divide="ignore", invalid="ignore"):
        leverage = np.where(share > 0, share / total[place], 0.0)
    intensity = np.where(found, merged.intensity[place], np.nan)
    return intensity, leverage
