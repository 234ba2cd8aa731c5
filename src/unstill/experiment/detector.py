"""A detector: flat panels in the laboratory frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.experiment.vectors import Vector, unit_vector

Rectangle = tuple[int, int, int, int]
"""fast start, slow start, fast stop, slow stop; pixels, half open."""


_LARGEST = 1_000_000
"""Pixels along a side, and mm from the sample; more is damage in a file."""

_NEAREST = 1e-3
"""mm from the sample to the plane of a panel."""


@dataclass(frozen=True)
class Panel:
    """One flat panel of a detector.

    Pixel coordinates are continuous and count from the corner: the centre of
    the first pixel is at (0.5, 0.5), as in DIALS.

    Parameters
    ----------
    origin
        Corner of the first pixel in the laboratory frame (mm).
    fast_axis, slow_axis
        Directions along a row and from row to row; made unit vectors.
    pixel_size
        Fast and slow (mm).
    image_size
        Pixels along fast and slow.
    thickness
        Of the sensor (mm); 0 where unknown: no parallax and no efficiency then.
    mu
        Attenuation of the sensor (mm⁻¹); 0 where unknown.
    material
        Of the sensor, for example ``"Si"``; empty where unknown.
    parallax
        Whether pixels are displaced by the depth of absorption in the sensor.
    trusted_range
        Smallest and largest pixel value that counts, both included.
    masked
        Rectangles that are not to be used, ``(fast0, slow0, fast1, slow1)``.
    gain
        Pixel value of one photon.
    pedestal
        Pixel value of no photon.
    offset
        Position of the panel in the raw image, fast and slow (pixels).
    name
        Of the panel.

    Raises
    ------
    InputError
        If sizes are not positive, the panel is nowhere near the sample or in one
        plane with it, an axis has no length, or the axes are not at right angles.
    """

    origin: Vector
    fast_axis: Vector
    slow_axis: Vector
    pixel_size: tuple[float, float]
    image_size: tuple[int, int]
    thickness: float = 0.0
    mu: float = 0.0
    material: str = ""
    parallax: bool = False
    trusted_range: tuple[float, float] = (0.0, 2.0**31 - 1)
    masked: tuple[Rectangle, ...] = ()
    gain: float = 1.0
    pedestal: float = 0.0
    offset: tuple[int, int] = (0, 0)
    name: str = "Panel"

    def __post_init__(self) -> None:
        sizes = (*self.pixel_size, *self.image_size, self.gain)
        if not min(sizes) > 0 or max(self.image_size) > _LARGEST:
            raise InputError(
                "a panel needs pixels of some size",
                found=f"pixel size {self.pixel_size} mm, image size {self.image_size}, "
                f"gain {self.gain}",
                fix="give the pixel size in mm and the number of pixels, fast and slow",
            )
        if not np.all(np.abs(self.origin) < _LARGEST):
            raise InputError(
                "a panel is nowhere near the sample",
                found=f"origin {self.origin} mm",
                fix="give the corner of its first pixel in mm",
            )
        for name in ("fast_axis", "slow_axis"):
            object.__setattr__(self, name, unit_vector(getattr(self, name), name))
        if abs(float(np.dot(self.fast_axis, self.slow_axis))) > 0.01:
            raise InputError(
                "the axes of a panel are not at right angles",
                found=f"fast {self.fast_axis}, slow {self.slow_axis}",
                fix="give two directions at right angles to each other",
            )
        if self.distance < _NEAREST:
            raise InputError(
                "the plane of a panel goes through the sample",
                found=f"origin {self.origin} mm, fast {self.fast_axis}, slow {self.slow_axis}",
                fix="give the distance from the sample to the panel in its origin",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image array: slow, fast."""
        return self.image_size[1], self.image_size[0]

    @property
    def normal(self) -> np.ndarray:
        """``(3,)`` unit normal, fast × slow."""
        normal = np.cross(self.fast_axis, self.slow_axis)
        unit: np.ndarray = normal / np.linalg.norm(normal)
        return unit

    @property
    def distance(self) -> float:
        """From the sample to the plane of the panel (mm)."""
        return abs(float(np.dot(self.origin, self.normal)))


@dataclass(frozen=True)
class Detector:
    """Panels, in the order in which frames hold them.

    Parameters
    ----------
    panels
        At least one.

    Raises
    ------
    InputError
        If there is no panel.
    """

    panels: tuple[Panel, ...]

    def __post_init__(self) -> None:
        if not self.panels:
            raise InputError("a detector without a panel", fix="give one panel at least")

    @property
    def n_pixels(self) -> int:
        """Pixels of all panels."""
        return sum(panel.image_size[0] * panel.image_size[1] for panel in self.panels)
