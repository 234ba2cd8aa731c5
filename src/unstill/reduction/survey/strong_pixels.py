"""Pixels that counted more than chance allows, and where they lie between reflections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from unstill.compiled import kernel
from unstill.experiment import Experiment
from unstill.reduction.integration.tables import PixelTables
from unstill.reduction.survey.threshold import (
    CHANCE,
    ZoneRates,
    frame_limits,
    poisson_threshold,
    trusted_values,
    zone_rates,
)


@dataclass(frozen=True, eq=False)
class StrongPixels:
    """Strong pixels of some frames.

    Parameters
    ----------
    frame, panel, y, x
        ``(n,)`` where: frame from 0, panel, row, column.
    excess
        ``(n,)`` photons above the rate of the bulk there.
    alone
        ``(n,)`` whether it is also far above the pixels around it.
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
    alone: np.ndarray
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
    rates: ZoneRates | None = None,
    chance: float = CHANCE,
) -> StrongPixels:
    """Find the strong pixels of one frame.

    A zone is wide, and the scattering may fall by a factor from one side of it
    to the other: a pixel must be above chance for its zone, and for the rate that
    the neighbouring shells let expect at its own resolution.

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
    rates
        Of the zones of the frame, if they are known already.
    chance
        Probability that a pixel of the bulk is called strong.
    """
    detector = experiment.detector
    rates = zone_rates(values, tables, detector) if rates is None else rates
    limits = frame_limits(rates, detector, headroom=1.0, chance=chance)
    matrix = experiment.hkl_matrix(frame + 0.5)
    parts = []
    for number, (panel, table) in enumerate(zip(detector.panels, tables.panels, strict=True)):
        image = values[number]
        low, high = trusted_values(panel.trusted_range)
        y, x = _above(image, table.zone, limits[number], low, high)
        photons = (image[y, x] - panel.pedestal) / panel.gain
        vectors = table.s[:, y, x].astype(float).T
        length = np.linalg.norm(vectors, axis=1)
        zone = table.zone[y, x].astype(int)
        rate = rates_at(rates, tables, zone, length)
        spread = rates.spread[zone]
        above = photons >= spread * poisson_threshold(rate / spread, chance)
        y, x, photons, vectors = y[above], x[above], photons[above], vectors[above]
        parts.append(
            StrongPixels(
                frame=np.full(len(y), frame),
                panel=np.full(len(y), number),
                y=y,
                x=x,
                excess=photons - rate[above],
                alone=_stands_alone(image, y, x, low, high, panel.pedestal, panel.gain),
                s=length[above],
                hkl=vectors @ matrix.T,
            )
        )
    return join_strong(parts)


def rates_at(
    rates: ZoneRates, tables: PixelTables, zone: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """Rate of the bulk at |s| inside zones: exponential between the middles of the shells.

    Parameters
    ----------
    zone, length
        ``(n,)`` zones, from 1, and |s| (Å⁻¹).
    """
    by_shell = rates.rate[1:].reshape(tables.n_shells, tables.n_sectors)
    if tables.n_shells < 2:
        return np.asarray(rates.rate[zone])
    seen = rates.n_samples[1:].reshape(by_shell.shape)
    level = np.where(seen > 0, np.log(np.maximum(by_shell, 1 / (seen + 1))), np.nan)
    shell, sector = np.divmod(zone - 1, tables.n_sectors)
    edges = tables.shell_edges
    middle = 0.5 * (edges[1:] + edges[:-1])
    # The ends are continued beyond the middles of the first and the last shell.
    lower = np.clip(shell - (length < middle[shell]), 0, tables.n_shells - 2)
    part = (length - middle[lower]) / (middle[lower + 1] - middle[lower])
    inside = np.exp((1 - part) * level[lower, sector] + part * level[lower + 1, sector])
    return np.asarray(np.where(np.isfinite(inside), inside, rates.rate[zone]))


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


@kernel
def _stands_alone(
    values: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    low: int,
    high: int,
    pedestal: float,
    gain: float,
) -> np.ndarray:
    """Whether pixels are 8 σ, and by half, above the median of the 24 around them."""
    rows, columns = values.shape
    alone = np.zeros(len(y), np.bool_)
    around = np.empty(24)
    for i in range(len(y)):
        n = 0
        for v in range(max(y[i] - 2, 0), min(y[i] + 3, rows)):
            for u in range(max(x[i] - 2, 0), min(x[i] + 3, columns)):
                if (v != y[i] or u != x[i]) and low <= values[v, u] <= high:
                    around[n] = (values[v, u] - pedestal) / gain
                    n += 1
        usual = np.median(around[:n]) if n else 0.0
        photons = (values[y[i], x[i]] - pedestal) / gain
        alone[i] = photons > 1.5 * usual and photons - usual > 8 * np.sqrt(max(usual, 1.0))
    return alone
