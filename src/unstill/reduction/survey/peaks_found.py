"""What is kept of a look at the Bragg peaks of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.reduction.survey.findings import Finding
from unstill.reduction.survey.peak_shape import PeakShape


@dataclass(frozen=True, eq=False)
class PeaksFound:
    """What a look at the peaks of a sweep gave.

    Parameters
    ----------
    shape
        Of the peaks.
    sample
        ``(n, 3)`` distances of some strong pixels from their reflections (r.l.u.).
    n_strong, n_foreign
        Strong pixels that were seen, and those that belong to no reflection.
    bad_pixels
        ``(n, 3)`` panel, row, column of pixels that are strong whatever the angle.
    rings
        d (Å) of rings of strong pixels.
    findings
        Faults by name.
    """

    shape: PeakShape
    sample: np.ndarray
    n_strong: int
    n_foreign: int
    bad_pixels: np.ndarray
    rings: tuple[float, ...]
    findings: tuple[Finding, ...]
