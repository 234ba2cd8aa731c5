"""The whole reduction, step by step, as far as wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from unstill.errors import InputError
from unstill.reduction.pipeline import (
    crystal_steps,
    fine_steps,
    integrate_step,
    run_steps,
    sweep_steps,
)
from unstill.reduction.pipeline.outcome import Outcome, SweepOutcome
from unstill.reduction.pipeline.run import Run, unit_done, why_off
from unstill.reduction.pipeline.steps import NAMES, STEPS, Step, step_named
from unstill.reduction.pipeline.sweep_steps import result_of
from unstill.reduction.pipeline.sweeps import Sweep


def reduce_images(run: Run, *, until: str | None = None, only: str | None = None) -> Outcome:
    """Do the steps of a run that are not done yet.

    Parameters
    ----------
    run
        Of :func:`unstill.reduction.pipeline.run.open_run`.
    until
        Stop after this step.
    only
        Do this step alone; those before must be done.

    Returns
    -------
    outcome
        Everything up to the last step, whether it was done now or before.

    Raises
    ------
    InputError
        If there is no such step, or a step before ``only`` is not done.
    """
    last = step_named(only or until or NAMES[-1])
    if only is not None:
        _check_before(run, last)
    chosen = [step for step in STEPS[: STEPS.index(last) + 1] if not why_off(run, step.name)]
    outputs: dict[str, Path] = {}
    for step in chosen:
        numbers = [number for name, number in run.keys.keys if name == step.name]
        for place, number in enumerate(numbers):
            if step.name != "integrate":
                run.progress(step.name, place, len(numbers))
            outputs |= _MAKE[step.name](run, number)
        if numbers and step.name in _MAKE and step.name != "integrate":
            run.progress(step.name, len(numbers), len(numbers))
    return _outcome(run, tuple(step.name for step in chosen), outputs)


def _check_before(run: Run, last: Step) -> None:
    for name in last.after:
        step = step_named(name)
        if why_off(run, name):
            continue
        numbers = [number for other, number in run.keys.keys if other == name]
        if not all(unit_done(run, step, number) for number in numbers):
            raise InputError(
                f"the step {last.name} needs {name}, which is not done with these parameters",
                found=f"--only {last.name}",
                fix=f"run --until {last.name}, which does what is missing",
            )
        _check_before(run, step)


def _per_sweep(task: Callable[[Run, Sweep], object]) -> Callable[[Run, int], dict[str, Path]]:
    def make(run: Run, number: int) -> dict[str, Path]:
        task(run, run.sweeps[number])
        return {}

    return make


def _per_run(task: Callable[[Run], object]) -> Callable[[Run, int], dict[str, Path]]:
    def make(run: Run, number: int) -> dict[str, Path]:
        del number
        task(run)
        return {}

    return make


def _map(run: Run, number: int) -> dict[str, Path]:
    del number
    folder = run_steps.write_maps(run, "map", lambda: run_steps.final_map(run))
    return dict(run_steps.publish(run, "map", folder))


def _fine(run: Run, number: int) -> dict[str, Path]:
    del number
    return dict(run_steps.publish(run, "fine", fine_steps.fine_map(run)))


def _background(run: Run, number: int) -> dict[str, Path]:
    sweep_steps.background(run, run.backgrounds[number])
    return {}


def _nothing(run: Run, number: int) -> dict[str, Path]:
    del run, number
    return {}


_MAKE: dict[str, Callable[[Run, int], dict[str, Path]]] = {
    "check": _per_sweep(sweep_steps.check),
    "background": _background,
    "peaks": _per_sweep(sweep_steps.peaks),
    "integrate": _per_sweep(integrate_step.integrate),
    "crystals": _per_run(crystal_steps.crystals),
    "scale": _per_run(run_steps.scale),
    "merge": _per_run(run_steps.merge),
    "statistics": _per_run(run_steps.statistics),
    "map": _map,
    "fine": _fine,
    # Rooms below the report draw nothing: the command does.
    "report": _nothing,
}


def _outcome(run: Run, done: tuple[str, ...], outputs: dict[str, Path]) -> Outcome:
    sweeps = tuple(_sweep_outcome(run, sweep, done) for sweep in run.sweeps)
    found = Outcome(done, sweeps, outputs=outputs)
    if "crystals" in done:
        choice = result_of(run, "crystals")
        found = replace(found, crystals=choice, sweeps=crystal_steps.judged(sweeps, choice))
    if "scale" in done:
        scaled = result_of(run, "scale")
        found = replace(found, scale=scaled.result, outliers=scaled.outliers, decay=scaled.decay)
    if "merge" in done:
        found = replace(found, merged=result_of(run, "merge"))
    if "fine" in done:
        found = replace(found, fine=fine_steps.fine_figures(run))
    if "statistics" in done:
        found = replace(found, statistics=result_of(run, "statistics"))
    return found


def _sweep_outcome(run: Run, sweep: Sweep, done: tuple[str, ...]) -> SweepOutcome:
    number, used = sweep.number, run.background_of[sweep.number]
    found = SweepOutcome(sweep.name, 0, 0, 0, None, None, None)
    if "check" in done:
        found = replace(found, check=result_of(run, "check", number))
    if "background" in done and used is not None:
        found = replace(found, background=result_of(run, "background", used))
    if "peaks" in done:
        found = replace(found, peaks=result_of(run, "peaks", number))
    if "integrate" in done:
        sums = integrate_step.sums_of(run, sweep)
        n = len(sums.frames)
        found = replace(
            found,
            n_frames=n,
            n_pixels=n * sweep.experiment.detector.n_pixels,
            n_observations=sums.n_observations,
            frames=sums.frames,
            shell_edges=sums.shell_edges,
        )
    return found
