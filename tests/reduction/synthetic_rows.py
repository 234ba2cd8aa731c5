"""Observations drawn from a known intensity, without images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.symmetry import map_to_asu
from unstill.maps.observations import Observations

TETRAGONAL = Crystal((20.0, 20.0, 26.0, 90.0, 90.0, 90.0), "P 41")


@dataclass(frozen=True, eq=False)
class Drawn:
    observations: Observations
    scale: np.ndarray
    offset: np.ndarray
    truth: np.ndarray  # intensity of each row


def smooth_truth(crystal: Crystal, *, contrast: float = 0.3, seed: int = 0, phase: float = 0.0):
    """A Laue-symmetric intensity: decay with resolution, times waves of the representative."""
    rng = np.random.default_rng([seed, 77])
    waves, phases = rng.normal(0, 1.5, (4, 3)), rng.uniform(0, 2 * np.pi, 4)

    def truth(index: np.ndarray, divisions: tuple[int, int, int]) -> np.ndarray:
        hkl = map_to_asu(crystal, index, divisions) / np.array(divisions)
        s2 = crystal.s_squared(hkl)
        pattern = np.cos(hkl @ waves.T + phases + phase).mean(axis=-1) * np.sqrt(8)
        return np.exp(-2 * s2) * (1 + contrast * np.clip(pattern, -2.5, 2.5))

    return truth


def draw(
    crystal: Crystal = TETRAGONAL,
    *,
    truth: Callable[[np.ndarray, tuple[int, int, int]], np.ndarray] | None = None,
    divisions: tuple[int, int, int] = (2, 2, 2),
    d_min: float = 2.0,
    counts: float = 6.0,
    n_sweeps: int = 2,
    coverage: float = 0.6,
    background: float = 0.3,
    background_sigma: float = 0.0,
    relative: float = 0.0,
    gain: float = 1.0,
    offset: float = 0.1,
    seed: int = 0,
) -> Drawn:
    """Cover part of the sphere by each sweep; ``counts`` is the median a row, background too."""
    rng = np.random.default_rng([seed, 5])
    truth = smooth_truth(crystal) if truth is None else truth
    index = HklGrid.covering(crystal, d_min, divisions).index().reshape(-1, 3)
    s = np.sqrt(crystal.s_squared(index / np.array(divisions)))
    index, s = index[(s <= 1 / d_min) & (s > 0)], s[(s <= 1 / d_min) & (s > 0)]
    # Two blocks a sweep; a voxel falls into one, the other, or none.
    picks = [
        (np.flatnonzero(rng.random(len(index)) < coverage / 2), sweep, block)
        for sweep in range(n_sweeps)
        for block in range(2)
    ]
    rows = np.concatenate([pick for pick, _, _ in picks])
    sweep = np.concatenate([np.full(len(pick), a) for pick, a, _ in picks])
    block = np.concatenate([np.full(len(pick), b) for pick, _, b in picks])
    n = len(rows)
    true = truth(index[rows], divisions)
    exposure = rng.uniform(0.5, 1.5, n)
    scale = 1 + 0.3 * np.sin(np.arange(n) / n * 7 + sweep)
    shift = np.full(n, offset)
    flat = background * exposure * rng.uniform(0.5, 2.0, n)
    factor = counts / np.median(exposure * (scale * true + shift) + flat)
    exposure, flat = exposure * factor, flat * factor
    signal = exposure * scale * true * (1 + relative * rng.normal(size=n))
    sigma = background_sigma * flat
    expected = np.maximum(signal + exposure * shift + flat + sigma * rng.normal(size=n), 0)
    drawn = gain * rng.poisson(expected / gain)
    observations = Observations(
        crystal,
        divisions,
        index[rows].astype(np.int32),
        sweep.astype(np.int32),
        block.astype(np.int32),
        np.full(n, 10, dtype=np.int32),
        drawn.astype(float),
        exposure,
        flat,
        sigma,
        np.full(n, 1 / crystal.volume / np.prod(divisions)),
        rng.uniform(0, 100, n),
        rng.uniform(0, 100, n),
        np.zeros(n, dtype=np.int32),
        rng.uniform(0, 90, n),
        s[rows],
        sweep_names=tuple(f"sweep {i + 1}" for i in range(n_sweeps)),
    )
    return Drawn(observations, scale, shift, true)
