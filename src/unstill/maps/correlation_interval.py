"""How well an anisotropic correlation is known."""

from __future__ import annotations

import numpy as np

from unstill.maps.blocks import N_BLOCKS, bootstrap_weights, reciprocal_blocks
from unstill.maps.common_split import CommonSplit
from unstill.shapes import Float, Int


def correlation_interval(
    common: CommonSplit, *, n_draws: int = 400, n_blocks: int = N_BLOCKS, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the anisotropic CC, from a bootstrap over blocks of reciprocal space.

    Blocks hold Laue mates and neighbours together, so that a map does not look
    better known for being sampled more finely.

    Parameters
    ----------
    common
        Two maps on their common mask.
    n_draws
        Draws of blocks with replacement.
    n_blocks
        Blocks to aim at.
    seed
        Seed of the draws.

    Returns
    -------
    low, high
        2.5 and 97.5 percentiles over the draws; NaN if there are no two blocks.
    """
    used = common.usable
    label = reciprocal_blocks(common.a, n_blocks=n_blocks, usable=used)[used]
    a, b = common.aniso_a().astype(float), common.aniso_b().astype(float)
    return bootstrap_interval(label, a, b, n_draws=n_draws, seed=seed)


def bootstrap_interval(
    label: Int[np.ndarray, " voxels"],
    a: Float[np.ndarray, " voxels"],
    b: Float[np.ndarray, " voxels"],
    *,
    n_draws: int = 400,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of the correlation of two columns, from a bootstrap over blocks of voxels.

    Parameters
    ----------
    label
        ``(n,)`` block of each voxel.
    a, b
        ``(n,)`` anisotropic intensities.
    n_draws, seed
        Draws of blocks with replacement, and their seed.

    Returns
    -------
    low, high
        2.5 and 97.5 percentiles; NaN if there are no two blocks.
    """
    _, label = np.unique(label, return_inverse=True)
    number = int(label.max(initial=-1)) + 1
    if number < 2:
        return float("nan"), float("nan")
    moments = np.stack(
        [
            np.bincount(label, weights=values, minlength=number)
            for values in (np.ones_like(a), a, b, a * a, b * b, a * b)
        ],
        axis=1,
    )
    draws = bootstrap_weights(number, n_draws, np.random.default_rng(seed)) @ moments
    n, sum_a, sum_b, sum_aa, sum_bb, sum_ab = draws.T
    with np.errstate(divide="ignore", invalid="ignore"):
        cc = (sum_ab - sum_a * sum_b / n) / np.sqrt(
            (sum_aa - sum_a**2 / n) * (sum_bb - sum_b**2 / n)
        )
    low, high = np.nanpercentile(cc, [2.5, 97.5])
    return float(low), float(high)
