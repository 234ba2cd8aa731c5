"""Small maps and structures that the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.maps import IntensityMap

MONOCLINIC = Crystal((48.499, 52.1, 63.43, 90.0, 97.25, 90.0), "P 1 21 1")

MapMaker = Callable[..., IntensityMap]


@pytest.fixture
def make_map() -> MapMaker:
    """Make a random map: masked voxels, sigma, counts, any box."""

    def make(
        seed: int = 0,
        *,
        crystal: Crystal = MONOCLINIC,
        start: tuple[int, int, int] = (-3, -2, -4),
        shape: tuple[int, int, int] = (7, 5, 9),
        divisions: tuple[int, int, int] = (2, 1, 3),
        dtype: type = np.float64,
        friedel: bool = False,
    ) -> IntensityMap:
        rng = np.random.default_rng(seed)
        intensity = rng.normal(50, 20, shape).astype(dtype)
        sigma = rng.uniform(0.5, 3, shape).astype(dtype)
        n_obs = rng.integers(0, 5, shape)
        if friedel:
            intensity = (intensity + intensity[::-1, ::-1, ::-1]) / 2
            sigma = (sigma + sigma[::-1, ::-1, ::-1]) / 2
            n_obs = n_obs + n_obs[::-1, ::-1, ::-1]
        mask = n_obs == 0
        intensity[mask] = np.nan
        return IntensityMap(
            crystal,
            HklGrid(start, shape, divisions),
            intensity,
            sigma=sigma,
            n_obs=n_obs,
            mask=mask,
            provenance={"command": "test", "seed": seed},
        )

    return make
