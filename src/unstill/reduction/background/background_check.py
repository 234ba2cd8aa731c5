"""Whether a background belongs to the data: by what the files say, and by the counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.experiment import Experiment
from unstill.maps.observations import Observations
from unstill.reduction.survey.findings import Finding

_FIX = "give the background that was measured with this setting"


@dataclass(frozen=True)
class BackgroundMatch:
    """How a background goes with a sweep.

    Parameters
    ----------
    factor
        What its rates must be multiplied by.
    findings
        What differs, with both values; those with a code in ``SCALED`` are made
        up for by rates and factor, the others make the background wrong.
    """

    factor: float
    findings: tuple[Finding, ...]

    @property
    def is_wrong(self) -> bool:
        """Whether something differs that cannot be scaled away."""
        return any(finding.code not in SCALED for finding in self.findings)


SCALED = ("background-exposure", "background-transmission")


def match_background(background: Experiment, data: Experiment) -> BackgroundMatch:
    """Compare the setting of a background sweep with that of a crystal.

    Parameters
    ----------
    background, data
        The two sweeps.

    Raises
    ------
    InputError
        If the detectors differ in size: no pixel of one belongs to one of the other.
    """
    sizes = [[panel.image_size for panel in e.detector.panels] for e in (background, data)]
    if sizes[0] != sizes[1]:
        raise InputError(
            "the background is of another detector",
            found=f"images of {sizes[0]} and {sizes[1]} pixels",
            fix=_FIX,
        )
    findings = [
        *_exposure(background, data),
        *_transmission(background, data),
        *_differs("distance", "mm", 0.005, *(_distance(e) for e in (background, data))),
        *_differs("energy", "eV", 0.002, *(e.beam.energy for e in (background, data))),
        *_pixels(background, data),
    ]
    return BackgroundMatch(data.beam.transmission / background.beam.transmission, tuple(findings))


def check_against_counts(
    observations: Observations, *, max_share: float = 0.02, n_bins: int = 12
) -> list[Finding]:
    """Find a background that is higher than the data themselves.

    Parameters
    ----------
    observations
        With their background; all rows of a sweep.
    max_share
        Share of the bins in which it may be, by more than five standard errors.
    n_bins
        Bins along each side of a panel.
    """
    if not len(observations) or not np.any(observations.background):
        return []
    counts, background, sigma = _binned(observations, n_bins)
    error = np.sqrt(np.maximum(background, 1.0) + sigma**2)
    full = background > 25
    above = full & (background - counts > 5 * error)
    share = int(np.count_nonzero(above)) / max(int(np.count_nonzero(full)), 1)
    if share <= max_share:
        return []
    ratio = float(np.median(background[above] / np.maximum(counts[above], 1)))
    return [
        Finding(
            "wrong-background",
            "the background is higher than the data",
            f"in {100 * share:.0f} % of the detector, by a factor of {ratio:.2f} there",
            f"it belongs to another setting: {_FIX}",
        )
    ]


def _binned(rows: Observations, n_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place = [
        np.minimum((value / (value.max() + 1e-9) * n_bins).astype(int), n_bins - 1)
        for value in (rows.x, rows.y)
    ]
    key = (rows.panel.astype(int) * n_bins + place[1]) * n_bins + place[0]
    sums = [
        np.bincount(key, weights=column)
        for column in (rows.counts, rows.background, rows.background_sigma)
    ]
    return sums[0], sums[1], sums[2]


def _exposure(background: Experiment, data: Experiment) -> list[Finding]:
    times = [
        0.0 if e.scan is None else float(np.median(e.scan.exposure_times))
        for e in (background, data)
    ]
    if min(times) <= 0 or abs(times[0] / times[1] - 1) < 1e-3:
        return []
    return [
        Finding(
            "background-exposure",
            "background and data were exposed for different times; the background is scaled",
            f"{times[0]:g} s and {times[1]:g} s",
        )
    ]


def _transmission(background: Experiment, data: Experiment) -> list[Finding]:
    first, second = background.beam.transmission, data.beam.transmission
    if abs(first / second - 1) < 1e-3:
        return []
    return [
        Finding(
            "background-transmission",
            "background and data were taken with different filters; the background is scaled",
            f"transmission {first:g} and {second:g}",
        )
    ]


def _differs(name: str, unit: str, tolerance: float, first: float, second: float) -> list[Finding]:
    if abs(first / second - 1) < tolerance:
        return []
    return [
        Finding(
            f"background-{name}",
            f"the background was measured at another {name}",
            f"{first:.6g} {unit} and {second:.6g} {unit}",
            _FIX,
        )
    ]


def _pixels(background: Experiment, data: Experiment) -> list[Finding]:
    first, second = (e.detector.panels[0].pixel_size for e in (background, data))
    if np.allclose(first, second, rtol=1e-3):
        return []
    return [
        Finding(
            "background-pixels",
            "the background has pixels of another size",
            f"{first} mm and {second} mm",
            _FIX,
        )
    ]


def _distance(experiment: Experiment) -> float:
    return experiment.detector.panels[0].distance
