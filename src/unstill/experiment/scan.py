"""When and at which angles the frames of a sweep were taken."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Float


@dataclass(frozen=True, eq=False)
class Scan:
    """Frames at equal steps of the rotation angle.

    Parameters
    ----------
    n_frames
        Number of frames.
    phi_start
        Angle at which the first frame begins (degrees).
    phi_step
        From the beginning of one frame to that of the next (degrees).
    phi_width
        Angle turned during one exposure (degrees); by default the step. 0 for
        stills taken at equal steps.
    exposure_times
        ``(n_frames,)`` seconds; one number stands for all. 0 where unknown.
    first_image
        Number of the first image, as in its file name.
    free_origin
        Whether the zero of the angle is arbitrary, as in XDS: image headers then
        say nothing about ``phi_start``.
    open_ended
        Whether the number of frames is not known, and images decide.

    Raises
    ------
    InputError
        If there is no frame, or an angle or a time is not finite.
    """

    n_frames: int
    phi_start: float = 0.0
    phi_step: float = 0.1
    phi_width: float | None = None
    exposure_times: Float[np.ndarray, " n_frames"] = field(default_factory=lambda: np.zeros(1))
    first_image: int = 1
    free_origin: bool = False
    open_ended: bool = False

    def __post_init__(self) -> None:
        width = self.phi_step if self.phi_width is None else self.phi_width
        object.__setattr__(self, "phi_width", float(width))
        times = np.asarray(self.exposure_times, dtype=float).ravel()
        if self.n_frames < 1:
            raise InputError("a scan without frames", found=self.n_frames, fix="give one at least")
        if times.size == 1:
            times = np.full(self.n_frames, times[0])
        object.__setattr__(self, "exposure_times", times)
        if times.shape != (self.n_frames,):
            raise InputError(
                "the exposure times do not match the frames of the scan",
                found=f"{times.size} times for {self.n_frames} frames",
                fix="give one time in seconds a frame, or one for all",
            )
        if not np.all((times >= 0) & (times < np.inf)):
            raise InputError(
                "an exposure time is impossible",
                found=f"{times[~((times >= 0) & (times < np.inf))][0]} seconds",
                fix="give times in seconds, 0 where they are unknown",
            )
        if not np.all(np.isfinite([self.phi_start, self.phi_step, width])):
            raise InputError(
                "the angles of the scan are not finite",
                found=(self.phi_start, self.phi_step, width),
                fix="give the start and the step in degrees",
            )

    def phi(self, position: float | np.ndarray) -> np.ndarray:
        """Angle (degrees) at a position in frames; i + 0.5 is the middle of frame i."""
        # A width of 0 puts both ends of an exposure at its beginning.
        whole = np.floor(position)
        inside = np.asarray(position, dtype=float) - whole
        return np.asarray(
            self.phi_start + self.phi_step * whole + float(self.phi_width or 0.0) * inside
        )

    @property
    def image_numbers(self) -> range:
        """Numbers of the images, as in their file names."""
        return range(self.first_image, self.first_image + self.n_frames)

    def part(self, start: int, stop: int) -> Scan:
        """Return the scan of the frames ``start`` to ``stop`` (excluded)."""
        return replace(
            self,
            n_frames=stop - start,
            phi_start=self.phi_start + start * self.phi_step,
            exposure_times=self.exposure_times[start:stop],
            first_image=self.first_image + start,
        )
