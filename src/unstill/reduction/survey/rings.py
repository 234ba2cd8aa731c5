"""Rings of powder and ice: narrow peaks of the radial profile, all the way round."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unstill.experiment import Detector, Experiment
from unstill.reduction.integration.tables import PixelTables, azimuths
from unstill.reduction.survey.threshold import ZoneRates, frame_limits, trusted_values

ICE_RINGS = (3.895, 3.661, 3.438, 2.667, 2.249, 2.068, 1.947, 1.916, 1.882, 1.719)
"""d of hexagonal ice (Å); Thorn et al. (2017), doi:10.1107/S2059798317007768."""

WIDTH = 0.004
"""Width of the shells of the profile (Å⁻¹), about that of a ring of ice."""

N_SECTORS, N_GROUPS = 8, 4
_SIDES = np.array([3, 4, 5, 6, 7, 8])
_LARGEST_D = 20.0
_MIN_EXCESS, _MIN_SIGMA = 0.10, 8.0
_MIN_PIXELS, _MIN_CELLS = 10, 4
_CAP = 3.0
_SAMPLES = 1 << 20


@dataclass(eq=False)
class RadialProfile:
    """Sums over frames by group of frames, sector and shell.

    Parameters
    ----------
    photons, pixels
        ``(N_GROUPS, N_SECTORS, n_shells)``. Single pixels count three times the
        bulk of their zone at most, so that no Bragg peak makes a ring.
    """

    photons: np.ndarray
    pixels: np.ndarray
    _cells: list[np.ndarray] = field(repr=False)
    _stride: int = field(repr=False)
    _n_frames: int = 0

    @classmethod
    def of(cls, experiment: Experiment, tables: PixelTables) -> RadialProfile:
        """Place the pixels of a detector: all of a small one, a grid of a large one."""
        n_shells = int(tables.s_max / WIDTH) + 2
        stride = max(1, int(np.sqrt(sum(p.zone.size for p in tables.panels) / _SAMPLES)))
        cells = []
        for panel in tables.panels:
            s = panel.s[:, ::stride, ::stride].astype(float)
            shell = (np.sqrt(np.sum(s**2, axis=0)) / WIDTH).astype(int)
            turn = azimuths(experiment.beam, s)
            sector = np.minimum((turn * N_SECTORS).astype(int), N_SECTORS - 1)
            cells.append(
                np.where(panel.zone[::stride, ::stride] > 0, sector * n_shells + shell, -1)
            )
        shape = (N_GROUPS, N_SECTORS, n_shells)
        return cls(np.zeros(shape), np.zeros(shape, np.int64), cells, stride)

    def add(
        self,
        frame: tuple[np.ndarray, ...],
        rates: ZoneRates,
        tables: PixelTables,
        detector: Detector,
    ) -> None:
        """Add one frame."""
        caps = frame_limits(rates, detector, headroom=_CAP)
        group, step = self._n_frames % N_GROUPS, self._stride
        _, sectors, shells = self.photons.shape
        for number, (panel, table) in enumerate(zip(detector.panels, tables.panels, strict=True)):
            values = np.asarray(frame[number])[::step, ::step]
            low, high = trusted_values(panel.trusted_range)
            used = (self._cells[number] >= 0) & (values >= low) & (values <= high)
            cell = self._cells[number][used]
            cap = caps[number][table.zone[::step, ::step][used]]
            photons = (np.minimum(values[used], cap) - panel.pedestal) / panel.gain
            self.photons[group] += np.bincount(cell, photons, sectors * shells).reshape(
                sectors, shells
            )
            self.pixels[group] += np.bincount(cell, minlength=sectors * shells).reshape(
                sectors, shells
            )
        self._n_frames += 1


def find_rings(profile: RadialProfile) -> tuple[tuple[float, ...], np.ndarray]:
    """Find shells that are brighter than those on both sides, by 10 % and 8 σ, all the way round.

    The excess must show in three quarters of the cells, each a sector in a group
    of frames: the scattering of a crystal comes and goes as it turns, a ring stays.

    Returns
    -------
    rings, on_ring
        d (Å) of the rings, and ``(n_shells,)`` whether a shell is part of one.
    """
    photons, pixels = profile.photons, profile.pixels
    whole = _excess(photons.sum(axis=(0, 1)), pixels.sum(axis=(0, 1)))
    cells = np.stack([_excess(p, n) for p, n in zip(_flat(photons), _flat(pixels), strict=True)])
    total, n = photons.sum(axis=(0, 1)), np.maximum(pixels.sum(axis=(0, 1)), 1)
    sigma = np.sqrt(total + 1) / n
    seen = np.count_nonzero(np.isfinite(cells), axis=0)
    positive = np.count_nonzero(np.nan_to_num(cells, nan=-1.0) > 0, axis=0)
    rate = total / n
    with np.errstate(invalid="ignore"):
        high = (whole > _MIN_SIGMA * sigma) & (whole > _MIN_EXCESS * (rate - whole))
    high &= (seen >= _MIN_CELLS) & (positive >= 0.75 * seen)
    middle = (np.arange(len(high)) + 0.5) * WIDTH
    high &= middle > 1 / _LARGEST_D
    rings = [
        float(1 / np.average(middle[first:last], weights=whole[first:last]))
        for first, last in _stretches(high)
    ]
    return tuple(rings), high


def is_ice(d: float) -> bool:
    """Whether a ring is where hexagonal ice has one.

    Examples
    --------
    >>> is_ice(3.66), is_ice(4.76)
    (True, False)
    """
    return min(abs(1 / d - 1 / known) for known in ICE_RINGS) < WIDTH


def _flat(cells: np.ndarray) -> np.ndarray:
    return cells.reshape(-1, cells.shape[-1])


def _excess(photons: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Rate of each shell above that of its surroundings on the brighter side; NaN if unknown."""
    known = pixels >= _MIN_PIXELS
    rate = np.where(known, photons / np.maximum(pixels, 1), np.nan)
    n, reach = len(rate), int(_SIDES[-1])
    padded = np.concatenate([np.full(reach, np.nan), rate, np.full(reach, np.nan)])
    place = np.arange(n)[:, None] + reach
    sides = [_median_of_most(padded[place + sign * _SIDES]) for sign in (-1, 1)]
    excess: np.ndarray = rate - np.maximum(*sides)
    return excess


def _median_of_most(values: np.ndarray) -> np.ndarray:
    """Median of each row; NaN if less than half of it is known."""
    enough = np.count_nonzero(np.isfinite(values), axis=1) >= values.shape[1] // 2
    median = np.full(len(values), np.nan)
    median[enough] = np.nanmedian(values[enough], axis=1)
    return median


def _stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    change = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return list(zip(change[::2].tolist(), change[1::2].tolist(), strict=True))
