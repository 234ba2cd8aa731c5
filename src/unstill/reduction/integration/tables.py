"""What is known of every pixel before a frame is read; shared by all threads.

The tables are the whole cost in memory of a large detector: 17 bytes a pixel,
0.27 GiB for 16 Mpx. Scattering vectors are kept in single precision: |s| < 2
Å⁻¹ is then right to 1.2e-7 Å⁻¹, which moves hkl by less than 1e-4 for every
cell axis up to 400 Å. All arithmetic on them is in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unstill.errors import InputError
from unstill.experiment import Beam, Experiment, Panel
from unstill.experiment.corrections import panel_rays, pixel_response
from unstill.experiment.pixels import pixel_centers, scattering_vectors

STRIP = 1 << 19
"""Pixels that are computed at a time; bounds temporary memory."""

MAX_SHELLS, MAX_SECTORS = 30, 8
PIXELS_A_ZONE = 2000


@dataclass(frozen=True, eq=False)
class PanelTable:
    """Pixels of one panel.

    Parameters
    ----------
    s
        ``(3, slow, fast)`` float32 scattering vector in the laboratory (Å⁻¹).
    response
        ``(slow, fast)`` float32 Ω A E P (steradians).
    zone
        ``(slow, fast)`` uint8 zone of the pixel, from 1; 0 where it is not to be used.
    """

    s: np.ndarray
    response: np.ndarray
    zone: np.ndarray


@dataclass(frozen=True, eq=False)
class PixelTables:
    """All panels, and the zones: shells in |s| times sectors in azimuth.

    Parameters
    ----------
    panels
        In the order of the detector.
    shell_edges
        ``(n_shells + 1,)`` edges of the shells in |s| (Å⁻¹).
    n_sectors
        Sectors a shell; zone = 1 + shell · n_sectors + sector.
    s_max
        Largest |s| of a usable pixel (Å⁻¹).
    """

    panels: tuple[PanelTable, ...]
    shell_edges: np.ndarray
    n_sectors: int
    s_max: float

    @property
    def n_shells(self) -> int:
        """Number of shells."""
        return len(self.shell_edges) - 1

    @property
    def n_zones(self) -> int:
        """Number of zones; they count from 1."""
        return self.n_shells * self.n_sectors

    @property
    def n_usable(self) -> int:
        """Pixels that may be used."""
        return sum(int(np.count_nonzero(panel.zone)) for panel in self.panels)

    def without(self, bad_pixels: np.ndarray) -> PixelTables:
        """Return tables that leave out some pixels.

        Parameters
        ----------
        bad_pixels
            ``(n, 3)`` panel, row, column.
        """
        panels = []
        for number, panel in enumerate(self.panels):
            here = np.asarray(bad_pixels).reshape(-1, 3)
            here = here[here[:, 0] == number]
            zone = panel.zone.copy() if len(here) else panel.zone
            zone[here[:, 1], here[:, 2]] = 0
            panels.append(replace(panel, zone=zone))
        return replace(self, panels=tuple(panels))


def pixel_tables(
    experiment: Experiment,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    beamstop_radius: float = 0.0,
    mask: Sequence[np.ndarray] | None = None,
    air: bool = True,
    efficiency: bool = True,
    polarization: bool = True,
) -> PixelTables:
    """Place every pixel of the detector, once a sweep.

    Parameters
    ----------
    experiment
        Beam and detector are used.
    d_min, d_max
        Resolution limits (Å); pixels outside are not used.
    beamstop_radius
        Pixels nearer to the direct beam are not used (mm on the detector).
    mask
        One array ``(slow, fast)`` a panel, true where a pixel must not be used.
    air, efficiency, polarization
        Corrections to take into account.

    Raises
    ------
    InputError
        If the limits are impossible, the mask does not fit the detector, or no
        pixel is left.
    """
    _check_limits(d_min, d_max)
    beam, detector = experiment.beam, experiment.detector
    _check_mask(mask, [panel.shape for panel in detector.panels])
    corrections = {"air": air, "efficiency": efficiency, "polarization": polarization}
    panels = []
    for number, panel in enumerate(detector.panels):
        hidden = None if mask is None else mask[number]
        table = _place(beam, panel, corrections)
        table.zone[:] = _usable(beam, panel, table.s, (d_min, d_max), beamstop_radius, hidden)
        panels.append(table)
    s_range = _s_range(panels)
    if s_range is None:
        raise InputError(
            "no pixel is left to use",
            found=f"d_min {d_min}, d_max {d_max}, beamstop radius {beamstop_radius} mm, "
            f"{'a' if mask is not None else 'no'} mask",
            fix="widen the resolution range, or check mask and detector",
        )
    n_usable = sum(int(np.count_nonzero(table.zone)) for table in panels)
    n_shells, n_sectors = _division(n_usable)
    edges = np.linspace(s_range[0], np.nextafter(s_range[1], np.inf), n_shells + 1)
    for table in panels:
        _assign_zones(beam, table, edges, n_sectors)
    return PixelTables(tuple(panels), edges, n_sectors, s_range[1])


def azimuths(beam: Beam, s: np.ndarray) -> np.ndarray:
    """Direction of scattering about the beam, in turns from 0 to 1.

    Parameters
    ----------
    beam
        Its direction is the axis.
    s
        ``(3, ...)`` scattering vectors.
    """
    along = np.array(beam.direction)
    first = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    first /= np.linalg.norm(first)
    second = np.cross(along, first)
    across = np.tensordot(first, s, 1), np.tensordot(second, s, 1)
    turns: np.ndarray = np.arctan2(across[1], across[0]) / (2 * np.pi) + 0.5
    return turns


def _place(beam: Beam, panel: Panel, corrections: dict[str, bool]) -> PanelTable:
    slow, fast = panel.shape
    s = np.empty((3, slow, fast), np.float32)
    response = np.empty((slow, fast), np.float32)
    for rows, strip in _strips(panel):
        vectors = scattering_vectors(beam, strip, *np.broadcast_arrays(*pixel_centers(strip)))
        s[:, rows] = np.moveaxis(vectors, -1, 0)
        response[rows] = pixel_response(beam, strip, **corrections)
    return PanelTable(s, response, np.zeros((slow, fast), np.uint8))


def _strips(panel: Panel) -> Iterator[tuple[slice, Panel]]:
    """Cut a panel into panels of a few rows."""
    slow, fast = panel.shape
    height = max(1, STRIP // fast)
    step = panel.pixel_size[1] * np.array(panel.slow_axis)
    for first in range(0, slow, height):
        last = min(first + height, slow)
        x, y, z = (float(value) for value in np.array(panel.origin) + first * step)
        yield (
            slice(first, last),
            replace(panel, origin=(x, y, z), image_size=(fast, last - first), masked=()),
        )


def _usable(
    beam: Beam,
    panel: Panel,
    s: np.ndarray,
    limits: tuple[float | None, float | None],
    radius: float,
    hidden: np.ndarray | None,
) -> np.ndarray:
    d_min, d_max = limits
    usable = np.ones(panel.shape, bool)
    low = 0.0 if d_max is None else 1 / d_max
    high = np.inf if d_min is None else 1 / d_min
    for rows, strip in _strips(panel):
        length = np.sqrt(np.sum(s[:, rows].astype(float) ** 2, axis=0))
        usable[rows] = (length >= low) & (length <= high)
        if radius > 0:
            position = panel_rays(strip)
            across = np.linalg.norm(np.cross(position, beam.direction), axis=-1)
            usable[rows] &= (across >= radius) | (position @ np.array(beam.direction) > 0)
    for fast0, slow0, fast1, slow1 in panel.masked:
        usable[max(slow0, 0) : max(slow1, 0), max(fast0, 0) : max(fast1, 0)] = False
    if hidden is not None:
        usable &= ~np.asarray(hidden, bool)
    return usable


def _s_range(panels: list[PanelTable]) -> tuple[float, float] | None:
    low, high = np.inf, -np.inf
    for table in panels:
        for rows, length in _lengths(table):
            chosen = length[table.zone[rows] > 0]
            if chosen.size:
                low, high = min(low, float(chosen.min())), max(high, float(chosen.max()))
    return (low, high) if high > 0 else None


def _lengths(table: PanelTable) -> Iterator[tuple[slice, np.ndarray]]:
    slow, fast = table.zone.shape
    height = max(1, STRIP // fast)
    for first in range(0, slow, height):
        rows = slice(first, min(first + height, slow))
        yield rows, np.sqrt(np.sum(table.s[:, rows].astype(float) ** 2, axis=0))


def _division(n_usable: int) -> tuple[int, int]:
    """Shells and sectors such that a zone has enough pixels for a rate."""
    n_zones = max(1, n_usable // PIXELS_A_ZONE)
    n_sectors = MAX_SECTORS if n_zones >= 8 * MAX_SECTORS else 4 if n_zones >= 16 else 1
    return int(np.clip(n_zones // n_sectors, 1, MAX_SHELLS)), n_sectors


def _assign_zones(beam: Beam, table: PanelTable, edges: np.ndarray, n_sectors: int) -> None:
    for rows, length in _lengths(table):
        shell = np.clip(np.searchsorted(edges, length, side="right") - 1, 0, len(edges) - 2)
        turn = azimuths(beam, table.s[:, rows])
        sector = np.minimum((turn * n_sectors).astype(int), n_sectors - 1)
        table.zone[rows] *= (1 + shell * n_sectors + sector).astype(np.uint8)


def _check_limits(d_min: float | None, d_max: float | None) -> None:
    for name, value in (("d_min", d_min), ("d_max", d_max)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} must be positive", found=value, fix="give it in angstroms")
    if d_min is not None and d_max is not None and d_min >= d_max:
        raise InputError(
            "the resolution range is empty",
            found=f"d_min {d_min} Å and d_max {d_max} Å",
            fix="d_min is the smaller spacing, the higher resolution",
        )


def _check_mask(mask: Sequence[np.ndarray] | None, shapes: list[tuple[int, int]]) -> None:
    if mask is None:
        return
    found = [np.shape(panel) for panel in mask]
    if found != shapes:
        raise InputError(
            "the mask does not fit the detector",
            found=f"mask {found} and panels {shapes} (slow, fast)",
            fix="give one array a panel, of the size of the image",
        )
