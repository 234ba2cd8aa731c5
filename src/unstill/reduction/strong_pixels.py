"""Pixels that counted more than chance allows, and where they lie between reflections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from unstill.compiled import kernel
from unstill.experiment import Experiment
from unstill.reduction.tables import PixelTables
from unstill.reduction.threshold import CHANCE, frame_limits, trusted_values, zone_rates


@dataclass(frozen=True, eq=False)
class StrongPixels:
    """Strong pixels of some frames.

    Parameters
    ----------
    frame, panel, y, x
        ``(n,)`` where: frame from 0, panel, row, column.
    excess
        ``(n,)`` photons above the rate of the zone.
    s
        ``(n,)`` |s| (Å⁻¹).
    hkl
        ``(n, 3)`` exact fractional Miller indices of the pixel centre.
    """

    frame: np.ndarray
    panel: np.ndarray
    y: np.ndarray
    x: np.ndarray
    excess: np.ndarray
    s: np.ndarray
    hkl: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def nearest(self) -> np.ndarray:
        """``(n, 3)`` nearest reflection."""
        nearest: np.ndarray = np.floor(self.hkl + 0.5).astype(np.int64)
        return nearest

    @property
    def delta(self) -> np.ndarray:
        """``(n, 3)`` distance from it (r.l.u.)."""
        delta: np.ndarray = self.hkl - self.nearest
        return delta

    def take(self, rows: np.ndarray) -> StrongPixels:
        """Return some of them."""
        names = [item.name for item in fields(self)]
        return StrongPixels(**{name: getattr(self, name)[rows] for name in names})


def strong_pixels(
    experiment: Experiment,
    values: tuple[np.ndarray, ...],
    frame: int,
    tables: PixelTables,
    *,
    chance: float = CHANCE,
) -> StrongPixels:
    """Find the strong pixels of one frame.

    Parameters
    ----------
    experiment
        With lattice.
    values
        The frame, one int32 array a panel.
    frame
        Its number.
    tables
        Of the sweep.
    chance
        Probability that a pixel of the bulk is called strong.
    """
    detector = experiment.detector
    rates = zone_rates(values, tables, detector)
    limits = frame_limits(rates, detector, headroom=1.0, chance=chance)
    matrix = experiment.hkl_matrix(frame + 0.5)
    parts = []
    for number, (panel, table) in enumerate(zip(detector.panels, tables.panels, strict=True)):
        image = values[number]
        low, high = trusted_values(panel.trusted_range)
        y, x = _above(image, table.zone, limits[number], low, high)
        vectors = table.s[:, y, x].astype(float).T
        photons = (image[y, x] - panel.pedestal) / panel.gain
        parts.append(
            StrongPixels(
                frame=np.full(len(y), frame),
                panel=np.full(len(y), number),
                y=y,
                x=x,
                excess=photons - rates.rate[table.zone[y, x]],
                s=np.linalg.norm(vectors, axis=1),
                hkl=vectors @ matrix.T,
            )
        )
    return join_strong(parts)


def join_strong(parts: Sequence[StrongPixels]) -> StrongPixels:
    """Put strong pixels of several frames below each other."""
    names = [item.name for item in fields(StrongPixels)]
    return StrongPixels(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


@kernel
def _above(
    values: np.ndarray, zone: np.ndarray, limits: np.ndarray, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of trusted pixels above the limit of their zone."""
    rows, columns = values.shape
    n = 0
    for y in range(rows):
        for x in range(columns):
            value = values[y, x]
            n += zone[y, x] != 0 and low <= value <= high and value > limits[zone[y, x]]
    found_y, found_x = np.empty(n, np.int64), np.empty(n, np.int64)
    n = 0
    for y in range(rows):
        for x in range(columns):
            value = values[y, x]
            if zone[y, x] != 0 and low <= value <= high and value > limits[zone[y, x]]:
                found_y[n], found_x[n] = y, x
                n += 1
    return found_y, found_x
