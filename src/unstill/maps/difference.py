"""Difference of two maps, on the scale of the second, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.maps.blocks import N_BLOCKS, bootstrap_weights, reciprocal_blocks
from unstill.maps.common_split import CommonSplit, split_on_common_mask
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.isotropic import shell_radius

_MAD_TO_SIGMA = 1.4826
"""σ of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, eq=False)
class DifferenceMap:
    """Δ = k I_a − I_b and how large it is.

    Parameters
    ----------
    map
        Δ, with its uncertainty as ``sigma``.
    sigma
        Uncertainty of Δ as a map: the noise of a voxel and the uncertainty of
        the scale.
    z
        Δ/σ as a map. Noise alone gives a standard normal distribution.
    scale, scale_sigma
        k, and its standard deviation over bootstrap draws of blocks.
    rms_ratio, rms_ratio_sigma
        rms Δ over the rms of the anisotropic part of b. 0 for equal maps; √2
        for maps of equal spread that share only the isotropic part.
    noise
        Where the noise of a voxel comes from: ``"sigma"`` of the maps, or
        ``"spread"`` of Δ in its shell (an upper bound: it holds the real
        differences as well).
    """

    map: IntensityMap
    sigma: IntensityMap
    z: IntensityMap
    scale: float
    scale_sigma: float
    rms_ratio: float
    rms_ratio_sigma: float
    noise: str


def difference(
    a: IntensityMap,
    b: IntensityMap,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    n_bootstrap: int = 200,
    n_blocks: int = N_BLOCKS,
    seed: int = 0,
) -> DifferenceMap:
    r"""Scale one map to the other and subtract.

    The scale makes the isotropic curves agree, shell by shell with the number
    of voxels n as weight,

    .. math:: k = \sum_s n_s \bar a_s \bar b_s / \sum_s n_s \bar a_s^2 ,

    so that the features, which are what the difference is about, do not decide
    it. A bootstrap over blocks of reciprocal space (symmetry mates in one
    block) redraws the curves and gives the uncertainty of k and of the ratio.

    Parameters
    ----------
    a, b
        Maps of one lattice, divisions and indexing.
    d_min, d_max
        Resolution limits (Å).
    n_bootstrap
        Draws of blocks.
    n_blocks
        Blocks to aim at.
    seed
        Seed of the draws.

    Raises
    ------
    InputError
        If the maps share no voxels, or the curves give no positive scale.
    """
    common = split_on_common_mask(a, b, d_min=d_min, d_max=d_max)
    if n_bootstrap < 2:
        raise InputError(
            "a bootstrap needs at least two draws", found=n_bootstrap, fix="use 200 or more"
        )
    sums = _BlockSums(common, n_blocks)
    ones = np.ones((1, sums.n_blocks), dtype=np.int64)
    scale = float(sums.scale(ones)[0])
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(
            "the isotropic curves give no positive scale",
            found=f"scale {scale:g}",
            fix="check that both maps hold intensities, not differences",
        )
    draws = bootstrap_weights(sums.n_blocks, n_bootstrap, np.random.default_rng(seed))
    scales = sums.scale(draws)
    ratios = sums.rms_ratio(draws, scales)
    delta = np.where(common.usable, scale * common.a.intensity - common.b.intensity, np.nan)
    noise, source = _noise(common, delta, scale)
    sigma = np.hypot(noise, float(scales.std(ddof=1)) * common.a.intensity)
    whole = common.a.replace(
        intensity=delta, sigma=np.where(common.usable, sigma, np.nan), mask=~common.usable
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(common.usable, delta / sigma, np.nan)
    return DifferenceMap(
        map=whole,
        sigma=whole.replace(intensity=np.where(common.usable, sigma, np.nan), sigma=None),
        z=whole.replace(intensity=z, sigma=None),
        scale=scale,
        scale_sigma=float(scales.std(ddof=1)),
        rms_ratio=float(sums.rms_ratio(ones, np.array([scale]))[0]),
        rms_ratio_sigma=float(ratios.std(ddof=1)),
        noise=source,
    )


class _BlockSums:
    """Sums by block and shell, from which every draw is one matrix product."""

    def __init__(self, common: CommonSplit, n_blocks: int) -> None:
        used = common.usable
        label = reciprocal_blocks(common.a, n_blocks=n_blocks, usable=used)[used]
        _, label = np.unique(label, return_inverse=True)
        shell = np.floor(shell_radius(common.a)[used] + 0.5).astype(np.int64)
        a = common.a.intensity[used].astype(float)
        b = common.b.intensity[used].astype(float)
        self.n_blocks = int(label.max()) + 1
        self._n_shells = int(shell.max()) + 1
        self._cell = label * self._n_shells + shell
        self._count = self._table(np.ones_like(a))
        self._a, self._b = self._table(a), self._table(b)
        # Σ(kA − B)² = k² ΣA² − 2k ΣAB + ΣB², so that no draw touches a voxel.
        self._aa, self._ab, self._bb = (
            self._table(product).sum(axis=1) for product in (a * a, a * b, b * b)
        )
        self._aniso = self._table(common.aniso_b() ** 2).sum(axis=1)

    def scale(self, draws: np.ndarray) -> np.ndarray:
        """Least-squares scale between the isotropic curves of each draw."""
        count = np.maximum(draws @ self._count, 1e-300)
        sum_a, sum_b = draws @ self._a, draws @ self._b
        with np.errstate(divide="ignore", invalid="ignore"):
            k: np.ndarray = (sum_a * sum_b / count).sum(axis=1) / (sum_a**2 / count).sum(axis=1)
        return k

    def rms_ratio(self, draws: np.ndarray, k: np.ndarray) -> np.ndarray:
        """Rms Δ over rms anisotropic b of each draw."""
        squared = k**2 * (draws @ self._aa) - 2 * k * (draws @ self._ab) + draws @ self._bb
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: np.ndarray = np.sqrt(np.maximum(squared, 0) / (draws @ self._aniso))
        return ratio

    def _table(self, values: np.ndarray) -> np.ndarray:
        size = self.n_blocks * self._n_shells
        summed = np.bincount(self._cell, weights=values, minlength=size)
        return summed.reshape(self.n_blocks, self._n_shells)


def _noise(common: CommonSplit, delta: np.ndarray, scale: float) -> tuple[np.ndarray, str]:
    a, b = common.a.sigma, common.b.sigma
    if a is not None and b is not None:
        return np.hypot(scale * a, b), "sigma"
    used = common.usable
    shell = np.floor(shell_radius(common.a) + 0.5).astype(np.int64)
    spread = _robust_spread(delta[used], shell[used])
    noise: np.ndarray = spread[np.minimum(shell, len(spread) - 1)]
    return noise, "spread"


def _robust_spread(values: np.ndarray, shell: np.ndarray) -> np.ndarray:
    """Robust standard deviation by shell; thin shells borrow that of the whole map."""
    order = np.argsort(shell, kind="stable")
    edges = np.searchsorted(shell[order], np.arange(int(shell.max()) + 2))
    spread = np.full(len(edges) - 1, _median_spread(values))
    for number in range(len(spread)):
        members = values[order[edges[number] : edges[number + 1]]]
        if len(members) >= 10 and (own := _median_spread(members)) > 0:
            spread[number] = own
    return spread


def _median_spread(values: np.ndarray) -> float:
    # About zero, not about the median: an isotropic misfit is a difference too.
    return float(_MAD_TO_SIGMA * np.median(np.abs(values)))
