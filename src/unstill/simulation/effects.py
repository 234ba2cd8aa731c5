"""What the reduction has to correct: scale b, absorption a, offset c, response d.

The photons that a pixel counts in an exposure of t seconds follow a Poisson law of mean

    λ = t T [ a d ΩAEP (b K (I_diffuse + I_Bragg) + c) + background ]

with the flux K (photons a second and a steradian for 1 e² per cell) and the
transmission T of the filters. The background is what the same pixel counts
without a crystal: neither a, b, c nor d acts on it, as in the reduction, which
subtracts t · rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from unstill.experiment import Detector
from unstill.simulation.places import Places

Angle = float | np.ndarray
"""Rotation angle (degrees): one for all places, or one a place."""

Effect = Callable[[Places, Angle], "np.ndarray | float"]
"""Value at points of the detector at rotation angles."""


@dataclass(frozen=True)
class Constant:
    """The same value everywhere."""

    value: float

    def __call__(self, places: Places, phi: Angle) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class WavyScale:
    """b(φ) = 1 + amplitude · mean of two cosines: beam decay, crystal in and out of the beam.

    Parameters
    ----------
    amplitude
        Largest deviation from 1.
    period
        Of the slower cosine (degrees); the other has 0.37 of it.
    phase
        Degrees.
    """

    amplitude: float = 0.2
    period: float = 120.0
    phase: float = 30.0

    def __call__(self, places: Places, phi: Angle) -> np.ndarray:
        """Return b."""
        turn = 2 * np.pi * np.asarray(phi) / self.period + np.radians(self.phase)
        value: np.ndarray = 1 + self.amplitude * (0.6 * np.cos(turn) + 0.4 * np.sin(turn / 0.37))
        return value


@dataclass(frozen=True)
class SmoothAbsorption:
    """a(x, y, φ): a plane and a saddle over the detector that turn with the crystal.

    a = 1 + amplitude · [0.6 (u cos φ + v sin φ) + 0.4 (u² − v²) cos 2φ], u and v from −1
    to 1 over the detector.

    Parameters
    ----------
    amplitude
        Largest deviation from 1.
    middle, half
        Pixels of the middle and half of the size, fast and slow.
    """

    amplitude: float
    middle: tuple[float, float]
    half: tuple[float, float]

    @classmethod
    def over(cls, detector: Detector, amplitude: float = 0.1) -> SmoothAbsorption:
        """Make it span every panel of a detector."""
        fast, slow = detector.panels[0].image_size
        return cls(amplitude, (fast / 2, slow / 2), (fast / 2, slow / 2))

    def __call__(self, places: Places, phi: Angle) -> np.ndarray:
        """Return a."""
        u = (places.x - self.middle[0]) / self.half[0]
        v = (places.y - self.middle[1]) / self.half[1]
        turn = np.radians(phi)
        plane = u * np.cos(turn) + v * np.sin(turn)
        saddle = (u**2 - v**2) * np.cos(2 * turn)
        value: np.ndarray = 1 + self.amplitude * (0.6 * plane + 0.4 * saddle)
        return value


@dataclass(frozen=True)
class RingOffset:
    """c(s, φ) ≥ 0: scatter of what is on the crystal beside itself, a broad ring that drifts.

    c = height · exp(−(s − center)²/2 width²) · [1 + drift cos(φ − 40°)]; photons a second and a
    steradian.
    """

    height: float
    center: float = 0.28
    width: float = 0.08
    drift: float = 0.5

    def __call__(self, places: Places, phi: Angle) -> np.ndarray:
        """Return c."""
        ring = np.exp(-((places.s - self.center) ** 2) / (2 * self.width**2))
        value: np.ndarray = self.height * ring * (1 + self.drift * np.cos(np.radians(phi - 40)))
        return value


@dataclass(frozen=True)
class ModuleResponse:
    """d(x, y): smooth differences in sensitivity, 1 + amplitude · sin(2πx/period) sin(2πy/period).

    Parameters
    ----------
    amplitude
        Largest deviation from 1.
    period
        Pixels.
    """

    amplitude: float = 0.03
    period: float = 300.0

    def __call__(self, places: Places, phi: Angle) -> np.ndarray:
        """Return d; it does not depend on φ."""
        wave = 2 * np.pi / self.period
        value: np.ndarray = 1 + self.amplitude * np.sin(wave * places.x) * np.sin(wave * places.y)
        return value


@dataclass(frozen=True)
class Effects:
    """All of a, b, c, d; any function of (places, phi) will do, those here are the usual ones.

    Parameters
    ----------
    scale
        b.
    absorption
        a.
    offset
        c (photons a second and a steradian).
    response
        d.
    """

    scale: Effect = field(default=Constant(1.0))
    absorption: Effect = field(default=Constant(1.0))
    offset: Effect = field(default=Constant(0.0))
    response: Effect = field(default=Constant(1.0))

    @classmethod
    def usual(
        cls,
        detector: Detector,
        *,
        scale: float = 0.2,
        absorption: float = 0.1,
        offset: float = 0.0,
        response: float = 0.03,
    ) -> Effects:
        """Effects of the given sizes; ``offset`` is the height of the ring in photons/s/sr."""
        return cls(
            scale=WavyScale(scale) if scale else Constant(1.0),
            absorption=SmoothAbsorption.over(detector, absorption)
            if absorption
            else Constant(1.0),
            offset=RingOffset(offset) if offset else Constant(0.0),
            response=ModuleResponse(response) if response else Constant(1.0),
        )

    def as_dict(self) -> dict[str, str]:
        """How each was made, for the record."""
        return {
            name: repr(getattr(self, name))
            for name in ("scale", "absorption", "offset", "response")
        }
