"""How well a perfect map could agree with this one: the ceiling set by sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.diffuse.intensity import diffuse_intensity
from unstill.diffuse.laue_average import LaueAverage
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
from unstill.maps.correlation import correlate
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.isotropic import split_isotropic


@dataclass(frozen=True)
class CCMax:
    """The ceiling of the anisotropic correlation, two ways.

    Parameters
    ----------
    split_half
        √(2r/(1+r)), r the anisotropic correlation of the two halves
        (Spearman–Brown, then the square root for a noise-free partner). 0
        where the halves do not agree; NaN where it cannot be told.
    cc_half
        r itself.
    closed_form
        [1 + ⟨I²⟩ / (m T_eff Var I)]^(−1/2), with the sampling variance
        ⟨I²/(m T_eff)⟩ as the blocks show it and Var I that of the true
        anisotropic intensity.
    n_effective
        T_eff: independent frames that would give this sampling error. Less
        than the number of frames where consecutive frames are alike.
    n_frames
        Frames that were summed.
    """

    split_half: float
    cc_half: float
    closed_form: float
    n_effective: float
    n_frames: int


def cc_max(
    sums: BlockSums,
    *,
    selection: str = "all",
    d_min: float | None = None,
    d_max: float | None = None,
) -> CCMax:
    """Expect this anisotropic CC, at most, between the map of these sums and a noise-free one.

    The halves are the first and the second half of the blocks: slow motion
    that the run has seen once then counts as what it is, noise.

    Parameters
    ----------
    sums
        At least two blocks with two frames each.
    selection
        Which atoms.
    d_min, d_max
        Resolution limits (Å) of the comparison.

    Raises
    ------
    InputError
        If there are too few blocks.

    References
    ----------
    Karplus, P. A. & Diederichs, K. (2012). *Science* 336, 1030–1033
    (the same step from half-set to true correlation),
    https://doi.org/10.1126/science.1218231
    """
    half = _middle(sums)
    first, second = (
        diffuse_intensity(sums.take(blocks), selection=selection, with_sigma=False)
        for blocks in (np.arange(half), np.arange(half, sums.n_blocks))
    )
    cc_half = correlate(first, second, d_min=d_min, d_max=d_max).cc_aniso
    full = diffuse_intensity(sums, selection=selection)
    closed_form, n_effective = _from_errors(full, sums, d_min, d_max)
    return CCMax(
        split_half=_spearman_brown(cc_half),
        cc_half=cc_half,
        closed_form=closed_form,
        n_effective=n_effective,
        n_frames=sums.total_frames,
    )


def _spearman_brown(r: float) -> float:
    return r if np.isnan(r) else float(np.sqrt(2 * max(r, 0.0) / (1 + max(r, 0.0))))


def _middle(sums: BlockSums) -> int:
    """Return the block at which half of the weight is passed."""
    passed = np.cumsum(sums.weight) / np.sum(sums.weight)
    half = int(np.clip(np.argmin(np.abs(passed - 0.5)) + 1, 1, max(1, sums.n_blocks - 1)))
    frames = int(sums.n_frames[:half].sum()), int(sums.n_frames[half:].sum())
    if sums.n_blocks < 2 or min(frames) < 2:
        raise InputError(
            "the ceiling of CC needs two halves with at least two frames each",
            found=f"{sums.n_blocks} blocks, {sums.total_frames} frames",
            fix="use more frames and at least two --blocks",
        )
    return half


def _from_errors(
    full: IntensityMap, sums: BlockSums, d_min: float | None, d_max: float | None
) -> tuple[float, float]:
    index = sums.index.astype(np.int64)
    places = full.grid.position(index)
    s_squared = sums.crystal.s_squared(index / np.array(sums.divisions))
    used = np.any(index != 0, axis=1)
    used &= s_squared <= ((1 + 1e-9) / d_min**2 if d_min else np.inf)
    used &= s_squared >= ((1 - 1e-9) / d_max**2 if d_max else 0)
    mask = np.ones(full.grid.shape, dtype=bool)
    mask.ravel()[places[used]] = False
    anisotropic = split_isotropic(full, mask=mask).anisotropic.intensity.ravel()[places]
    used &= np.isfinite(anisotropic)
    if full.sigma is None or not used.any():
        return float("nan"), float("nan")
    intensity, noise = full.intensity.ravel()[places], full.sigma.ravel()[places] ** 2
    multiplicity = LaueAverage.of(sums.crystal, sums.divisions, index).multiplicity
    sampling = float(np.mean(noise[used]))
    observed = float(np.var(anisotropic[used]))
    if observed <= 0 or sampling <= 0:
        return float("nan"), float("nan")
    n_effective = float(np.mean(intensity[used] ** 2 / multiplicity[used])) / sampling
    true_variance = max(observed - sampling, 0.0)
    return float(np.sqrt(true_variance / observed)), n_effective
