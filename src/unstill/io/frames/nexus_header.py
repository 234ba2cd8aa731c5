"""What NXmx and Eiger files say of their frames: angles, times, geometry of the instrument."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from unstill.experiment import FrameHeader
from unstill.units import ANGSTROM_PER_NM

_MM = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "nm": 1e-6}
_ANGSTROM = {"nm": ANGSTROM_PER_NM, "m": 1e10, "pm": 0.01}
_SECONDS = {"ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DEGREES = {"rad": 180 / np.pi, "radian": 180 / np.pi, "radians": 180 / np.pi}
_AXES = ("omega", "phi", "chi", "kappa")
_MATERIALS = {"silicon": "Si", "cadmium telluride": "CdTe", "gallium arsenide": "GaAs"}


@dataclass(frozen=True, eq=False)
class NexusHeader:
    """The header that all frames share, and the angles of each.

    Parameters
    ----------
    common
        Everything but the angles.
    angles
        Start of every frame (degrees); empty where unknown.
    widths
        How far every frame turns (degrees); one number stands for all.
    """

    common: FrameHeader
    angles: np.ndarray
    widths: np.ndarray

    def frame(self, index: int) -> FrameHeader:
        """Return the header of one frame."""
        if self.angles.size == 0:
            return self.common
        start = float(self.angles[min(index, self.angles.size - 1)])
        width = float(self.widths[min(index, self.widths.size - 1)]) if self.widths.size else None
        return replace(self.common, phi_start=start, phi_width=width)


def read_nexus_header(
    entry: h5py.Group, detector: h5py.Group | None, image_size: tuple[int, int] | None
) -> NexusHeader:
    """Read what a file says of all its frames.

    Lengths are in metres where no unit is written, the wavelength in Å. The
    rotation axis is the one that varies: along the chain of ``depends_on`` of the
    sample first, then among ``goniometer/omega, phi, chi, kappa``.

    Parameters
    ----------
    entry
        The NXentry.
    detector
        The NXdetector, if there is one.
    image_size
        Fast and slow, known from the frames.
    """
    angles, widths = _rotation(entry)
    return NexusHeader(_common(entry, detector, image_size), angles, widths)


def number(group: h5py.Group | None, *paths: str, units: dict[str, float] | None = None) -> Any:
    """Return the first of several scalars that is finite, in our units; ``None`` without one."""
    for path in paths:
        dataset = find(group, path)
        if isinstance(dataset, h5py.Dataset) and dataset.size and dataset.dtype.kind in "iuf":
            # An array of equal numbers, one a frame, is a scalar too.
            value = float(np.ravel(dataset[()])[0])
            if np.isfinite(value):
                return value * _factor(dataset, units) if units else value
    return None


def find(group: h5py.Group | None, path: str) -> Any:
    """Return an object of a file; ``None`` where there is none or its link leads nowhere."""
    try:
        return None if group is None else group.get(path)
    except (KeyError, OSError):
        return None


def text(group: h5py.Group | None, *paths: str) -> str | None:
    """Return the first of several strings that exists."""
    for path in paths:
        dataset = find(group, path)
        if isinstance(dataset, h5py.Dataset) and dataset.dtype.kind in "OS" and dataset.size:
            value = np.ravel(dataset[()])[0]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return None


def _common(
    entry: h5py.Group, detector: h5py.Group | None, image_size: tuple[int, int] | None
) -> FrameHeader:
    beam_x = number(detector, "beam_center_x")
    beam_y = number(detector, "beam_center_y")
    pixel_x = number(detector, "x_pixel_size", units=_MM)
    pixel_y = number(detector, "y_pixel_size", units=_MM)
    name = " ".join(
        filter(None, (text(detector, "description"), text(detector, "detector_number")))
    )
    material = text(detector, "sensor_material")
    return FrameHeader(
        exposure_time=number(detector, "count_time", "exposure_time", units=_SECONDS),
        wavelength=number(
            entry,
            "instrument/beam/incident_wavelength",
            "sample/beam/incident_wavelength",
            "instrument/monochromator/wavelength",
            units=_ANGSTROM,
        ),
        distance=number(detector, "detector_distance", "distance", units=_MM),
        beam_center=None if beam_x is None or beam_y is None else (beam_x, beam_y),
        pixel_size=None if pixel_x is None or pixel_y is None else (pixel_x, pixel_y),
        image_size=image_size,
        transmission=number(entry, "instrument/attenuator/attenuator_transmission"),
        count_cutoff=number(
            detector, "saturation_value", "detectorSpecific/countrate_correction_count_cutoff"
        ),
        thickness=number(detector, "sensor_thickness", units=_MM),
        material=None if material is None else _MATERIALS.get(material.lower(), material),
        detector=name or None,
        timestamp=text(
            entry, "start_time", "instrument/detector/detectorSpecific/data_collection_date"
        ),
        other=_other(entry, detector),
    )


def _other(entry: h5py.Group, detector: h5py.Group | None) -> dict[str, Any]:
    found = {
        "frame_time": number(detector, "frame_time", units=_SECONDS),
        "nimages": number(detector, "detectorSpecific/nimages"),
        "ntrigger": number(detector, "detectorSpecific/ntrigger"),
        "bit_depth_image": number(detector, "bit_depth_image", "bit_depth_readout"),
        "photon_energy": number(detector, "detectorSpecific/photon_energy", "photon_energy"),
        "sample": text(entry, "sample/name"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _rotation(entry: h5py.Group) -> tuple[np.ndarray, np.ndarray]:
    """Angles and widths (degrees) of the axis that turns; the first axis where none does."""
    axes = [*_chain(entry), *_goniometer(entry)]
    if not axes:
        return np.zeros(0), np.zeros(0)
    spans = [float(np.ptp(axis[()])) for axis in axes]
    axis = axes[int(np.argmax(spans))]
    factor = _factor(axis, _DEGREES)
    angles = np.ravel(axis[()]).astype(float) * factor
    return angles, _widths(axis, angles, factor)


def _widths(axis: h5py.Dataset, angles: np.ndarray, factor: float) -> np.ndarray:
    name = axis.name.rsplit("/", 1)[-1]
    for suffix in ("_increment_set", "_range_average"):
        width = number(axis.parent, name + suffix)
        if width is not None:
            return np.array([width * factor])
    end = find(axis.parent, name + "_end")
    if isinstance(end, h5py.Dataset) and end.size == angles.size:
        widths: np.ndarray = np.ravel(end[()]).astype(float) * factor - angles
        return widths
    return np.diff(angles, append=2 * angles[-1] - angles[-2]) if angles.size > 1 else np.zeros(0)


def _chain(entry: h5py.Group) -> Iterator[h5py.Dataset]:
    """Rotations that the sample depends on, from the innermost."""
    path = text(entry, "sample/depends_on")
    place = find(entry, "sample")
    for _ in range(20):  # a chain that ends in itself must not be followed for ever
        axis = find(place, path) if path and path != "." else None
        if not isinstance(axis, h5py.Dataset):
            return
        kind = _attribute(axis, "transformation_type")
        if kind in ("", "rotation") and axis.dtype.kind in "iuf" and axis.size:
            yield axis
        path, place = _attribute(axis, "depends_on"), axis.parent


def _goniometer(entry: h5py.Group) -> Iterator[h5py.Dataset]:
    for folder in ("sample/goniometer", "sample/transformations"):
        for name in _AXES:
            axis = find(entry, f"{folder}/{name}")
            if isinstance(axis, h5py.Dataset) and axis.dtype.kind in "iuf" and axis.size:
                yield axis


def _factor(dataset: h5py.Dataset, units: dict[str, float] | None) -> float:
    unit = _attribute(dataset, "units")
    default = 1000.0 if units is _MM else 1.0
    return (units or {}).get(unit, default if unit in ("", "m") else 1.0)


def _attribute(dataset: h5py.Dataset, name: str) -> str:
    value = dataset.attrs.get(name, "")
    if isinstance(value, np.ndarray):
        value = value.flat[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value)
