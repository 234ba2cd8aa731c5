"""One reduction: its sweeps, parameters and folder, and what each step is called there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unstill.errors import InputError
from unstill.provenance import digest_file
from unstill.provenance.record import plain
from unstill.reduction.integration.block_frames import frames_that_fit
from unstill.reduction.integration.blocks import Block, blocks_of
from unstill.reduction.pipeline.identity import experiment_digest
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.step_store import StepKey, StepStore, digest_of
from unstill.reduction.pipeline.steps import STEPS, Keys, Step, step_keys, why_stale
from unstill.reduction.pipeline.sweeps import Sweep, open_sweeps

Progress = Callable[[str, int, int], None]


def _silent(part: str, done: int, total: int) -> None:
    del part, done, total


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that the steps of one reduction share.

    Parameters
    ----------
    sweeps, backgrounds
        With images; backgrounds without a crystal.
    background_of
        Number of the background of each sweep, or ``None``.
    parameters
        Of all steps.
    folder
        Where results go; the steps are kept in ``steps`` below it.
    workers
        Threads.
    progress
        Called with a part, what is done of it, and how much there is.
    provenance
        Written into every output.
    memo
        Results that were read already.
    """

    sweeps: tuple[Sweep, ...]
    backgrounds: tuple[Sweep, ...]
    background_of: tuple[int | None, ...]
    parameters: ReduceParameters
    folder: Path
    workers: int = 1
    progress: Progress = _silent
    provenance: Mapping[str, Any] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)

    @property
    def store(self) -> StepStore:
        """Results of steps."""
        return StepStore(self.folder / "steps")

    @cached_property
    def keys(self) -> Keys:
        """Keys of all steps."""
        return step_keys(
            self.parameters,
            [sweep.digest for sweep in self.sweeps],
            [sweep.digest for sweep in self.backgrounds],
            self.background_of,
            [sweep.n_available for sweep in self.sweeps],
            self.stills,
            self.cut,
            self.contents,
        )

    @cached_property
    def contents(self) -> str:
        """Digest of the coordinates for the absolute scale; empty without."""
        path = Path(self.parameters.map.contents)
        return digest_file(path) if self.parameters.map.contents and path.is_file() else ""

    @cached_property
    def stills(self) -> tuple[int, ...]:
        """Numbers of the sweeps of one frame, where there are several: too few peaks each."""
        found = tuple(s.number for s in self.sweeps if s.experiment.n_frames == 1)
        return found if len(found) > 1 else ()

    @cached_property
    def cut(self) -> str:
        """Digest of what decides how fine observations are cut into slabs."""
        if self.parameters.integrate.fine is None:
            return ""
        detectors = [
            experiment_digest(s.experiment.replace(goniometer=None, scan=None, lattice=None))
            for s in self.sweeps
        ]
        crystal = self.sweeps[0].experiment.crystal
        return digest_of([crystal.unit_cell, crystal.space_group, *sorted(set(detectors))])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the sweeps."""
        return tuple(sweep.name for sweep in self.sweeps)

    def blocks(self, sweep: Sweep) -> list[Block]:
        """Blocks of the frames that are there."""
        wanted = self.parameters.integrate
        memo = ("frames of a block", sweep.number)
        if memo not in self.memo:
            self.memo[memo] = frames_that_fit(sweep.experiment, wanted.divisions, wanted.fine)
        n, most = sweep.n_available, self.memo[memo]
        return [
            Block(block.start, min(block.stop, n), block.number)
            for block in blocks_of(sweep.experiment, wanted.max_spread, max_frames=most)
            if block.start < n
        ]


def open_run(
    experiments: Sequence[Path],
    folder: Path,
    parameters: ReduceParameters,
    *,
    backgrounds: Sequence[Path] = (),
    workers: int = 1,
    progress: Progress = _silent,
    provenance: Mapping[str, Any] | None = None,
    growing: bool = False,
) -> Run:
    """Open the geometry and the images of a reduction; no frame is integrated yet.

    Parameters
    ----------
    experiments, backgrounds
        Geometry files. One background serves all sweeps; else there is one a sweep.
    folder
        Where results go; made when the first result is.
    parameters, workers, progress, provenance
        See :class:`Run`.
    growing
        Whether frames still come.

    Raises
    ------
    InputError
        If there is nothing to reduce, or the backgrounds do not match the sweeps.
    """
    frames = parameters.frames
    sweeps = open_sweeps(
        experiments,
        folder / "steps",
        images=frames.images,
        scan=frames.scan,
        space_group=frames.space_group,
        growing=growing,
    )
    empty = (
        open_sweeps(backgrounds, folder / "steps", scan=frames.scan, indexed=False)
        if backgrounds
        else []
    )
    return Run(
        tuple(sweeps),
        tuple(empty),
        _matched(sweeps, empty),
        parameters,
        folder,
        workers,
        progress,
        dict(provenance or {}),
    )


def _matched(sweeps: Sequence[Sweep], backgrounds: Sequence[Sweep]) -> tuple[int | None, ...]:
    if not backgrounds:
        return (None,) * len(sweeps)
    if len(backgrounds) == 1:
        return (0,) * len(sweeps)
    if len(backgrounds) != len(sweeps):
        raise InputError(
            "it is not clear which background belongs to which sweep",
            found=f"{len(backgrounds)} backgrounds for {len(sweeps)} sweeps",
            fix="give one background for all sweeps, or one for each in the same order",
        )
    return tuple(range(len(sweeps)))


@dataclass(frozen=True)
class PlannedStep:
    """A step of a run, before it is done.

    Parameters
    ----------
    name, title
        Of the step.
    state
        ``"done"``, ``"to do"``, ``"stale"`` or ``"off"``.
    why
        What is missing or has changed.
    n_frames, n_pixels
        That will be read; 0 where the step reads no images.
    """

    name: str
    title: str
    state: str
    why: str
    n_frames: int = 0
    n_pixels: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return dict(vars(self))


def plan(run: Run) -> list[PlannedStep]:
    """List the steps with their state and what they will cost; nothing is computed."""
    before = _remembered(run)
    return [_planned(run, step, before) for step in STEPS if step.name != "report"]


def _planned(run: Run, step: Step, before: Mapping[str, Any]) -> PlannedStep:
    if off := why_off(run, step.name):
        return PlannedStep(step.name, step.title, "off", off)
    numbers = [n for name, n in run.keys.keys if name == step.name]
    left = [n for n in numbers if not unit_done(run, step, n)]
    if not left:
        return PlannedStep(step.name, step.title, "done", "")
    frames, pixels = _cost(run, step, left)
    reasons = [why_stale(run.keys.of(step.name, n), before.get(f"{step.name} {n}")) for n in left]
    why = next((reason for reason in reasons if reason), "")
    if step.per != "run" and len(numbers) > 1:
        part = f"{len(left)} of {len(numbers)} sweeps"
        why = f"{part}: {why}" if why else part
    return PlannedStep(
        step.name, step.title, "stale" if any(reasons) else "to do", why, frames, pixels
    )


def why_off(run: Run, name: str) -> str:
    """Say why a step is not part of a run; empty if it is."""
    if name == "background" and not run.backgrounds:
        return "no background was given"
    if name == "fine" and run.parameters.integrate.fine is None:
        return "no --fine was given"
    return ""


def unit_done(run: Run, step: Step, number: int) -> bool:
    """Whether the result of a step is there, for one sweep or for the run (−1)."""
    key = run.keys.of(step.name, number)
    if step.name != "integrate":
        return run.store.holds(key.folder)
    inside = run.store.inside(key)
    return all(inside.holds(block_unit(block)) for block in run.blocks(run.sweeps[number]))


def block_unit(block: Block) -> str:
    """Name of the unit of a block.

    Examples
    --------
    >>> block_unit(Block(10, 20, 1))
    'frames-00010-00020'
    """
    return f"frames-{block.start:05d}-{block.stop:05d}"


def _cost(run: Run, step: Step, left: Sequence[int]) -> tuple[int, int]:
    if step.per == "run":
        return 0, 0
    frames = pixels = 0
    for number in left:
        sweep = (run.backgrounds if step.per == "background" else run.sweeps)[number]
        n = sweep.n_available
        if step.name == "integrate":
            inside = run.store.inside(run.keys.of(step.name, number))
            n = sum(len(b) for b in run.blocks(sweep) if not inside.holds(block_unit(b)))
        elif step.name == "peaks":
            n = min(n, run.parameters.peaks.max_frames)
        elif step.name == "check":
            n = min(n, run.parameters.check.max_frames)
        frames += n
        pixels += n * sweep.experiment.detector.n_pixels
    return frames, pixels


def remember(run: Run, step: Step, number: int) -> None:
    """Note what a step was last made from, to be able to say later what has changed."""
    key = run.keys.of(step.name, number)
    folder = run.folder / "steps" / ".last"
    folder.mkdir(parents=True, exist_ok=True)
    # Only words hang on it: it need not survive a power cut.
    path = folder / f"{step.name}-{number}.json"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(_noted(key)), encoding="utf-8")
    draft.replace(path)


def _noted(key: StepKey) -> dict[str, Any]:
    return {
        "version": key.version,
        "parameters": plain(key.parameters),
        "inputs": dict(key.inputs),
    }


def _remembered(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in (run.folder / "steps" / ".last").glob("*.json"):
        name, _, number = path.stem.partition("-")
        try:
            found[f"{name} {int(number)}"] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
    return found
