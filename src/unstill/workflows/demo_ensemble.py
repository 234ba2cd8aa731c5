"""A supercell ensemble of the fitted model, streamed; its agreement as it grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.diffuse.cc_max import cc_max
from unstill.diffuse.intensity import diffuse_intensity
from unstill.diffuse.stream import stream_block_sums
from unstill.disorder.fit_result import FitResult
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.sample import sample
from unstill.disorder.transform import ModelAtoms
from unstill.maps import IntensityMap
from unstill.maps.block_sums import BlockSums
from unstill.maps.ceiling import noise_ceiling
from unstill.maps.common_split import split_on_common_mask
from unstill.maps.correlation import correlate, correlate_split
from unstill.maps.correlation_interval import correlation_interval
from unstill.maps.thin_out import thin_out, thin_out_sums

SUPERCELL: Triple = (2, 2, 2)


@dataclass(frozen=True)
class EnsemblePoint:
    """Agreement of the first frames of the ensemble.

    Parameters
    ----------
    n_frames
        How many.
    cc_aniso, low, high
        Anisotropic CC with the data, and its 95 % interval (block bootstrap).
    cc_max
        CC that so few frames would reach with the noise-free map of their own
        model (split halves); NaN for a single block.
    predicted
        CC of the exact model with the data times ``cc_max``: what the frames
        must reach if nothing but their number limits them.
    null
        The same frames against the permuted data.
    """

    n_frames: int
    cc_aniso: float
    low: float
    high: float
    cc_max: float
    predicted: float
    null: float


@dataclass(frozen=True, eq=False)
class EnsembleAgreement:
    """How the agreement grows with the number of frames.

    Parameters
    ----------
    points
        One a power of two of the blocks.
    exact
        Anisotropic CC of the exact (analytic) model in the same range.
    data_ceiling
        CC_max that the noise of the data sets; ``None`` if not known.
    d_min, d_max
        Resolution range (Å).
    n_atoms
        Atoms of the supercell.
    divisions
        Its unit cells.
    average
        The map of all frames, sampled like the data.
    """

    points: tuple[EnsemblePoint, ...]
    exact: float
    data_ceiling: float | None
    d_min: float
    d_max: float
    n_atoms: int
    divisions: Triple
    average: IntensityMap


def ensemble_agreement(
    observed: IntensityMap,
    null: IntensityMap,
    atoms: ModelAtoms,
    fitted: FitResult,
    *,
    d_min: float,
    d_max: float,
    n_frames: int,
    n_blocks: int,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None],
) -> EnsembleAgreement:
    """Draw frames of a supercell from the fitted liquid-like model and compare as they come."""
    frames = sample(LiquidLike(atoms), fitted.theta, SUPERCELL, n_frames, seed=seed)
    sums = stream_block_sums(
        frames,
        SUPERCELL,
        d_min,
        n_blocks=n_blocks,
        workers=workers,
        # The mean shift of a frame is a motion of the model here, not a drift of a simulation.
        remove_drift=False,
        progress=progress,
    )
    sums = thin_out_sums(sums, observed.grid.divisions)
    exact = split_on_common_mask(fitted.model_map, observed, d_min=d_min, d_max=d_max)
    exact_cc = correlate_split(exact).cc_aniso

    def point(n: int) -> EnsemblePoint:
        part = sums.take(np.arange(n))
        calculated = thin_out(diffuse_intensity(part), observed.grid.divisions)
        common = split_on_common_mask(calculated, observed, d_min=d_min, d_max=d_max)
        low, high = correlation_interval(common, seed=seed)
        ceiling = _sampling_ceiling(part, d_min, d_max)
        return EnsemblePoint(
            n_frames=part.total_frames,
            cc_aniso=correlate_split(common).cc_aniso,
            low=low,
            high=high,
            cc_max=ceiling,
            predicted=exact_cc * ceiling,
            null=correlate(calculated, null, d_min=d_min, d_max=d_max).cc_aniso,
        )

    counts = sorted({2**i for i in range(n_blocks.bit_length())} & set(range(sums.n_blocks + 1)))
    points = tuple(point(n) for n in counts)
    return EnsembleAgreement(
        points=points,
        exact=exact_cc,
        data_ceiling=noise_ceiling(exact)[1],
        d_min=d_min,
        d_max=d_max,
        n_atoms=len(frames.occupancy),
        divisions=SUPERCELL,
        average=thin_out(diffuse_intensity(sums), observed.grid.divisions),
    )


def _sampling_ceiling(part: BlockSums, d_min: float, d_max: float) -> float:
    if part.n_blocks < 2 or part.n_frames.min() < 2:
        return float("nan")
    return cc_max(part, d_min=d_min, d_max=d_max).split_half
