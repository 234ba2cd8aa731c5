"""Reduce while the detector writes: integrate blocks of frames as they arrive."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from unstill.errors import UnstillWarning
from unstill.maps.observations import concatenate
from unstill.reduction.merging.merge import merge_observations
from unstill.reduction.merging.statistics import merging_statistics
from unstill.reduction.pipeline.identity import remember_growth
from unstill.reduction.pipeline.integrate_step import coarse_blocks, integrate
from unstill.reduction.pipeline.run import Run
from unstill.reduction.pipeline.sweep_steps import background, check, peaks

_FIGURES = 20.0
"""Merging for running figures may take one part in so many of the time."""


def follow_run(
    run: Run,
    *,
    idle: float = 300.0,
    poll: float = 1.0,
    tell: Callable[[str], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """Integrate complete blocks until every scan is complete or nothing comes any more.

    The shape of the peaks is fitted to the first block, so that the blocks do
    not depend on when frames came. A run that is interrupted goes on where it was.

    Parameters
    ----------
    run
        Opened with ``growing=True``.
    idle
        Seconds without a new frame after which a scan is taken as ended.
    poll
        Seconds between two looks.
    tell
        Called with a line of running figures.
    sleep
        Waits; tests replace it.

    Returns
    -------
    run
        With the frames that came, for the steps that follow.
    """
    last, shown, counted = time.monotonic(), _Figures(), -1
    while True:
        there = _refreshed(run)
        if there != counted:
            counted, last = there, time.monotonic()
        complete = all(s.n_available == s.experiment.n_frames for s in run.sweeps)
        ended = complete or time.monotonic() - last >= idle
        now = _with_whole_blocks(run, ended=ended)
        if now is not None:
            _integrate(now)
            shown.tell(now, tell, always=ended)
        if ended:
            return _ended(run, complete=complete)
        sleep(poll)


class _Figures:
    """Running figures, no more often than they are worth."""

    def __init__(self) -> None:
        self.n_frames, self.due = 0, 0.0

    def tell(self, run: Run, tell: Callable[[str], None] | None, *, always: bool) -> None:
        n = sum(sweep.n_available for sweep in run.sweeps)
        if tell is None or n == self.n_frames or (time.monotonic() < self.due and not always):
            return
        begun = time.monotonic()
        total = sum(sweep.experiment.n_frames for sweep in run.sweeps)
        tell(f"{n} of {total} frames{_figures(run)}")
        self.n_frames, self.due = n, begun + _FIGURES * (time.monotonic() - begun)


def _figures(run: Run) -> str:
    rows = concatenate([block for sweep in run.sweeps for block in coarse_blocks(run, sweep)])
    ones = np.ones(len(rows))
    merged = merge_observations(
        rows, ones, np.zeros(len(rows)), symmetry=run.parameters.merge.symmetry
    )
    found = merging_statistics(merged, interval=False).overall
    text = f", {len(rows)} observations, completeness {found.completeness:.1%}"
    if np.isfinite(found.cc_half):
        text += f", CC1/2 {found.cc_half:.3f} before scaling"
    return text


def _refreshed(run: Run) -> int:
    return sum(sweep.source.refresh() for sweep in run.sweeps)


def _with_whole_blocks(run: Run, *, ended: bool) -> Run | None:
    """Return the run as if it ended with the last complete block; ``None`` before the first."""
    kept = []
    for sweep in run.sweeps:
        whole = [block for block in run.blocks(sweep) if _is_whole(run, block.number, sweep)]
        n = sweep.n_available if ended else (whole[-1].stop if whole else 0)
        kept.append(n)
    if not all(kept):
        return None
    return _fresh(run, kept)


def _is_whole(run: Run, number: int, sweep: object) -> bool:
    from unstill.reduction.integration.blocks import blocks_of

    experiment = sweep.experiment  # type: ignore[attr-defined]
    block = blocks_of(experiment, run.parameters.integrate.max_spread)[number]
    return bool(block.stop <= sweep.n_available)  # type: ignore[attr-defined]


def _integrate(run: Run) -> None:
    for number in range(len(run.backgrounds)):
        background(run, run.backgrounds[number])
    for sweep in run.sweeps:
        check(run, sweep)
        peaks(run, sweep)
        integrate(run, sweep)


def _fresh(run: Run, n_frames: list[int]) -> Run:
    sweeps = tuple(replace(sweep, limit=n) for sweep, n in zip(run.sweeps, n_frames, strict=True))
    memo = {key: value for key, value in run.memo.items() if key != "pool"}
    return replace(run, sweeps=sweeps, memo=memo)


def _ended(run: Run, *, complete: bool) -> Run:
    if not complete:
        short = [s for s in run.sweeps if s.n_available < s.experiment.n_frames]
        for sweep in short:
            warnings.warn(
                f"{sweep.name} ended with {sweep.n_available} of {sweep.experiment.n_frames} "
                "frames; run again with --follow if more come",
                UnstillWarning,
                stacklevel=2,
            )
    for sweep in run.sweeps:
        remember_growth(sweep.source, run.folder / "steps" / "images")
    return _fresh(run, [sweep.n_available for sweep in run.sweeps])
