"""Frames that are computed when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.experiment import INVALID, Experiment, FrameHeader, Panel
from unstill.experiment.corrections import (
    air_transmission,
    polarization_factor,
    sensor_efficiency,
    solid_angle,
)
from unstill.experiment.pixels import DIALS_CENTER, scattering_vectors
from unstill.simulation.bad_pixels import pixel_values, spoil_pixels
from unstill.simulation.bragg import BraggPeaks
from unstill.simulation.crossings import wrong_crossings
from unstill.simulation.effects import Angle, Effects
from unstill.simulation.faults import Faults
from unstill.simulation.outliers import WrongCrossings
from unstill.simulation.pixel_kernel import pixel_rows
from unstill.simulation.places import Places
from unstill.simulation.truth import Truth

_CHUNK = 1 << 17
"""Pixels that are computed together; they stay in the cache. Changes no bit."""

_KEPT_PIXELS = 8_000_000
"""Detectors up to this size keep their tables; larger ones compute them with every frame."""

_MOST_PHOTONS = 1e15

Background = Callable[[Places, Angle], "np.ndarray | float"]


@dataclass(frozen=True, eq=False)
class SimulatedFrames:
    """A frame source without files: the frames of an experiment, as a detector would count them.

    Frame i depends on the seed and on i alone: the bits are the same whatever
    was read before, in whichever thread or process. The mean is that of
    :mod:`unstill.simulation.effects`. The diffuse intensity is that of the
    middle of the frame; Bragg peaks are averaged over ``n_steps`` angles, so
    that fine slices hold parts of peaks.

    Parameters
    ----------
    experiment
        Where the crystal and the detector really are.
    truth
        Diffuse intensity (e² per cell), or ``None`` for a sweep without crystal.
    peaks
        Bragg peaks, or ``None``.
    flux
        K: photons a second and a steradian for 1 e² per cell; see :func:`flux_for`.
    background
        Photons a second and a pixel without crystal, a function of (places, φ).
    effects, faults
        What the reduction must correct, and what it must notice.
    seed
        Of the Poisson noise.
    n_steps
        Angles within a frame for Bragg peaks.
    exposure_time
        Seconds, for stills and scans that do not know their own.

    Raises
    ------
    InputError
        If there is a truth and the experiment has no crystal.
    """

    experiment: Experiment
    truth: Truth | None
    peaks: BraggPeaks | None = None
    flux: float = 1.0
    background: Background | None = None
    effects: Effects = field(default_factory=Effects)
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    n_steps: int = 5
    exposure_time: float = 0.1

    def __post_init__(self) -> None:
        if self.experiment.lattice is None and (self.truth or self.peaks):
            raise InputError(
                "a truth was given for an experiment without crystal",
                found=self.experiment.name,
                fix="give an experiment with a lattice, or truth=None for a background sweep",
            )
        object.__setattr__(self, "_tables", {})

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tables": {}}

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.experiment.n_frames

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every panel."""
        return tuple(panel.shape for panel in self.experiment.detector.panels)

    def refresh(self) -> int:
        """Return the number of frames; it does not grow."""
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        """Return no path: there are no files."""
        return ()

    def header(self, index: int) -> FrameHeader:
        """Return what an image file of this frame would say."""
        experiment, panel = self.experiment, self.experiment.detector.panels[0]
        scan = experiment.scan
        return FrameHeader(
            phi_start=None if scan is None else float(scan.phi(index)),
            phi_width=None if scan is None else scan.phi_width,
            exposure_time=self.seconds(index),
            wavelength=experiment.beam.wavelength,
            distance=panel.distance,
            beam_center=beam_center(experiment),
            pixel_size=panel.pixel_size,
            image_size=panel.image_size,
            transmission=experiment.beam.transmission,
            count_cutoff=panel.trusted_range[1],
            thickness=panel.thickness or None,
            material=panel.material or None,
            detector=panel.name,
        )

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the pixel values of one frame, an int32 array a panel."""
        rng = np.random.default_rng([self.seed, 7, self._checked(index)])
        frames = []
        for number, panel in enumerate(self.experiment.detector.panels):
            values = np.empty(panel.shape, dtype=np.int32)
            for rows, mean in self._means(number, index):
                _check_mean(mean, index)
                counts = rng.poisson(mean)
                values[rows] = _as_values(counts, panel)
            _mask(values, panel)
            frames.append(values)
        spoil_pixels(frames, self.experiment.detector.panels, self.faults, self.seed, index)
        return tuple(frames)

    def expected(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the mean counts λ of one frame, float64, a panel; before bad pixels and noise."""
        self._checked(index)
        found = []
        for number, panel in enumerate(self.experiment.detector.panels):
            mean = np.empty(panel.shape)
            for rows, part in self._means(number, index):
                mean[rows] = part
            found.append(mean)
        return tuple(found)

    def _checked(self, index: int) -> int:
        if not 0 <= index < self.n_frames:
            raise InputError(
                "there is no such frame",
                found=index,
                fix=f"give one from 0 to {self.n_frames - 1}",
            )
        return index

    def seconds(self, index: int) -> float:
        """Exposure time of a frame (s)."""
        scan = self.experiment.scan
        known = 0.0 if scan is None else float(scan.exposure_times[index])
        return known if known > 0 else self.exposure_time

    def _means(self, number: int, index: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Mean counts of one panel, some rows at a time."""
        wrong = self.faults.outliers
        matrix = None if wrong is None else self.experiment.hkl_matrix(index + 0.5)
        listed = None
        if wrong is not None and wrong.sigmas is not None:
            listed = self._listed(index // wrong.frames_per_block)
        for rows, s, signal, rest in self.parts(number, index):
            if wrong is not None and matrix is not None:
                signal *= wrong.factors(s, matrix, index, listed).reshape(signal.shape)
            yield rows, signal + rest

    def _listed(self, block: int) -> WrongCrossings:
        tables: dict[Any, Any] = self.__dict__["_tables"]
        if ("outliers", block) not in tables:
            tables["outliers", block] = wrong_crossings(self, block)
        found: WrongCrossings = tables["outliers", block]
        return found

    def parts(
        self, number: int, index: int
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Mean counts of one panel, some rows at a time, before outliers.

        Yields
        ------
        rows, s, signal, rest
            Which rows; ``(n, 3)`` scattering vectors (Å⁻¹); ``(rows, fast)`` photons of
            a d b K I, and of everything else.
        """
        experiment = self.experiment
        phi = experiment.phi(index + 0.5)
        seconds = self.seconds(index) * experiment.beam.transmission * self.faults.beam(index)
        settings = self._settings(index)
        damage = self.faults.decay * self._dose(index) if self.faults.decay > 0 else 0.0
        for rows, s, response, places in self._chunks(number):
            signal: Any = np.zeros(places.s.shape)
            rest: Any = np.zeros(places.s.shape)
            if experiment.lattice is not None:
                seen = self.effects.absorption(places, phi) * self.effects.response(places, phi)
                seen = seconds * response * seen
                rest = rest + seen * self.effects.offset(places, phi)
                if settings:
                    intensity = self._intensity(settings, s, places.s, damage)
                    signal = seen * self.flux * self.effects.scale(places, phi) * intensity
            if self.background is not None:
                rest = rest + seconds * self.background(places, phi)
            yield rows, s, signal, rest

    def _settings(self, index: int) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """Share, hkl matrix of the middle and hkl matrices of the steps, a crystal each."""
        if self.truth is None and self.peaks is None:
            return []
        crystals = [(1.0, self.experiment)]
        if self.faults.second_lattice > 0:
            crystals.append((self.faults.second_lattice, self.faults.second(self.experiment)))
        inside = (np.arange(self.n_steps) + 0.5) / self.n_steps
        return [
            (
                share,
                crystal.hkl_matrix(index + 0.5),
                np.array([crystal.hkl_matrix(index + at) for at in inside]),
            )
            for share, crystal in crystals
        ]

    def _intensity(
        self,
        settings: list[tuple[float, np.ndarray, np.ndarray]],
        s: np.ndarray,
        length: np.ndarray,
        damage: float,
    ) -> np.ndarray:
        total: np.ndarray = np.zeros(len(s))
        for share, middle, steps in settings:
            if self.truth is not None:
                self.truth.add(total, s, middle, share)
            if self.peaks is not None:
                self.peaks.add(total, s, steps, share)
        total = total.reshape(length.shape)
        if damage > 0:
            total *= np.exp(-damage / 2 * length**2)
        if self.faults.ice > 0:
            total += self.faults.ice_intensity(length)
        return total

    def _dose(self, index: int) -> float:
        """Seconds of exposure until the middle of a frame."""
        return sum((self.seconds(i) for i in range(index)), self.seconds(index) / 2)

    def _chunks(self, number: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray, Places]]:
        panel = self.experiment.detector.panels[number]
        rows = max(1, _CHUNK // panel.image_size[0])
        keep = self.experiment.detector.n_pixels <= _KEPT_PIXELS
        tables: dict[Any, Any] = self.__dict__["_tables"]
        for start in range(0, panel.image_size[1], rows):
            key = (number, start)
            chunk = tables.get(key)
            if chunk is None:
                chunk = self._chunk(number, start, min(start + rows, panel.image_size[1]))
                if keep:
                    tables[key] = chunk
            yield chunk

    def _chunk(
        self, number: int, start: int, stop: int
    ) -> tuple[slice, np.ndarray, np.ndarray, Places]:
        panel = self.experiment.detector.panels[number]
        x = (np.arange(panel.image_size[0]) + DIALS_CENTER)[None, :]
        y = (np.arange(start, stop) + DIALS_CENTER)[:, None]
        s, response = pixel_rows(self.experiment.beam, panel, start, stop)
        places = Places(number, x, y, np.sqrt(np.einsum("ijk,ijk->ij", s, s)))
        return slice(start, stop), s.reshape(-1, 3), response, places


def flux_for(
    experiment: Experiment, truth: Truth, mean_counts: float = 1.0, *, exposure_time: float = 0.1
) -> float:
    """Flux at which the diffuse scatter of the first frame counts so many photons a pixel.

    Parameters
    ----------
    experiment, truth
        What is measured.
    mean_counts
        Photons a pixel and a frame, averaged over the detector.
    exposure_time
        Seconds, where the scan does not know its own.
    """
    frames = SimulatedFrames(experiment, truth, exposure_time=exposure_time)
    total, n = 0.0, 0
    for number, panel in enumerate(experiment.detector.panels):
        x = np.arange(0.5, panel.image_size[0], max(1, panel.image_size[0] // 64))[None, :]
        y = np.arange(0.5, panel.image_size[1], max(1, panel.image_size[1] // 64))[:, None]
        s = scattering_vectors(experiment.beam, panel, x, y)
        intensity = truth.at(s @ experiment.hkl_matrix(0.5).T)
        seen = intensity * response_at(experiment, number, x, y)
        total, n = total + float(seen.sum()), n + seen.size
    return mean_counts / (total / n * frames.seconds(0) * experiment.beam.transmission)


def response_at(experiment: Experiment, number: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ω A E P at pixel coordinates of one panel (steradians)."""
    beam, panel = experiment.beam, experiment.detector.panels[number]
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    position = (
        np.array(panel.origin)
        + x[..., None] * panel.pixel_size[0] * np.array(panel.fast_axis)
        + y[..., None] * panel.pixel_size[1] * np.array(panel.slow_axis)
    )
    response: np.ndarray = (
        solid_angle(panel, position)
        * air_transmission(beam, position)
        * sensor_efficiency(panel, position)
        * polarization_factor(beam, position)
    )
    return response


def beam_center(experiment: Experiment) -> tuple[float, float]:
    """Where the direct beam meets the plane of the first panel, fast and slow (pixels)."""
    panel = experiment.detector.panels[0]
    origin, ray = np.array(panel.origin), experiment.beam.s0
    hit = ray * float(origin @ panel.normal) / float(ray @ panel.normal) - origin
    return (
        float(hit @ np.array(panel.fast_axis)) / panel.pixel_size[0],
        float(hit @ np.array(panel.slow_axis)) / panel.pixel_size[1],
    )


def _check_mean(mean: np.ndarray, index: int) -> None:
    if not mean.min() >= 0:
        raise InputError(
            "the mean count of a pixel is negative or not a number",
            found=f"{mean.min():g} photons in frame {index}",
            fix="give a background and effects that are never negative",
        )
    if not mean.max() <= _MOST_PHOTONS:
        raise InputError(
            "a pixel would count more than any detector can",
            found=f"{mean.max():g} photons in frame {index}",
            fix="give fewer mean counts, a smaller background or a shorter exposure",
        )


def _as_values(counts: np.ndarray, panel: Panel) -> np.ndarray:
    """Pixel values of photons: gain, pedestal, and what is too much."""
    if panel.gain == 1 and panel.pedestal == 0:
        values = counts
    else:
        values = np.rint(counts * panel.gain + panel.pedestal)
    return pixel_values(values, panel)


def _mask(values: np.ndarray, panel: Panel) -> None:
    for fast0, slow0, fast1, slow1 in panel.masked:
        values[slow0:slow1, fast0:fast1] = INVALID
