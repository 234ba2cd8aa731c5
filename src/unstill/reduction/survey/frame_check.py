"""Faults of frames: before integration in a sample, after it in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.experiment import Experiment, FrameSource
from unstill.reduction.integration.tables import PixelTables
from unstill.reduction.survey.findings import Finding
from unstill.reduction.survey.frame_statistics import FrameStatistics
from unstill.reduction.survey.peak_survey import survey_peaks

_DISTANCE, _ENERGY = 0.005, 0.002


@dataclass(frozen=True, eq=False)
class FrameCheck:
    """What a sample of frames shows before anything is integrated.

    Parameters
    ----------
    frames
        ``(n,)`` those that were looked at.
    bad_pixels
        ``(n, 3)`` panel, row, column of pixels that are strong at every angle.
    rings
        d (Å) of ice and powder rings.
    n_strong, n_explained
        Strong pixels of the sample, and those near reflections of the lattice.
    findings
        Faults by name.
    """

    frames: np.ndarray
    bad_pixels: np.ndarray
    rings: tuple[float, ...]
    n_strong: int
    n_explained: int
    findings: tuple[Finding, ...]


def check_frames(
    experiment: Experiment,
    source: FrameSource,
    tables: PixelTables,
    *,
    frames: Sequence[int] | None = None,
    headers: bool = True,
) -> FrameCheck:
    """Look at a sample of frames and name what is wrong with them.

    Parameters
    ----------
    experiment
        With lattice.
    source
        A :class:`unstill.reduction.survey.frame_cache.FrameCache` keeps the frames for
        the steps that follow.
    tables
        Of the sweep.
    frames
        Which; by default some spread evenly over the sweep.
    headers
        Whether to compare the header of the first frame with the experiment.
    """
    survey = survey_peaks(experiment, source, tables, frames=frames)
    chosen = np.array(survey.frames)
    findings = list(survey.findings)
    if headers and len(chosen):
        findings += _header_findings(experiment, source, int(chosen[0]))
    return FrameCheck(
        frames=chosen,
        bad_pixels=survey.bad_pixels,
        rings=survey.rings,
        n_strong=len(survey.strong),
        n_explained=int(np.count_nonzero(survey.explained)),
        findings=tuple(findings),
    )


def check_statistics(frames: FrameStatistics) -> list[Finding]:
    """Name frames that do not look like the others, once all are integrated.

    Parameters
    ----------
    frames
        Of a whole sweep, in order.
    """
    if not len(frames):
        return []
    total = frames.used + frames.masked + frames.strong + frames.overloaded + frames.invalid
    usable = np.maximum(total, 1)
    rate = relative_rate(frames)
    seen = frames.used > 0
    empty = seen & (frames.photons == 0) & (np.median(frames.photons) > 20)
    return [
        *_ranges(
            frames,
            frames.used == 0,
            "no-pixels",
            "frames without a pixel that can be used",
            "check the mask, the resolution limits and the trusted range",
        ),
        *_ranges(
            frames,
            empty,
            "empty-frames",
            "frames without a photon",
            "the shutter was closed or the files are damaged; leave these frames out",
        ),
        *_ranges(
            frames,
            seen & ~empty & (rate < 0.5),
            "dark-frames",
            "frames with less than half the intensity of their neighbours",
            "the beam was interrupted; leave these frames out if scaling does not mend them",
        ),
        *_ranges(
            frames,
            seen & (rate > 2),
            "bright-frames",
            "frames with more than twice the intensity of their neighbours",
            "check the exposure times, and leave these frames out",
        ),
        *_ranges(
            frames,
            frames.overloaded / usable > 1e-4,
            "overloads",
            "frames in which more than one pixel in 10 000 is overloaded",
            "collect with less flux or thinner slices; overloaded pixels are left out",
        ),
        *_ranges(
            frames,
            frames.masked / usable > 0.5,
            "mostly-masked",
            "frames of which the masks of Bragg peaks cover more than half",
            "check cell, orientation and the shape of the peaks",
        ),
        *_ranges(
            frames,
            frames.strong / usable > 2e-4,
            "strong-pixels",
            "frames with many strong pixels between the masks of Bragg peaks; they are left out",
            "look for a second lattice, ice, hot pixels, or a missing mask",
        ),
        *_ranges(
            frames,
            frames.invalid / usable > 0.3,
            "invalid-pixels",
            "frames in which a third of the pixels has no measurement",
            "check the files and the trusted range",
        ),
    ]


def relative_rate(frames: FrameStatistics, width: int = 51) -> np.ndarray:
    """Intensity of each frame over that of its neighbours, shell by shell, then the median.

    Returns
    -------
    rate
        ``(n,)``; 1 where too little was counted to tell.
    """
    from scipy.ndimage import median_filter

    shell = frames.shell_rate
    known = np.nan_to_num(shell, nan=0.0)
    usual = median_filter(known, size=(min(width, 2 * len(known) + 1), 1), mode="nearest")
    enough = np.median(frames.shell_photons, axis=0) > 50
    if not np.any(enough):
        return np.ones(len(frames))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(usual > 0, shell / usual, np.nan)[:, enough]
    rows = np.any(np.isfinite(ratio), axis=1)
    rate = np.ones(len(frames))
    rate[rows] = np.nanmedian(ratio[rows], axis=1)
    return rate


def spans(frames: np.ndarray) -> str:
    """Write frame numbers as ranges.

    Examples
    --------
    >>> spans(np.array([1, 2, 3, 7]))
    '1-3, 7'
    """
    breaks = np.flatnonzero(np.diff(frames) > 1) + 1
    parts = [
        f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}"
        for part in np.split(np.asarray(frames), breaks)
        if len(part)
    ]
    shown = ", ".join(parts[:8])
    return shown if len(parts) <= 8 else f"{shown} and {len(parts) - 8} more ranges"


def _ranges(
    frames: FrameStatistics, which: np.ndarray, code: str, what: str, fix: str
) -> list[Finding]:
    if not np.any(which):
        return []
    n = int(np.count_nonzero(which))
    listed = spans(frames.frame[which] + 1)
    return [Finding(code, what, f"{n} of {len(frames)}: image {listed}", fix)]


def _header_findings(experiment: Experiment, source: FrameSource, frame: int) -> list[Finding]:
    header = source.header(frame)
    pairs = [
        ("distance", "mm", _DISTANCE, header.distance, experiment.detector.panels[0].distance),
        ("wavelength", "Å", _ENERGY, header.wavelength, experiment.beam.wavelength),
    ]
    found = []
    for name, unit, tolerance, says, used in pairs:
        if says and abs(says / used - 1) > tolerance:
            found.append(
                Finding(
                    f"header-{name}",
                    f"image header and geometry differ in the {name}",
                    f"{says:.6g} {unit} in the header and {used:.6g} {unit} in the geometry",
                    "check that the geometry belongs to these images; it is used as it is",
                )
            )
    return found
