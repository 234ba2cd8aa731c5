"""The embedded simulated map, made again."""

from __future__ import annotations

from pathlib import Path

from unstill.datasets import SimulationRecipe, fetch, simulate_map
from unstill.io import read_structure, write_map
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
