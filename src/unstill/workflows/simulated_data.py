"""The embedded simulated map, made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.datasets import SimulationRecipe, fetch, simulate_map
from unstill.io import read_map, read_structure, write_map
from unstill.maps import IntensityMap

EMBEDDED = "bpti-simulated"
"""Name of the data set that the generator made."""


def regenerate(path: Path | None = None, recipe: SimulationRecipe | None = None) -> IntensityMap:
    """Make the embedded map from the embedded coordinates, bit for bit with the default recipe.

    Parameters
    ----------
    path
        Where to write it (``.nxs``); not written by default.
    recipe
        Other parameters than those of the embedded map.

    Returns
    -------
    IntensityMap
        The map.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    model = read_structure(fetch(EMBEDDED, roles=("model",)).paths["model"])
    made = simulate_map(model, recipe)
    if path is not None:
        write_map(made, path)
    return made


def differing_voxels(made: IntensityMap) -> int:
    """Voxels in which a map differs from the embedded one, in value, sigma or mask.

    Zero on every machine that this was tried on. Values are rounded to whole
    e², so that the last bits of another maths library do not show; should one
    fall on the edge between two whole numbers, it differs by 1 e².
    """
    embedded = read_map(fetch(EMBEDDED).paths["map"])
    if made.grid != embedded.grid:
        return made.grid.size
    same = np.ones(made.grid.shape, dtype=bool)
    for name in ("intensity", "sigma", "n_obs", "mask"):
        same &= _equal(getattr(made, name), getattr(embedded, name))
    return int(np.count_nonzero(~same))


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    equal: np.ndarray = (a == b) | ((a != a) & (b != b))  # NaN equals NaN
    return equal
