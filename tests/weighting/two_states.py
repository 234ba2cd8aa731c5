"""Frames of a crystal that knows two states, and a map of another mixture of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.supercell import supercell
from unstill.diffuse.laue_average import LaueAverage
from unstill.maps import BlockSums, IntensityMap, map_from_points
from unstill.scattering.engine import make_engine
from unstill.scattering.scatterers import Scatterers

CRYSTAL = Crystal((17.0, 19.0, 23.0, 90.0, 90.0, 90.0), "P 21 21 21")
DIVISIONS = (2, 2, 2)
D_MIN = 2.0
N_ATOMS = 240


@lru_cache
def structure_factors(
    n_frames: int, seed: int, d_min: float = D_MIN, moved: float = 1.2
) -> tuple[np.ndarray, np.ndarray]:
    """``(n_frames, n_points)`` F, and the state of each frame: the first half A, then B."""
    rng = np.random.default_rng(1)
    cell = supercell(CRYSTAL, DIVISIONS)
    mean = cell.cartesian(rng.random((N_ATOMS, 3)))
    shift = np.zeros((N_ATOMS, 3))
    shift[: N_ATOMS // 4] = moved * np.array([1.0, -0.4, 0.7]) / np.linalg.norm([1.0, -0.4, 0.7])
    index = friedel_half(CRYSTAL, d_min, DIVISIONS)
    engine = make_engine(cell, index, Scatterers(element=["C", "N", "O"] * (N_ATOMS // 3)))
    state = np.repeat([0, 1], [n_frames - n_frames // 2, n_frames // 2])
    noise = np.random.default_rng(seed)
    modes = np.random.default_rng(2).normal(size=(12, N_ATOMS, 3)) * 0.12
    f = []
    for one in state:
        moves = np.tensordot(noise.normal(size=12), modes, 1)
        frac = cell.fractional(mean + one * shift + moves)
        f.append(engine.structure_factors(frac))
    return np.array(f, dtype=np.complex128), state


def frame_sums(
    n_frames: int = 120, *, seed: int = 0, per_block: int = 1, **options: float
) -> BlockSums:
    """Sums of frames, half of them in each state; blocks never mix states."""
    f, _ = structure_factors(n_frames, seed, **options)
    blocks = f.reshape(n_frames // per_block, per_block, -1)
    n = len(blocks)
    return BlockSums(
        crystal=CRYSTAL,
        divisions=DIVISIONS,
        index=friedel_half(CRYSTAL, options.get("d_min", D_MIN), DIVISIONS),
        s1=blocks.sum(axis=1)[:, None],
        s2=(np.abs(blocks) ** 2).sum(axis=1)[:, None],
        weight=np.full(n, float(per_block)),
        weight_squared=np.full(n, float(per_block)),
        n_frames=np.full(n, per_block),
    )


def mixed_map(
    share: float = 0.8,
    *,
    n_frames: int = 600,
    seed: int = 100,
    noise: float = 0.3,
    noise_seed: int = 5,
    **options: float,
) -> IntensityMap:
    """Map of ``share`` of state A in frames of their own, with Gaussian noise and its σ.

    The noise is that share of the spread of the intensity in the whole map.
    """
    f, state = structure_factors(n_frames, seed, **options)
    weight = np.where(state == 0, share / (state == 0).sum(), (1 - share) / (state == 1).sum())
    exact = weight @ np.abs(f) ** 2 - np.abs(weight @ f) ** 2
    index = friedel_half(CRYSTAL, options.get("d_min", D_MIN), DIVISIONS)
    average = LaueAverage.of(CRYSTAL, DIVISIONS, index)
    exact = average(exact) / np.prod(DIVISIONS)
    sigma = noise * np.std(exact) * np.ones(len(exact))
    draws = np.random.default_rng(noise_seed).normal(size=len(exact))
    return map_from_points(CRYSTAL, DIVISIONS, index, exact + sigma * draws, sigma)
