"""What makes two runs the same: content of experiments, identity of images, keys of steps."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment import FrameHeader
from unstill.reduction.pipeline.identity import (
    array_digest,
    experiment_digest,
    image_digest,
    remember_growth,
)
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.steps import NAMES, STEPS, step_keys, step_named, why_stale
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.recipe import Recipe


@dataclass
class Files:
    """Frames in files of raw numbers; counts what is read."""

    folder: Path
    n: int
    reads: int = 0

    @property
    def n_frames(self) -> int:
        return self.n

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        return ((4, 4),)

    def header(self, index: int) -> FrameHeader:
        return FrameHeader()

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        self.reads += 1
        return (np.fromfile(self.folder / f"{index}.bin", np.int32).reshape(4, 4),)

    def refresh(self) -> int:
        return self.n

    def files(self) -> tuple[str, ...]:
        return tuple(str(self.folder / f"{i}.bin") for i in range(self.n))


def write(folder: Path, n: int, first: int = 0) -> Files:
    folder.mkdir(exist_ok=True)
    for i in range(first, n):
        np.full(16, i, np.int32).tofile(folder / f"{i}.bin")
    return Files(folder, n)


def test_images_are_known_by_two_frames_and_the_state_of_all_files(tmp_path: Path) -> None:
    source = write(tmp_path / "images", 50)
    known = image_digest(source, tmp_path / "notes")
    assert source.reads == 2
    assert image_digest(source, tmp_path / "notes") == known
    middle = tmp_path / "images" / "20.bin"
    state = middle.stat()
    os.utime(middle, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert image_digest(source, tmp_path / "notes") != known
    assert image_digest(Files(source.folder, 49), tmp_path / "notes") != known


def test_a_still_is_not_read_to_be_known(tmp_path: Path) -> None:
    source = write(tmp_path / "images", 1)
    image_digest(source, tmp_path / "notes")
    assert source.reads == 0


def test_a_grown_sweep_keeps_the_identity_of_its_beginning(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    early = image_digest(write(tmp_path / "images", 3), notes, growing=True)
    whole = write(tmp_path / "images", 9, first=3)
    assert image_digest(whole, notes, growing=True) == early
    # Nobody has followed it to this end.
    assert image_digest(whole, notes) != early
    remember_growth(whole, notes)
    assert image_digest(whole, notes) == early
    np.zeros(17, np.int32).tofile(tmp_path / "images" / "5.bin")
    assert image_digest(whole, notes) != early


def test_experiments_are_known_by_content() -> None:
    truth = AnalyticTruth(Crystal((29, 33, 37, 90, 90, 90), "P 2 2 2"), seed=1)
    base = Recipe(detector="tiny", n_frames=4)
    known = experiment_digest(base.experiment(truth))
    assert experiment_digest(base.experiment(truth)) == known
    assert experiment_digest(base.experiment(truth).replace(name="other")) == known
    for other in (
        replace(base, distance=200.0000001),
        replace(base, phi_start=0.1),
        replace(base, exposure_time=0.2),
        replace(base, drift=0.01),
        replace(base, seed=1),
        replace(base, detector="small"),
    ):
        assert experiment_digest(other.experiment(truth)) != known
    a = np.arange(6)
    assert array_digest(a) != array_digest(a.reshape(2, 3))
    assert array_digest(a) != array_digest(a.astype(np.int32))


def changed(**groups: dict[str, object]) -> set[str]:
    """Steps whose key a parameter changes."""
    plain = step_keys(ReduceParameters(), ["a", "b"], ["c"], [0, None], [5, 6])
    other = step_keys(ReduceParameters.from_dict(groups), ["a", "b"], ["c"], [0, None], [5, 6])
    return {
        name for name, number in plain.keys
        if plain.of(name, number).digest != other.of(name, number).digest
    }  # fmt: skip


def test_a_parameter_changes_the_steps_that_use_it_and_those_after() -> None:
    after_scale = {"scale", "merge", "statistics", "map", "fine", "report"}
    assert changed(scale={"b_phi": 2.0}) == after_scale
    assert changed(merge={"shells": 5}) == {"statistics", "map", "report"}
    assert changed(map={"absolute": True}) == {"map", "fine", "report"}
    assert changed(crystals={"select": False}) == {"crystals"} | after_scale
    assert changed(integrate={"divisions": [2, 2, 2]}) == {"integrate", "crystals"} | after_scale
    assert changed(background={"bin_phi": 5.0}) == {
        "background", "integrate", "crystals",
    } | after_scale  # fmt: skip
    assert changed(frames={"d_min": 2.0}) == set(NAMES) - {"background"}
    # How results are shown to the user changes nothing.
    assert changed(frames={"scan": "expt"}) == set()


def test_a_sweep_that_changes_leaves_the_others_alone() -> None:
    plain = step_keys(ReduceParameters(), ["a", "b"], [], [], [5, 6])
    other = step_keys(ReduceParameters(), ["a", "x"], [], [], [5, 6])
    for name in ("check", "peaks", "integrate"):
        assert plain.of(name, 0).digest == other.of(name, 0).digest
        assert plain.of(name, 1).digest != other.of(name, 1).digest
    assert plain.of("crystals").digest != other.of("crystals").digest
    grown = step_keys(ReduceParameters(), ["a", "b"], [], [], [5, 7])
    assert plain.of("integrate", 1).digest == grown.of("integrate", 1).digest
    assert plain.of("crystals").digest != grown.of("crystals").digest


def test_stills_share_the_shape_of_their_peaks() -> None:
    keys = step_keys(ReduceParameters(), ["a", "b", "c"], [], [], [1, 1, 9], [0, 1])
    assert keys.of("peaks", 0).folder == keys.of("peaks", 1).folder
    assert keys.of("peaks", 2).folder != keys.of("peaks", 0).folder


def test_it_is_said_why_a_step_is_stale() -> None:
    key = step_keys(ReduceParameters(), ["a"], [], [], [5]).of("scale")
    then = {
        "version": key.version,
        "parameters": dict(key.parameters),
        "inputs": dict(key.inputs),
    }
    assert why_stale(key, None) == ""
    assert why_stale(key, then) == ""
    assert why_stale(key, then | {"version": key.version - 1}) == "its code has changed"
    assert "crystals" in why_stale(key, then | {"inputs": {"crystals": "other"}})


def test_steps_run_after_what_they_need() -> None:
    for place, step in enumerate(STEPS):
        assert all(NAMES.index(name) < place for name in step.after), step.name
    with pytest.raises(InputError, match="there is no such step"):
        step_named("maps")
