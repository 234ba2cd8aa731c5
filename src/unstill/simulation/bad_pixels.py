"""Hot and dead pixels and zingers, on frames whose photons are counted already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.experiment import OVERLOADED, Panel
from unstill.simulation.faults import Faults

_LARGEST_VALUE = 2**31 - 2


def spoil_pixels(
    frames: Sequence[np.ndarray], panels: Sequence[Panel], faults: Faults, seed: int, index: int
) -> None:
    """Put the bad pixels of the faults on one frame, in place.

    Pixels that hold no count stay as they are.

    Parameters
    ----------
    frames
        int32 pixel values, a panel each.
    panels
        Their gains and largest values.
    faults
        How many are bad, and how.
    seed, index
        Of the simulation, and of the frame: they decide which pixels are struck.
    """
    if not (faults.hot_pixels or faults.dead_pixels or faults.zingers):
        return
    ends = np.cumsum([values.size for values in frames])
    hot, dead = faults.bad_pixels(int(ends[-1]))
    rng = np.random.default_rng([seed, 8, index])
    struck = rng.integers(0, ends[-1], rng.poisson(faults.zingers))
    photons = rng.poisson(faults.hot_level, len(hot)), rng.integers(500, 5000, len(struck))
    for values, panel, end in zip(frames, panels, ends, strict=True):
        start = end - values.size
        for places, more in zip((hot, struck), photons, strict=True):
            inside = (places >= start) & (places < end)
            _add(values.reshape(-1), places[inside] - start, more[inside], panel)
        inside = (dead >= start) & (dead < end)
        _empty(values.reshape(-1), dead[inside] - start)


def pixel_values(values: np.ndarray, panel: Panel) -> np.ndarray:
    """Return int32 pixel values, with what is more than a panel counts marked."""
    # A geometry may trust more than an int32 holds.
    top = min(panel.trusted_range[1], _LARGEST_VALUE)
    return np.where(values > top, OVERLOADED, values).astype(np.int32)


def _add(flat: np.ndarray, places: np.ndarray, photons: np.ndarray, panel: Panel) -> None:
    counted = flat[places] >= 0
    places = places[counted]
    flat[places] = pixel_values(flat[places] + photons[counted] * panel.gain, panel)


def _empty(flat: np.ndarray, places: np.ndarray) -> None:
    flat[places[flat[places] >= 0]] = 0
