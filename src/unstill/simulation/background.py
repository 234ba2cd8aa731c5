"""Scatter that is there without a crystal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.simulation.places import Places


@dataclass(frozen=True)
class AirScatter:
    """Air near the beam, a broad liquid-like ring, a floor; all drift slowly with φ.

    rate = level · [exp(−s/fall) + ring · exp(−(s − 0.3)²/2·0.07²) + floor] · [1 + drift sin(φ/2)],
    in photons a second and a pixel at full transmission.

    Parameters
    ----------
    level
        Rate in the direct beam, but for the ring (photons/s/pixel).
    fall
        Decay of the air scatter with s (Å⁻¹).
    ring, floor
        Shares of the level.
    drift
        Relative amplitude of the change with φ.
    """

    level: float
    fall: float = 0.1
    ring: float = 0.15
    floor: float = 0.05
    drift: float = 0.1

    def __call__(self, places: Places, phi: float | np.ndarray) -> np.ndarray:
        """Return the rate at points of the detector."""
        s = places.s
        shape = (
            np.exp(-s / self.fall)
            + self.ring * np.exp(-((s - 0.3) ** 2) / (2 * 0.07**2))
            + self.floor
        )
        rate: np.ndarray = self.level * shape * (1 + self.drift * np.sin(np.radians(phi) / 2))
        return rate
