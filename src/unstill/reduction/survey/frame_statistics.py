"""What the kernel says of every frame beside the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class FrameStatistics:
    """One row a frame.

    Parameters
    ----------
    frame
        ``(n,)`` number of the frame in its sweep, from 0.
    phi
        ``(n,)`` angle in the middle of the exposure (degrees).
    unusable, invalid, overloaded, strong, masked, used
        ``(n,)`` pixels: never usable; without a measurement; counted too much for
        the detector; far above what can be diffuse; near a reflection; summed.
        They add up to the pixels of the detector.
    photons
        ``(n,)`` photons in the used pixels.
    shell_pixels, shell_photons
        ``(n, n_shells)`` used pixels and their photons by shell in |s|.
    """

    frame: np.ndarray
    phi: np.ndarray
    unusable: np.ndarray
    invalid: np.ndarray
    overloaded: np.ndarray
    strong: np.ndarray
    masked: np.ndarray
    used: np.ndarray
    photons: np.ndarray
    shell_pixels: np.ndarray
    shell_photons: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def shell_rate(self) -> np.ndarray:
        """``(n, n_shells)`` photons a used pixel; not a number where there is none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rate: np.ndarray = self.shell_photons / np.where(
                self.shell_pixels > 0, self.shell_pixels, np.nan
            )
        return rate


def join_statistics(parts: Sequence[FrameStatistics]) -> FrameStatistics:
    """Put the frames of several blocks below each other."""
    names = [item.name for item in fields(FrameStatistics)]
    return FrameStatistics(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )
