"""What image headers say of a sweep, against what the experiment says."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.experiment import (
    Experiment,
    FrameHeader,
    FrameSource,
    Goniometer,
    Scan,
)
from unstill.experiment.attenuation import sensor_mu
from unstill.io.photon_values import with_photon_values

Prefer = Literal["header", "expt"]

_ANGLE_TOLERANCE = 0.1
"""Of the step: angles that differ by more contradict each other."""

_TIME_TOLERANCE = 0.01
_DISTANCE_TOLERANCE = 0.01
_WAVELENGTH_TOLERANCE = 0.001

_ALL_HEADERS = 64
"""Sweeps up to this length have every header read, longer ones a sample."""


@dataclass(frozen=True)
class _Angles:
    """Angles of a sweep as headers give them; width ``None`` where they are silent."""

    start: float
    step: float | None
    width: float | None


def reconcile_scan(
    experiment: Experiment, source: FrameSource, *, prefer: Prefer = "header"
) -> Experiment:
    """Bring the scan of an experiment into line with the frames and their headers.

    Compares angles, exposure times, distance, wavelength, image size and the
    number of frames. Where a header contradicts the scan it wins, with a
    warning that gives both values. A missing exposure time, transmission, sensor
    thickness, gain or pedestal is taken from the header.

    Headers that give a rotation of 0 and angles that advance from frame to
    frame are believed to the letter: stills at equal steps, at the angle
    given, and not at the middle of a step. (In the ten nuclease frames that
    angle puts strong spots closest to integer hkl: the best offset is −0.03 of
    a step.) Only where start and step agree with the experiment is its width kept.

    Parameters
    ----------
    experiment
        As the geometry file says.
    source
        Its frames, from :func:`unstill.io.sweep_frames.match_frames`.
    prefer
        ``"expt"`` keeps the scan of the experiment; both values are still told.

    Returns
    -------
    experiment
        With as many frames as there are images.

    Raises
    ------
    InputError
        If there are no images, they have another size than the detector, there
        are more than the scan has, nothing gives an exposure time, or a file with
        the gain or the pedestal is missing or cannot be applied.
    """
    _check_shapes(experiment, source)
    headers = _sampled_headers(source)
    first = next(iter(headers.values()))
    experiment = _with_frame_count(experiment, source)
    if experiment.scan is not None and not experiment.is_still:
        experiment = _with_angles(experiment, headers, prefer)
    _tell_of_distance(experiment, first)
    _tell_of_wavelength(experiment, first)
    experiment = _with_beam_and_sensor(experiment, first)
    experiment = with_photon_values(experiment, first)
    return _with_exposure(experiment, headers, source, prefer)


def _check_shapes(experiment: Experiment, source: FrameSource) -> None:
    if source.n_frames == 0:
        raise InputError(
            f"the sweep {experiment.name!r} has no images",
            found=experiment.images.template or ", ".join(experiment.images.paths[:1]) or "none",
            fix="give them: --images GLOB",
        )
    needed = tuple(panel.shape for panel in experiment.detector.panels)
    if tuple(source.shapes) != needed:
        raise InputError(
            "the images have another size than the detector of the experiment",
            found=f"images of {_sizes(source.shapes)} pixels, detector of {_sizes(needed)}",
            fix="give the images that belong to this experiment",
        )


def _sizes(shapes: tuple[tuple[int, int], ...]) -> str:
    text = [f"{fast} × {slow}" for slow, fast in shapes[:2]]
    return " and ".join(text) + (f" … ({len(shapes)} panels)" if len(shapes) > 2 else "")


def _sampled_headers(source: FrameSource) -> dict[int, FrameHeader]:
    """Headers by frame; those of frames without a file say nothing and are left out."""
    n = source.n_frames
    picked = set(range(n))
    if n > _ALL_HEADERS:
        picked = {0, 1, n - 1, *np.linspace(0, n - 1, 16).astype(int).tolist()}
    headers = {i: source.header(i) for i in sorted(picked)}
    silent = FrameHeader()
    told = {i: header for i, header in headers.items() if header != silent}
    return told or headers


def _with_frame_count(experiment: Experiment, source: FrameSource) -> Experiment:
    scan, n = experiment.scan, source.n_frames
    if scan is None or n == scan.n_frames:
        if scan is None and n > 1:
            raise InputError(
                "a still has one image",
                found=f"{n} images for {experiment.name!r}",
                fix="give one experiment an image, or an experiment with a scan",
            )
        return experiment
    if scan.open_ended:
        times = np.full(n, scan.exposure_times[0])
        known = replace(scan, n_frames=n, exposure_times=times, open_ended=False)
        return experiment.replace(scan=known)
    if n > scan.n_frames:
        raise InputError(
            "there are more images than the scan of the experiment has frames",
            found=f"{n} images, {scan.n_frames} frames in {experiment.name!r}",
            fix="give the images of this sweep only, or the experiment of the whole sweep",
        )
    _warn(
        f"the scan of {experiment.name!r} has {scan.n_frames} frames and there are {n} images; "
        f"the last {scan.n_frames - n} frames are left out"
    )
    return experiment.part(0, n)


def _with_angles(
    experiment: Experiment, headers: dict[int, FrameHeader], prefer: Prefer
) -> Experiment:
    scan = experiment.scan
    assert scan is not None
    angles = _header_angles(headers)
    if angles is None:
        return experiment
    found = _scan_of(scan, angles)
    if _same_angles(scan, found):
        if found.phi_width == 0 and scan.phi_width:
            _warn(
                "the image headers give a rotation of 0 degrees a frame; "
                f"{scan.phi_width:g} of the experiment is kept"
            )
            return experiment
        if abs(float(found.phi_width or 0) - float(scan.phi_width or 0)) <= _tolerance(scan):
            return experiment
    kept = "the headers are believed" if prefer == "header" else "the experiment is believed"
    _warn(
        f"the image headers contradict the scan of {experiment.name!r}: headers {_told(found)}; "
        f"experiment {_told(scan)}; {kept}"
    )
    return experiment if prefer == "expt" else experiment.replace(scan=found)


def _header_angles(headers: dict[int, FrameHeader]) -> _Angles | None:
    """Start, step and width from headers; ``None`` where they give no angle."""
    at = {i: h.phi_start for i, h in headers.items() if h.phi_start is not None}
    if not at:
        return None
    first, last = min(at), max(at)
    width = headers[first].phi_width
    if last == first:
        return _Angles(at[first] - first * (width or 0.0), width or None, width)
    nearest = min(i for i in at if i > first)
    step = _wrapped(at[nearest] - at[first]) / (nearest - first)
    # The last frame makes up for the few decimals that headers have.
    step += _wrapped(at[last] - at[first] - step * (last - first)) / (last - first)
    start = at[first] - step * first
    off = {i: _wrapped(phi - start - step * i) for i, phi in at.items()}
    worst = max(off, key=lambda i: abs(off[i]))
    if abs(off[worst]) > max(_ANGLE_TOLERANCE * abs(step), 0.011):
        raise InputError(
            "the images are at unequal angles",
            found=f"frame {worst + 1} at {at[worst]:g} degrees, "
            f"{off[worst]:+g} from equal steps of {step:g}",
            fix="give the images of one sweep, in their order",
        )
    if width is not None and step:
        width = float(np.copysign(width, step))
    return _Angles(start, round(step, 7), width)


def _scan_of(scan: Scan, angles: _Angles) -> Scan:
    step = scan.phi_step if angles.step is None else angles.step
    width = step if angles.width is None else angles.width
    if abs(width - step) <= _ANGLE_TOLERANCE * abs(step):
        width = step
    start = scan.phi_start if scan.free_origin else angles.start
    return replace(scan, phi_start=start, phi_step=step, phi_width=width)


def _same_angles(scan: Scan, found: Scan) -> bool:
    tolerance = _tolerance(scan)
    begins = abs(_wrapped(found.phi_start - scan.phi_start))
    drifts = abs(found.phi_step - scan.phi_step) * scan.n_frames
    return begins <= tolerance and drifts <= tolerance


def _wrapped(angle: float) -> float:
    """Difference of two angles, from −180 to 180 degrees."""
    return (angle + 180.0) % 360.0 - 180.0


def _tolerance(scan: Scan) -> float:
    return max(_ANGLE_TOLERANCE * abs(scan.phi_step), 0.005)


def _told(scan: Scan) -> str:
    width = "" if scan.phi_width == scan.phi_step else f" (turning by {scan.phi_width:g})"
    return (
        f"{scan.phi_start:g} to {scan.phi_start + scan.n_frames * scan.phi_step:g} degrees "
        f"in {scan.n_frames} steps of {scan.phi_step:g}{width}"
    )


def _tell_of_distance(experiment: Experiment, header: FrameHeader) -> None:
    distances = [panel.distance for panel in experiment.detector.panels]
    here = float(np.median(distances))
    there = None if header.distance is None else abs(header.distance)
    if not there or not here or np.ptp(distances) > _DISTANCE_TOLERANCE * here:
        return
    if abs(there / here - 1) > _DISTANCE_TOLERANCE:
        _warn(
            f"wrong detector distance? The image headers say {there:.2f} mm and the experiment "
            f"{here:.2f} mm; the experiment is believed"
        )


def _tell_of_wavelength(experiment: Experiment, header: FrameHeader) -> None:
    here, there = experiment.beam.wavelength, header.wavelength
    if there and abs(there / here - 1) > _WAVELENGTH_TOLERANCE:
        _warn(
            f"wrong wavelength? The image headers say {there:.5f} Å and the experiment "
            f"{here:.5f} Å; the experiment is believed"
        )


def _with_beam_and_sensor(experiment: Experiment, header: FrameHeader) -> Experiment:
    """Take from the header what the experiment does not know and corrections need."""
    beam, detector = experiment.beam, experiment.detector
    if beam.transmission == 1.0 and header.transmission:
        beam = replace(beam, transmission=header.transmission)
    if header.thickness and header.material:
        # The geometry was refined without parallax: only the efficiency gains from this.
        mu = _quietly(lambda: sensor_mu(str(header.material), beam.energy))
        if mu is not None:
            panels = tuple(
                panel
                if panel.thickness > 0
                else replace(
                    panel,
                    thickness=header.thickness,
                    material=header.material,
                    mu=mu,
                    parallax=False,
                )
                for panel in detector.panels
            )
            detector = replace(detector, panels=panels)
    return experiment.replace(beam=beam, detector=detector)


def _quietly(value: Callable[[], float]) -> float | None:
    try:
        return value()
    except InputError:
        return None


def _with_exposure(
    experiment: Experiment, headers: dict[int, FrameHeader], source: FrameSource, prefer: Prefer
) -> Experiment:
    scan, told = experiment.scan, next(iter(headers.values())).exposure_time
    known = scan is not None and bool(np.all(scan.exposure_times > 0))
    if not known and not told:
        if experiment.is_still:
            _warn(f"nothing gives the exposure time of {experiment.name!r}; 1 second is taken")
            return _with_times(experiment, np.ones(1))
        raise InputError(
            f"the exposure time of the sweep {experiment.name!r} is not known",
            found="0 seconds in the experiment, nothing in the image headers",
            fix="write it into the scan of the experiment file, as exposure_time in seconds",
        )
    if not told:
        return experiment
    if not known:
        return _with_times(experiment, _header_times(headers, source))
    assert scan is not None
    here = float(scan.exposure_times[0])
    if abs(told / here - 1) <= _TIME_TOLERANCE:
        return experiment
    kept = "the headers are" if prefer == "header" else "the experiment is"
    _warn(
        f"the image headers give an exposure time of {told:g} s and the experiment {here:g} s; "
        f"{kept} believed"
    )
    if prefer == "expt":
        return experiment
    return _with_times(experiment, _header_times(headers, source))


def _header_times(headers: dict[int, FrameHeader], source: FrameSource) -> np.ndarray:
    """Exposure time of every frame; one number for all where a sample of headers agrees."""
    times = np.array([header.exposure_time or 0.0 for header in headers.values()])
    if len(times) < source.n_frames and np.ptp(times) <= _TIME_TOLERANCE * times.max():
        return np.full(source.n_frames, times[0])
    if len(times) < source.n_frames:
        silent = FrameHeader()
        every = [source.header(i) for i in range(source.n_frames)]
        # A frame without a file counts nothing, whatever its time.
        times = np.array(
            [times[0] if one == silent else one.exposure_time or 0.0 for one in every]
        )
    if times.min() <= 0:
        raise InputError(
            "the exposure time of some images is not known",
            found=f"frame {int(times.argmin()) + 1} has {times.min():g} seconds",
            fix="write exposure_time into the scan of the experiment file, in seconds",
        )
    return times


def _with_times(experiment: Experiment, times: np.ndarray) -> Experiment:
    if experiment.scan is not None:
        return experiment.replace(scan=replace(experiment.scan, exposure_times=times))
    still = Scan(1, 0.0, 0.0, 0.0, times)
    # A still has no goniometer: at angle 0 one without fixed rotations changes nothing.
    return experiment.replace(scan=still, goniometer=experiment.goniometer or Goniometer())


def _warn(text: str) -> None:
    warnings.warn(text, UnstillWarning, stacklevel=3)
