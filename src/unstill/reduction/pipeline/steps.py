"""The steps of a reduction: what each depends on, and which of them are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unstill.errors import InputError
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.step_store import StepKey, digest_of


@dataclass(frozen=True)
class Step:
    """One step, before it is known of which data.

    Parameters
    ----------
    name, title
        Short name for options and folders; what it does, for people.
    version
        Of its code: raise it when the same input gives another result.
    parameters
        What it looks at: groups (``"peaks"``) or single ones (``"frames.d_min"``).
    after
        Steps whose results it takes.
    per
        Once a sweep, once a background sweep, or once a run.
    """

    name: str
    title: str
    version: int
    parameters: tuple[str, ...]
    after: tuple[str, ...]
    per: Literal["sweep", "background", "run"] = "run"


_LIMITS = ("frames.d_min", "frames.d_max", "frames.beamstop_radius")

STEPS: tuple[Step, ...] = (
    Step("check", "look for faults of the frames", 1, ("check", *_LIMITS), (), "sweep"),
    Step("background", "measure the background", 1, ("background",), (), "background"),
    Step("peaks", "fit the shape of the Bragg peaks", 1, ("peaks", *_LIMITS), (), "sweep"),
    Step(
        "integrate",
        "sum pixels into voxels",
        2,
        ("integrate", "peaks.cutoff", *_LIMITS),
        ("check", "background", "peaks"),
        "sweep",
    ),
    Step(
        "crystals",
        "index crystals alike, and choose those that belong together",
        1,
        ("crystals", "seed"),
        ("integrate",),
    ),
    Step("scale", "scale observations", 5, ("scale", "seed"), ("crystals",)),
    Step("merge", "merge observations", 1, ("merge.symmetry", "seed"), ("scale",)),
    Step("statistics", "judge the map", 1, ("merge.shells", *_LIMITS), ("merge",)),
    Step("map", "write the map", 1, ("map",), ("merge", "statistics")),
    Step("fine", "merge the fine map", 1, ("merge.symmetry", "map", "seed"), ("scale",)),
    Step("report", "write the report", 1, (), ("map", "fine")),
)
"""In the order in which they run."""

NAMES: tuple[str, ...] = tuple(step.name for step in STEPS)
"""Names for ``--until`` and ``--only``."""


def step_named(name: str) -> Step:
    """Return a step.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    for step in STEPS:
        if step.name == name:
            return step
    raise InputError("there is no such step", found=name, fix=f"give one of {', '.join(NAMES)}")


@dataclass(frozen=True)
class Keys:
    """Keys of all steps of a run, by step and sweep; known before anything is computed.

    Parameters
    ----------
    keys
        ``(step, number of the sweep)`` → key; number −1 for steps of the run.
    """

    keys: Mapping[tuple[str, int], StepKey]

    def of(self, name: str, sweep: int = -1) -> StepKey:
        """Key of a step of the run, or of a sweep."""
        return self.keys[name, sweep]

    def all_of(self, name: str) -> list[StepKey]:
        """Keys of a step for all sweeps, in order."""
        return [key for (step, _), key in sorted(self.keys.items()) if step == name]


def step_keys(
    parameters: ReduceParameters,
    sweeps: Sequence[str],
    backgrounds: Sequence[str] = (),
    background_of: Sequence[int | None] = (),
    n_frames: Sequence[int] = (),
    shared_peaks: Sequence[int] = (),
    slabs: str = "",
    contents: str = "",
) -> Keys:
    """Return the keys of all steps.

    Parameters
    ----------
    parameters
        Of the run.
    sweeps
        Digest of each sweep: experiment and images.
    backgrounds
        Digest of each background sweep.
    background_of
        Which background each sweep uses; ``None`` where it has none.
    n_frames
        Frames of each sweep that are there: a sweep that grows keeps its blocks,
        and what is made of all blocks is made anew.
    shared_peaks
        Sweeps, such as stills, whose peaks have one shape, fitted to all together.
    slabs
        What the cut of fine observations depends on.
    contents
        Digest of the coordinates for the absolute scale.
    """
    keys: dict[tuple[str, int], StepKey] = {}
    uses = list(background_of) or [None] * len(sweeps)
    together = digest_of([sweeps[i] for i in shared_peaks])
    together_all = digest_of([slabs, parameters.merge.symmetry])
    for step in STEPS:
        chosen = _chosen(parameters, step.parameters)
        if step.per == "run":
            inputs = {
                f"{name} {number}" if number >= 0 else name: key.digest
                for name in step.after
                for (other, number), key in keys.items()
                if other == name
            }
            if step.name == "map":
                inputs |= {"contents": contents}
            if step.name == "crystals":
                inputs |= {f"frames {i}": str(n) for i, n in enumerate(n_frames)}
            keys[step.name, -1] = StepKey(step.name, step.version, chosen, inputs)
            continue
        digests = backgrounds if step.per == "background" else sweeps
        for number, digest in enumerate(digests):
            inputs = {"sweep": digest}
            if step.name == "integrate" and parameters.integrate.fine is not None:
                # The cut into slabs is one for all sweeps.
                inputs["slabs"] = together_all
            if step.name == "peaks" and number in shared_peaks:
                inputs = {"sweep": together}
            for name in step.after:
                used = uses[number] if step_named(name).per == "background" else number
                if used is not None and (name, used) in keys:
                    inputs[name] = keys[name, used].digest
            keys[step.name, number] = StepKey(step.name, step.version, chosen, inputs)
    return Keys(keys)


def _chosen(parameters: ReduceParameters, names: Sequence[str]) -> dict[str, Any]:
    everything = parameters.as_dict()
    found: dict[str, Any] = {}
    for name in names:
        group, _, single = name.partition(".")
        if single:
            found[name] = everything[group][single]
        elif group in everything:
            found[group] = everything[group]
    return found


def why_stale(key: StepKey, before: Mapping[str, Any] | None) -> str:
    """Say what changed since a step was last done; empty if it never was.

    Parameters
    ----------
    key
        Of the step now.
    before
        Version, parameters and inputs of the step then.
    """
    if not before:
        return ""
    from unstill.provenance.record import plain

    if before.get("version") != key.version:
        return "its code has changed"
    then, now = _flat(before.get("parameters", {})), _flat(plain(key.parameters))
    changed = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if changed:
        name = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{name} was {then.get(name)} and is {now.get(name)}{more}"
    old, new = before.get("inputs", {}), key.inputs
    other = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if not other:
        return ""
    if other == ["sweep"]:
        return "the experiment or its images have changed"
    return f"what it is made from has changed: {', '.join(n for n in other if n != 'sweep')}"


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{before}.{name}" if before else name
        if isinstance(value, Mapping):
            found |= _flat(value, path)
        else:
            found[path] = value
    return found
