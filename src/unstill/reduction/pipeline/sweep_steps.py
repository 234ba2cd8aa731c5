"""Steps that are done once a sweep: faults, background, shape of the peaks, sums of pixels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.io.pixel_masks import read_pixel_mask
from unstill.reduction.background.background import Background
from unstill.reduction.background.background_check import SCALED, match_background
from unstill.reduction.background.measure_background import measure_background
from unstill.reduction.integration.absences import absence_rules, absent_among
from unstill.reduction.integration.tables import PixelTables, pixel_tables
from unstill.reduction.pipeline.identity import array_digest, experiment_digest
from unstill.reduction.pipeline.run import Run, remember
from unstill.reduction.pipeline.saved_result import load_result, save_result
from unstill.reduction.pipeline.steps import step_named
from unstill.reduction.pipeline.sweeps import Sweep
from unstill.reduction.survey.findings import Finding
from unstill.reduction.survey.frame_check import FrameCheck, check_frames
from unstill.reduction.survey.peak_shape import DEFAULT_RADIUS
from unstill.reduction.survey.peak_survey import fit_shape, sample_frames, survey_peaks
from unstill.reduction.survey.peaks_found import PeaksFound

RESULT = "result.npz"

_SHOWN = 3000
"""Strong pixels that the report draws."""

_NO_PIXELS = np.zeros((0, 3), np.int64)

_TABLES: dict[str, PixelTables] = {}
"""Tables of the last detector: many stills share one."""


def result_of(run: Run, name: str, number: int = -1) -> Any:
    """Read the result of a step that is done; once a run."""
    memo = run.memo
    if (name, number) not in memo:
        path = run.store.path(run.keys.of(name, number).folder) / RESULT
        memo[name, number] = load_result(path)["value"]
    return memo[name, number]


def obtain_result(run: Run, name: str, number: int, make: Any) -> Any:
    """Return the result of a step; make it, or wait for who makes it.

    Warnings that were given while it was made are kept with it and given again.
    """
    key = run.keys.of(name, number)

    def write(folder: Path) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UnstillWarning)
            value = make()
        told = [str(w.message) for w in caught if issubclass(w.category, UnstillWarning)]
        save_result({"value": value, "warnings": told}, folder / RESULT)

    path = run.store.obtain(key.folder, write, about={"key": key.digest, "step": name})
    if (name, number) not in run.memo:
        found = load_result(path / RESULT)
        run.memo[name, number] = found["value"]
        for text in found["warnings"]:
            warnings.warn(text, UnstillWarning, stacklevel=2)
    remember(run, step_named(name), number)
    return run.memo[name, number]


def check(run: Run, sweep: Sweep) -> FrameCheck:
    """Look for faults of the frames; what is found is told."""

    def make() -> FrameCheck:
        chosen = sampled_frames(run, sweep, run.parameters.check.max_frames)
        if sweep.number in run.stills:
            # One still shows too little to be judged alone.
            return FrameCheck(np.array(chosen), _NO_PIXELS, (), 0, 0, ())
        # Headers were held against the experiment when the sweep was opened.
        found = check_frames(
            sweep.experiment, sweep.source, tables_of(run, sweep), frames=chosen, headers=False
        )
        for finding in found.findings:
            tell(sweep.name, finding)
        return found

    found: FrameCheck = obtain_result(run, "check", sweep.number, make)
    return found


def tell(name: str, finding: Finding) -> None:
    """Warn of a fault that was found in a sweep."""
    warnings.warn(f"{name}: {finding}", UnstillWarning, stacklevel=3)


def background(run: Run, sweep: Sweep) -> Background:
    """Measure the background of a sweep without crystal."""

    def make() -> Background:
        wanted = run.parameters.background
        return measure_background(
            sweep.experiment,
            sweep.source,
            tables=tables_of(run, sweep),
            bin_pixels=wanted.bin_pixels,
            bin_phi=wanted.bin_phi,
        )

    found: Background = obtain_result(run, "background", sweep.number, make)
    return found


def background_for(run: Run, sweep: Sweep) -> Background | None:
    """Return the background of a sweep, for the beam that it had; ``None`` if there is none.

    Raises
    ------
    InputError
        If it was measured in another setting.
    """
    number = run.background_of[sweep.number]
    if number is None:
        return None
    empty = run.backgrounds[number]
    match = match_background(empty.experiment, sweep.experiment)
    wrong = [finding for finding in match.findings if finding.code not in SCALED]
    if wrong and run.parameters.background.check:
        raise InputError(
            f"wrong background for {sweep.name}: {'; '.join(finding.what for finding in wrong)}",
            found="; ".join(f"{finding.found} (background and data)" for finding in wrong),
            fix="give the background that was measured with this setting, or set check = false in "
            "[background] of --config",
        )
    for finding in match.findings:
        tell(sweep.name, finding)
    return background(run, empty).scaled(match.factor)


def sampled_frames(run: Run, sweep: Sweep, most: int) -> list[int]:
    """Frames to look at before integration: evenly spread, or the first ones while they come."""
    n = sweep.n_available
    if sweep.growing:
        n = min(n, len(run.blocks(sweep)[0]))
    return sample_frames(n, most)


def peaks(run: Run, sweep: Sweep) -> PeaksFound:
    """Fit the shape of the Bragg peaks of a sweep, or of all stills together."""
    shared = sweep.number in run.stills
    found: PeaksFound = obtain_result(
        run,
        "peaks",
        sweep.number,
        (lambda: _peaks_of_stills(run)) if shared else (lambda: _peaks_of_sweep(run, sweep)),
    )
    return found


def _peaks_of_sweep(run: Run, sweep: Sweep) -> PeaksFound:
    wanted = run.parameters.peaks
    survey = survey_peaks(
        sweep.experiment,
        sweep.source,
        tables_of(run, sweep),
        frames=sampled_frames(run, sweep, wanted.max_frames),
        cutoff=wanted.cutoff,
    )
    return PeaksFound(
        survey.shape,
        _even_sample(survey.strong.delta),
        len(survey.strong),
        int(np.count_nonzero(~survey.explained)),
        survey.bad_pixels,
        survey.rings,
        survey.findings,
    )


def _peaks_of_stills(run: Run) -> PeaksFound:
    """One still has few peaks: those of many together have one shape."""
    wanted = run.parameters.peaks
    chosen = [run.stills[i] for i in sample_frames(len(run.stills), 3 * wanted.max_frames)]
    parts = []
    for number in chosen:
        still = run.sweeps[number]
        survey = survey_peaks(
            still.experiment, still.source, tables_of(run, still), frames=[0], cutoff=wanted.cutoff
        )
        allowed = ~absent_among(survey.strong.nearest, absence_rules(still.experiment.crystal))
        parts.append(survey.strong.delta[allowed])
    delta = np.concatenate(parts)
    shape, fitted = fit_shape(delta, cutoff=wanted.cutoff)
    if not fitted:
        warnings.warn(
            f"too few Bragg peaks in {len(chosen)} stills to fit their shape ({len(delta)} strong "
            f"pixels); a sphere of {shape.cutoff * DEFAULT_RADIUS:.2f} r.l.u. about each "
            "reflection is masked; check that the geometry belongs to these images",
            UnstillWarning,
            stacklevel=2,
        )
    return PeaksFound(shape, _even_sample(delta), len(delta), shape.n_rejected, _NO_PIXELS, (), ())


def _even_sample(delta: np.ndarray) -> np.ndarray:
    step = max(1, len(delta) // _SHOWN)
    return np.ascontiguousarray(delta[::step])


def tables_of(run: Run, sweep: Sweep, bad_pixels: np.ndarray | None = None) -> PixelTables:
    """Place every pixel of the detector of a sweep, without those that are bad."""
    frames, images = run.parameters.frames, sweep.experiment.images
    mask_path = Path(images.folder) / images.mask if images.mask else None
    mask = None if mask_path is None else read_pixel_mask(mask_path, sweep.experiment.detector)
    fixed = sweep.experiment.replace(goniometer=None, scan=None, lattice=None)
    name = " ".join(
        [
            experiment_digest(fixed),
            f"{frames} {run.parameters.integrate}",
            "" if mask is None else array_digest(*mask),
        ]
    )
    if name not in _TABLES:
        _TABLES.clear()
        wanted = run.parameters.integrate
        _TABLES[name] = pixel_tables(
            sweep.experiment,
            d_min=frames.d_min,
            d_max=frames.d_max,
            beamstop_radius=frames.beamstop_radius,
            mask=mask,
            air=wanted.air,
            efficiency=wanted.efficiency,
            polarization=wanted.polarization,
        )
    tables = _TABLES[name]
    # A copy a sweep, and only where pixels are bad.
    return tables if bad_pixels is None or not len(bad_pixels) else tables.without(bad_pixels)
