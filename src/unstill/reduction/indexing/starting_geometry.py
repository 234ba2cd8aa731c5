"""The geometry to start from: what headers say, or an experiment that is nearly right."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unstill.errors import InputError
from unstill.experiment import (
    Beam,
    Detector,
    Experiment,
    FrameHeader,
    FrameSource,
    Goniometer,
    ImageSet,
    Panel,
    Scan,
)
from unstill.experiment.attenuation import sensor_mu

DEFAULT_AXIS = (1.0, 0.0, 0.0)
"""Rotation axis along the rows of the detector, as at most beamlines; some turn the other way."""

_EMPTY_SHARE, _CLEARLY_LIT = 0.005, 50.0
_UNEVEN, _SAME = 0.02, 1e-3


@dataclass(frozen=True)
class GeometryHints:
    """What a user knows better than the headers; ``None`` leaves it to them.

    Parameters
    ----------
    beam_center
        Fast and slow (pixels).
    distance
        mm.
    wavelength
        Å.
    rotation_axis
        In the laboratory frame: x along rows, −y from row to row, the source on +z.
    """

    beam_center: tuple[float, float] | None = None
    distance: float | None = None
    wavelength: float | None = None
    rotation_axis: tuple[float, float, float] | None = None


def geometry_from_headers(
    source: FrameSource, *, hints: GeometryHints | None = None, images: ImageSet | None = None
) -> Experiment:
    """Build an experiment without a lattice from the headers of its frames.

    The detector stands at right angles to the beam, rows along +x, columns
    along −y, the beam along −z.

    Parameters
    ----------
    source
        Frames of one panel.
    hints
        What is known better.
    images
        Where the frames are, to be kept in the experiment.

    Raises
    ------
    InputError
        If the distance, the wavelength, the size of a pixel or the beam centre is unknown, there
        are several panels, or the angles of the frames are uneven.
    """
    hints = hints or GeometryHints()
    header = source.header(0)
    if len(source.shapes) != 1:
        raise InputError(
            "headers do not say how several panels stand",
            found=f"{len(source.shapes)} panels",
            fix="give the geometry with --expt",
        )
    wavelength = _known(hints.wavelength, header.wavelength, "wavelength", "--wavelength")
    beam = Beam(wavelength, transmission=header.transmission or 1.0)
    panel = _panel(source, header, hints, beam)
    scan = _scan(source)
    goniometer = None if scan is None else Goniometer(hints.rotation_axis or DEFAULT_AXIS)
    return Experiment(beam, Detector((panel,)), goniometer, scan, images=images or ImageSet())


def with_hints(experiment: Experiment, hints: GeometryHints) -> Experiment:
    """Change what a user knows better than the experiment; its lattice is dropped.

    The first panel is moved to the distance and beam centre that are given, and
    all others with it.
    """
    beam, goniometer = experiment.beam, experiment.goniometer
    if hints.wavelength is not None:
        beam = replace(beam, wavelength=hints.wavelength)
    if hints.rotation_axis is not None and goniometer is not None:
        goniometer = Goniometer(
            hints.rotation_axis, goniometer.fixed_rotation, goniometer.setting_rotation
        )
    shift = _shift(experiment, hints)
    panels = []
    for panel in experiment.detector.panels:
        x, y, z = (float(value) for value in np.array(panel.origin) + shift)
        panels.append(replace(panel, origin=(x, y, z)))
    return experiment.replace(
        beam=beam, goniometer=goniometer, detector=Detector(tuple(panels)), lattice=None
    )


def beam_center(experiment: Experiment) -> tuple[float, float]:
    """Where the beam crosses the plane of the first panel: fast and slow (pixels)."""
    panel = experiment.detector.panels[0]
    along = experiment.beam.s0
    at = along * (np.dot(panel.origin, panel.normal) / (along @ panel.normal)) - panel.origin
    return (
        float(at @ np.array(panel.fast_axis)) / panel.pixel_size[0],
        float(at @ np.array(panel.slow_axis)) / panel.pixel_size[1],
    )


def _shift(experiment: Experiment, hints: GeometryHints) -> np.ndarray:
    panel = experiment.detector.panels[0]
    shift = np.zeros(3)
    if hints.distance is not None:
        away = np.sign(np.dot(panel.origin, panel.normal)) or 1.0
        shift += (hints.distance - panel.distance) * away * panel.normal
    if hints.beam_center is not None:
        x, y, z = np.array(panel.origin) + shift
        moved = experiment.replace(detector=Detector((replace(panel, origin=(x, y, z)),)))
        now = beam_center(moved)
        for have, want, size, axis in zip(
            now,
            hints.beam_center,
            panel.pixel_size,
            (panel.fast_axis, panel.slow_axis),
            strict=True,
        ):
            shift += (have - want) * size * np.array(axis)
    return shift


def _panel(source: FrameSource, header: FrameHeader, hints: GeometryHints, beam: Beam) -> Panel:
    distance = _known(hints.distance, header.distance, "detector distance", "--distance")
    if header.pixel_size is None:
        raise InputError(
            "the size of a pixel is unknown",
            found="no pixel size in the header",
            fix="give the geometry with --expt",
        )
    slow, fast = source.shapes[0]
    size = header.pixel_size
    center = hints.beam_center or header.beam_center
    if center is None or not np.all(np.isfinite(center)):
        raise InputError(
            "the beam centre is unknown",
            found="none in the header",
            fix="give it in pixels with --beam-center FAST,SLOW",
        )
    mu = 0.0
    if header.material and header.thickness:
        mu = sensor_mu(header.material, beam.energy)
    return Panel(
        origin=(-center[0] * size[0], center[1] * size[1], -distance),
        fast_axis=(1, 0, 0),
        slow_axis=(0, -1, 0),
        pixel_size=size,
        image_size=(fast, slow),
        thickness=header.thickness or 0.0,
        mu=mu,
        material=header.material or "",
        parallax=mu > 0,
        trusted_range=(_smallest_value(source), header.count_cutoff or 2.0**31 - 1),
        gain=header.gain or 1.0,
        pedestal=header.pedestal or 0.0,
    )


def _smallest_value(source: FrameSource) -> float:
    """1 where zeros mark pixels outside the sensitive area, as CCD images do; else 0."""
    values = source.read(0)[0]
    zeros = values == 0
    lit = values[values > 0]
    if lit.size and zeros.mean() > _EMPTY_SHARE and np.percentile(lit, 1) > _CLEARLY_LIT:
        return 1.0
    return 0.0


def _scan(source: FrameSource) -> Scan | None:
    n = source.n_frames
    first, last = source.header(0), source.header(n - 1)
    if first.phi_start is None or (n == 1 and not first.phi_width):
        if n > 1:
            raise InputError(
                "the headers do not say how the crystal turned",
                found=f"{n} frames without rotation angles",
                fix="give the geometry with --expt, or index stills one by one with --stills",
            )
        return None
    width = first.phi_width
    step = width or 0.0
    if n > 1:
        second = source.header(1)
        assert second.phi_start is not None
        step = _wrapped(second.phi_start - first.phi_start)
        if width and abs(abs(step) - abs(width)) < _SAME * abs(width):
            # Differences of angles carry rounding that the width does not have.
            step = float(np.copysign(width, step))
        _check_even(first.phi_start, step, n, last.phi_start)
    times = [source.header(0).exposure_time or 0.0]
    return Scan(
        n_frames=n,
        phi_start=first.phi_start,
        phi_step=step,
        phi_width=step if width is None else float(np.copysign(width, step)),
        exposure_times=np.array(times),
        first_image=1,
    )


def _check_even(start: float, step: float, n: int, last: float | None) -> None:
    expected = start + step * (n - 1)
    if step == 0 or last is None or abs(_wrapped(last - expected)) > _UNEVEN * n * abs(step):
        raise InputError(
            "the frames are not at equal steps of the rotation angle",
            found=f"{start}°, then a step of {step:g}°, and {last}° at frame {n}",
            fix="index the frames of one sweep at a time, or stills with --stills",
        )


def _wrapped(angle: float) -> float:
    return float((angle + 180.0) % 360.0 - 180.0)


def _known(hint: float | None, header: float | None, name: str, option: str) -> float:
    value = hint if hint is not None else header
    if value is None or not np.isfinite(value) or value <= 0:
        raise InputError(
            f"the {name} is unknown",
            found="nothing in the header" if value is None else value,
            fix=f"give it with {option}",
        )
    return float(value)
