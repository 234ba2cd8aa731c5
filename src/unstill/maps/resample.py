"""Coarser sampling of a map: the mean over the box around each new voxel."""

from __future__ import annotations

from typing import Literal

import numpy as np

from unstill.crystal import HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.symmetrize import inverse_variance

Weights = Literal["equal", "sigma"]


def resample(
    full: IntensityMap,
    divisions: Triple,
    *,
    weights: Weights = "equal",
    min_coverage: float = 0.5,
    mask_negative: bool = False,
) -> IntensityMap:
    r"""Average a map onto coarser divisions.

    The new voxel at hkl is the weighted mean over the box
    |Δh| ≤ 1/(2 n), |Δk| ≤ ..., of the new divisions n:

    .. math:: I = \sum_\Delta w_\Delta I_\Delta / \sum_\Delta w_\Delta

    with w the share of the old voxel that lies in the box. From 4 to 2 these
    are 27 voxels with weights 1 (centre), ½ (faces), ¼ (edges), ⅛ (corners);
    masked voxels drop out of both sums. Constants stay exact for any mask,
    linear maps for masks that are symmetric about the new voxel (a Bragg mask
    is). At the faces of the grid the box shrinks symmetrically, for the same
    reason.

    Parameters
    ----------
    full
        A map, for example 4 × 4 × 4 with the Bragg voxels masked.
    divisions
        New divisions; each must divide the old one.
    weights
        ``"equal"``, or ``"sigma"`` to multiply w by 1/σ².
    min_coverage
        A new voxel is masked if less than this share of the full box's weight
        is usable.
    mask_negative
        Leave out voxels with negative intensity. Off by default, because it
        cuts one tail off the noise and raises weak voxels; here only to show
        that.

    Returns
    -------
    coarser
        ``n_obs`` is the weighted sum of observations, and so need not be whole.
        ``sigma`` takes the old voxels for independent. Across the mirrors of a
        map that was symmetrised before they are copies, and sigma there is up
        to √2 too small: where the map allows it, resample first.

    Raises
    ------
    InputError
        If a new division does not divide the old one, the coverage is not
        between 0 and 1, or weights by sigma are asked of a map without sigma.
    """
    _check(full, weights, min_coverage)
    plan = [_Axis(full, axis, divisions[axis]) for axis in range(3)]
    used = full.measured & (full.intensity >= 0) if mask_negative else full.measured
    weight = used.astype(float)
    if weights == "sigma" and full.sigma is not None:
        weight *= inverse_variance(full.sigma)
    total = _box_sum(weight, plan)
    coverage = _box_sum(used.astype(float), plan) / np.prod([axis.ratio for axis in plan])
    masked = (total <= 0) | (coverage < min_coverage - 1e-9)
    safe = np.where(masked, 1.0, total)
    mean = _box_sum(np.where(used, weight * full.intensity, 0.0), plan) / safe
    sigma = None
    if full.sigma is not None:
        variance = np.where(used, (weight * full.sigma) ** 2, 0.0)
        sigma = np.where(masked, np.nan, np.sqrt(_box_sum(variance, plan, power=2)) / safe)
    n_obs = None
    if full.n_obs is not None:
        n_obs = _box_sum(np.where(used, full.n_obs, 0).astype(float), plan)
    return IntensityMap(
        crystal=full.crystal,
        grid=_coarser(plan, divisions),
        intensity=np.where(masked, np.nan, mean),
        sigma=sigma,
        n_obs=n_obs,
        mask=masked,
        provenance=full.provenance,
    )


class _Axis:
    """Along one axis: centres of the new voxels, and the weight of each old neighbour."""

    def __init__(self, full: IntensityMap, axis: int, new: int) -> None:
        old, start, n = (
            full.grid.divisions[axis],
            full.grid.start[axis],
            full.grid.shape[axis],
        )
        if new < 1 or old % new:
            raise InputError(
                "the new divisions must divide the old ones",
                found=f"{full.grid.divisions} to {new} along {'hkl'[axis]}",
                fix=f"choose a divisor of {old} along {'hkl'[axis]}",
            )
        self.ratio = old // new
        self.start = -(-start // self.ratio)
        stop = (start + n - 1) // self.ratio + 1
        if stop <= self.start:
            raise InputError(
                "no voxel of the new grid lies in the map",
                found=f"{n} voxels from index {start} along {'hkl'[axis]}, ratio {self.ratio}",
                fix="use a larger map or finer divisions",
            )
        self.shape = stop - self.start
        self.centre = np.arange(self.start, stop) * self.ratio - start
        half = self.ratio // 2
        self.offsets = np.arange(-half, half + 1)
        share = np.ones(len(self.offsets))
        if self.ratio % 2 == 0:
            # Even ratios put a voxel on either face of the box: half of it is inside.
            share[[0, -1]] = 0.5
        reach = np.minimum(self.centre, n - 1 - self.centre)
        self.weight = share[:, np.newaxis] * (np.abs(self.offsets)[:, np.newaxis] <= reach)


def _box_sum(values: np.ndarray, plan: list[_Axis], power: int = 1) -> np.ndarray:
    """Weighted sum over the box of each new voxel; the box is a product of three axes."""
    for number, axis in enumerate(plan):
        n = values.shape[number]
        shape = [1, 1, 1]
        shape[number] = -1
        total = np.zeros(())
        for offset, weight in zip(axis.offsets, axis.weight**power, strict=True):
            position = np.clip(axis.centre + offset, 0, n - 1)
            total = total + np.take(values, position, axis=number) * weight.reshape(shape)
        values = total
    return values


def _coarser(plan: list[_Axis], divisions: Triple) -> HklGrid:
    h, k, l = plan
    return HklGrid((h.start, k.start, l.start), (h.shape, k.shape, l.shape), divisions)


def _check(full: IntensityMap, weights: Weights, min_coverage: float) -> None:
    if weights == "sigma" and full.sigma is None:
        raise InputError(
            "the map has no sigma to weight by",
            found="intensities alone",
            fix="use equal weights (--weights equal)",
        )
    if not 0 <= min_coverage <= 1:
        raise InputError(
            "the minimum coverage is a share of the box",
            found=min_coverage,
            fix="give a number between 0 and 1",
        )
