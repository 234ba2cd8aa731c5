"""A look at a sample of frames: the shape of the peaks, and what is no peak of this lattice."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.errors import UnstillWarning
from unstill.experiment import Experiment, FrameSource
from unstill.reduction.integration.absences import absence_rules, absent_among
from unstill.reduction.integration.tables import PixelTables, pixel_tables
from unstill.reduction.survey.findings import Finding
from unstill.reduction.survey.frame_cache import FrameCache
from unstill.reduction.survey.peak_shape import DEFAULT_RADIUS, PeakShape
from unstill.reduction.survey.rings import WIDTH, RadialProfile, find_rings, is_ice
from unstill.reduction.survey.strong_pixels import StrongPixels, join_strong, strong_pixels
from unstill.reduction.survey.threshold import zone_rates

N_SAMPLE = 16
"""Frames of a sweep that are looked at."""

START_RADIUS = 0.03
"""Standard deviation (r.l.u.) of the sphere that the fit begins with."""

MIN_PIXELS = 40
"""Strong pixels near reflections that a fit needs."""

_FOREIGN_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class PeakSurvey:
    """What a sample of frames shows.

    Parameters
    ----------
    frames
        Those that were looked at.
    shape
        Of the peaks.
    strong
        The strong pixels of the sample.
    explained
        ``(n,)`` which of them belong to a peak of the lattice.
    bad_pixels
        ``(n, 3)`` panel, row, column of pixels that are strong whatever the angle.
    rings
        d (Å) of rings of ice and powder.
    findings
        Faults by name.
    """

    frames: tuple[int, ...]
    shape: PeakShape
    strong: StrongPixels
    explained: np.ndarray
    bad_pixels: np.ndarray
    rings: tuple[float, ...]
    findings: tuple[Finding, ...]


def find_peak_shape(
    experiment: Experiment,
    source: FrameSource,
    *,
    tables: PixelTables | None = None,
    frames: Sequence[int] | None = None,
    cutoff: float = 3.0,
) -> PeakShape:
    """Fit the shape of the peaks; see :func:`survey_peaks`. Findings become warnings."""
    chosen = pixel_tables(experiment) if tables is None else tables
    survey = survey_peaks(experiment, source, chosen, frames=frames, cutoff=cutoff)
    for finding in survey.findings:
        warnings.warn(str(finding), UnstillWarning, stacklevel=2)
    return survey.shape


def survey_peaks(
    experiment: Experiment,
    source: FrameSource,
    tables: PixelTables,
    *,
    frames: Sequence[int] | None = None,
    cutoff: float = 3.0,
) -> PeakSurvey:
    """Fit the shape of the peaks and name what is no peak of this lattice.

    Parameters
    ----------
    experiment
        With lattice.
    source
        A :class:`FrameCache` keeps the frames for integration.
    tables
        Of the sweep.
    frames
        Which; by default some spread evenly over the sweep.
    cutoff
        Of the mask, in standard deviations.
    """
    chosen = sample_frames(source.n_frames, N_SAMPLE) if frames is None else list(frames)
    look = source.look if isinstance(source, FrameCache) else source.read
    profile, parts = RadialProfile.of(experiment, tables), []
    for frame in chosen:
        values = look(frame)
        rates = zone_rates(values, tables, experiment.detector)
        parts.append(strong_pixels(experiment, values, frame, tables, rates=rates))
        profile.add(values, rates, tables, experiment.detector)
    strong = join_strong(parts)
    rings, in_shell = find_rings(profile)
    on_ring = in_shell[(strong.s / WIDTH).astype(int)]
    # The direct beam is there at every angle, and masked like any other reflection.
    may_be_hot = strong.alone & ~on_ring & np.any(strong.nearest != 0, axis=1)
    bad = hot_pixels(strong.take(may_be_hot), len(chosen))
    usable = ~_is_among(strong, bad)
    rules = absence_rules(experiment.crystal)
    allowed = ~absent_among(strong.nearest, rules)
    shape, fitted = fit_shape(strong.delta[usable & allowed], cutoff=cutoff)
    distance = _distance(strong.delta, shape)
    explained = allowed & usable & (distance < max(cutoff, 3.0) + 1)
    foreign = usable & ~explained
    findings = [
        *_fit_findings(shape, fitted, int(np.count_nonzero(usable & allowed))),
        *_hot_findings(bad),
        *_ring_findings(rings),
        *_lattice_findings(explained, foreign & ~on_ring),
    ]
    return PeakSurvey(tuple(chosen), shape, strong, explained, bad, rings, tuple(findings))


def sample_frames(n_frames: int, n_sample: int) -> list[int]:
    """Frames spread evenly over a sweep.

    Examples
    --------
    >>> sample_frames(100, 4)
    [12, 37, 62, 87]
    """
    n = min(n_frames, n_sample)
    return [(2 * i + 1) * n_frames // (2 * n) for i in range(n)]


def fit_shape(delta: np.ndarray, *, cutoff: float = 3.0) -> tuple[PeakShape, bool]:
    """Fit offset and covariance of strong pixels about their reflections.

    Every strong pixel counts once. The covariance then says how far the peaks
    reach above the diffuse scattering, which is what has to be masked; weighted
    with counts it would be that of the narrower core. Pixels beyond 3σ are
    rejected and the fit repeated until it stands still. It begins with a small
    sphere, which grows until it holds the peaks: pixels of another lattice or
    of ice lie anywhere in the cell, and few of them inside the ellipsoid.

    Parameters
    ----------
    delta
        ``(n, 3)`` distance from the nearest reflection (r.l.u.).
    cutoff
        Of the shape that is returned.

    Returns
    -------
    shape, fitted
        The shape, and whether there were enough pixels to fit it; if not it is
        a sphere of standard deviation ``DEFAULT_RADIUS``.
    """
    sphere = PeakShape(cutoff=cutoff, n_peaks=0, n_rejected=len(delta))
    if len(delta) < MIN_PIXELS:
        return sphere, False
    near = np.abs(delta).max(axis=1) < 0.25
    if not np.any(near):
        return sphere, False
    center = np.median(delta[near], axis=0)
    covariance = START_RADIUS**2 * np.eye(3)
    kept = np.zeros(len(delta), bool)
    for _ in range(60):
        inside = _distance(delta, PeakShape(center, covariance)) < 3.0
        if np.array_equal(inside, kept):
            break
        kept = inside
        if np.count_nonzero(kept) < MIN_PIXELS // 2:
            return sphere, False
        center = delta[kept].mean(axis=0)
        covariance = np.cov(delta[kept].T) + 1e-8 * np.eye(3)
    n = int(np.count_nonzero(kept))
    return PeakShape(center, covariance, cutoff, n, len(delta) - n), True


def hot_pixels(strong: StrongPixels, n_frames: int) -> np.ndarray:
    """Pixels that are strong in most frames, whatever the angle.

    Parameters
    ----------
    strong
        Those that stand out from the pixels around them, and lie on no ring.
    n_frames
        Frames that were looked at.

    Returns
    -------
    pixels
        ``(n, 3)`` panel, row, column; none if there are fewer than four frames.
    """
    nothing = np.zeros((0, 3), np.int64)
    if n_frames < 4 or not len(strong):
        return nothing
    places = np.stack([strong.panel, strong.y, strong.x], axis=1)
    unique, inverse, times = np.unique(places, axis=0, return_inverse=True, return_counts=True)
    # A pixel near the rotation axis may see one broad peak in many frames: hkl must move.
    low, high = np.full((2, len(unique), 3), np.inf)
    np.minimum.at(low, inverse.ravel(), strong.hkl)
    np.minimum.at(high, inverse.ravel(), -strong.hkl)
    moved = np.linalg.norm(-high - low, axis=1) > 1.0
    often = times >= max(4, int(np.ceil(0.8 * n_frames)))
    return np.asarray(unique[moved & often])


def _distance(delta: np.ndarray, shape: PeakShape) -> np.ndarray:
    distance: np.ndarray = np.linalg.norm((delta - shape.center) @ shape.whitening.T, axis=1)
    return distance


def _is_among(strong: StrongPixels, bad: np.ndarray) -> np.ndarray:
    listed = {tuple(row) for row in bad.tolist()}
    places = zip(strong.panel.tolist(), strong.y.tolist(), strong.x.tolist(), strict=True)
    return np.array([place in listed for place in places], bool)


def _fit_findings(shape: PeakShape, fitted: bool, n_pixels: int) -> list[Finding]:
    if not fitted:
        return [
            Finding(
                "few-peaks",
                f"too few Bragg peaks to fit their shape; a sphere of "
                f"{shape.cutoff * DEFAULT_RADIUS:.2f} r.l.u. about each reflection is masked",
                f"{n_pixels} strong pixels near reflections, {MIN_PIXELS} are needed",
                "check that the geometry belongs to these images, or look at more frames",
            )
        ]
    findings = []
    offset = float(np.linalg.norm(shape.center))
    if offset > 0.02:
        findings.append(
            Finding(
                "peak-offset",
                "the Bragg peaks lie beside their reflections; the map is shifted as far",
                f"offset {np.round(shape.center, 4).tolist()} r.l.u.",
                "refine the geometry, and check the convention of pixel coordinates",
            )
        )
    if float(shape.widths.max()) * shape.cutoff > 0.35:
        findings.append(
            Finding(
                "wide-peaks",
                "the masks of Bragg peaks nearly touch; little is left of the map",
                f"widths {np.round(shape.widths, 3).tolist()} r.l.u.",
                "check cell and orientation, or collect with thinner slices",
            )
        )
    return findings


def _hot_findings(bad: np.ndarray) -> list[Finding]:
    if not len(bad):
        return []
    shown = ", ".join(f"({x}, {y})" for _, y, x in bad[:5].tolist())
    return [
        Finding(
            "hot-pixels",
            "pixels that are strong at every angle are left out",
            f"{len(bad)}: fast, slow {shown}{' and more' if len(bad) > 5 else ''}",
            "add them to the mask of the detector",
        )
    ]


def _ring_findings(rings: tuple[float, ...]) -> list[Finding]:
    ice = [d for d in rings if is_ice(d)]
    other = [d for d in rings if d not in ice]
    findings = []
    for code, name, found in (("ice-rings", "ice rings", ice), ("rings", "powder rings", other)):
        if found:
            findings.append(
                Finding(
                    code,
                    f"the frames show {name}",
                    "d = " + ", ".join(f"{d:.2f}" for d in sorted(found, reverse=True)) + " Å",
                    "leave these shells out, or use a crystal without ice",
                )
            )
    return findings


def _lattice_findings(explained: np.ndarray, foreign: np.ndarray) -> list[Finding]:
    n_foreign, n_explained = int(np.count_nonzero(foreign)), int(np.count_nonzero(explained))
    share = n_foreign / max(n_foreign + n_explained, 1)
    if n_foreign < MIN_PIXELS or share < _FOREIGN_SHARE:
        return []
    return [
        Finding(
            "second-lattice",
            "many strong pixels lie between the reflections of the lattice: a second lattice, "
            "or a wrong orientation",
            f"{100 * share:.0f} % of the strong pixels",
            "index again and look for two lattices; the peaks of the second are not masked",
        )
    ]
