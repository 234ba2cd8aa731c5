"""Maps with known truth: an isotropic decay plus features that are smooth and symmetric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.symmetry import laue_operations
from unstill.maps import IntensityMap

TETRAGONAL = Crystal((20.0, 20.0, 28.0, 90.0, 90.0, 90.0), "P 41")


def _truth(crystal: Crystal, hkl: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Isotropic and anisotropic intensity, the latter with the Laue symmetry of the crystal."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(12, 3)) * 1.2
    operations = laue_operations(crystal)
    # cos(h·w) summed over the mates of w is symmetric in h.
    mates = np.einsum("oij,wj->wio", operations, waves).reshape(12, 3, -1)
    features = sum(np.cos(hkl @ wave).mean(axis=-1) for wave in mates)
    s_squared = crystal.s_squared(hkl)
    envelope = np.exp(-4 * s_squared)
    return 100 * envelope, 20 * envelope * features


@pytest.fixture
def make_map() -> Callable[..., IntensityMap]:
    """Factory of maps; see the arguments of the inner function."""

    def make(
        crystal: Crystal = TETRAGONAL,
        half: tuple[int, int, int] = (8, 8, 10),
        divisions: tuple[int, int, int] = (1, 1, 1),
        *,
        seed: int = 1,
        noise: float = 0.0,
        noise_seed: int = 0,
        isotropic: float = 1.0,
        features: float = 1.0,
        **fields: Any,
    ) -> IntensityMap:
        start = tuple(-n for n in half)
        shape = tuple(2 * n + 1 for n in half)
        grid = HklGrid(start, shape, divisions)
        smooth, rough = _truth(crystal, grid.hkl(), seed)
        intensity = isotropic * smooth + features * rough
        if noise:
            intensity = intensity + np.random.default_rng(noise_seed).normal(
                scale=noise, size=grid.shape
            )
            fields.setdefault("sigma", np.full(grid.shape, noise))
        return IntensityMap(crystal, grid, intensity, **fields)

    return make
