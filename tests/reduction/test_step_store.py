"""Steps on disk: made once, by whoever comes first, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unstill.errors import InputError, UnstillWarning
from unstill.reduction.pipeline.step_lock import owner_of, step_lock
from unstill.reduction.pipeline.step_store import StepKey, StepStore, digest_of, manifest

WORKER = """
import os, sys, time
from pathlib import Path
import numpy as np
from unstill.reduction.pipeline.step_store import StepStore

folder, log = Path(sys.argv[1]), Path(sys.argv[2])

def tell(text):
    with log.open("a") as stream:
        stream.write(f"{text} {os.getpid()}\\n")

def make(unit, path):
    tell(f"begin {unit}")
    time.sleep(0.05)
    np.save(path / "numbers.npy", np.random.default_rng(int(unit[5:])).normal(size=100))
    tell(f"end {unit}")

StepStore(folder).obtain_all([f"unit-{i}" for i in range(24)], make)
"""


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(log)])


def lines(log: Path, what: str) -> list[str]:
    text = log.read_text() if log.exists() else ""
    return [line.split()[1] for line in text.splitlines() if line.startswith(what)]


def test_eight_processes_make_every_unit_once_though_one_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    team = [start(tmp_path / "steps", log) for _ in range(8)]
    while len(lines(log, "end")) < 6:
        time.sleep(0.01)
    victim = next(p for p in team if str(p.pid) in log.read_text())
    victim.send_signal(signal.SIGKILL)
    assert {p.wait(timeout=60) for p in team} == {0, -signal.SIGKILL}

    wanted = {f"unit-{i}" for i in range(24)}
    ended = lines(log, "end")
    assert set(ended) == wanted
    # The victim may have been killed between the end of a unit and its publication.
    begun_by_victim = [
        line.split()[1]
        for line in log.read_text().splitlines()
        if line.endswith(f" {victim.pid}") and line.startswith("begin")
    ]
    repeated = {unit for unit in wanted if lines(log, "begin").count(unit) > 1}
    assert repeated <= set(begun_by_victim[-1:])
    assert len(ended) - len(wanted) <= 1

    alone = tmp_path / "alone"
    assert start(alone, tmp_path / "other log").wait(timeout=60) == 0
    for unit in wanted:
        there = (tmp_path / "steps" / unit / "numbers.npy").read_bytes()
        assert there == (alone / unit / "numbers.npy").read_bytes()
    left = [p.name for p in (tmp_path / "steps").iterdir() if p.name.startswith(".")]
    assert left == [".locks"]


def test_a_result_is_found_again_and_not_made_twice(tmp_path: Path) -> None:
    store, calls = StepStore(tmp_path), []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text("a")

    first = store.obtain("one", make, about={"why": 1})
    assert store.obtain("one", make) == first
    assert len(calls) == 1
    assert (first / "sub" / "a.txt").read_text() == "a"
    assert manifest(first)["about"] == {"why": 1}
    assert list(manifest(first)["files"]) == ["sub/a.txt"]


@pytest.mark.parametrize("damage", ["change", "shorten", "remove", "manifest", "no manifest"])
def test_a_damaged_result_is_told_of_and_made_again(tmp_path: Path, damage: str) -> None:
    store = StepStore(tmp_path)

    def make(folder: Path) -> None:
        (folder / "a.bin").write_bytes(bytes(range(200)))

    file = store.obtain("one", make) / "a.bin"
    if damage == "change":
        file.write_bytes(bytes([1]) + bytes(range(1, 200)))
    elif damage == "shorten":
        file.write_bytes(bytes(range(100)))
    elif damage == "remove":
        file.unlink()
    elif damage == "manifest":
        (tmp_path / "one" / "manifest.json").write_text("{")
    else:
        (tmp_path / "one" / "manifest.json").unlink()
    with pytest.warns(UnstillWarning, match=r"one was damaged .* made again"):
        store.obtain("one", make)
    assert file.read_bytes() == bytes(range(200))


def test_a_step_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = StepStore(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise InputError("no")

    with pytest.raises(InputError):
        store.obtain("one", fail)
    assert not store.holds("one")
    assert [p.name for p in tmp_path.rglob("*")] == [".locks"]


def test_threads_share_the_units(tmp_path: Path) -> None:
    made: list[str] = []

    def make(unit: str, folder: Path) -> None:
        made.append(unit)
        (folder / "a").write_text(unit)

    units = [f"u{i}" for i in range(12)]
    done: list[str] = []
    StepStore(tmp_path).obtain_all(units, make, workers=4, done=done.append)
    assert sorted(made) == sorted(done) == sorted(units)


def test_the_key_knows_everything_that_changes_the_result() -> None:
    base = StepKey("scale", 1, {"b": 1.0, "curves": ["a"]}, {"integrate": "abc"})
    same = StepKey("scale", 1, {"curves": ("a",), "b": 1.0}, {"integrate": "abc"})
    assert base.digest == same.digest
    others = [
        StepKey("merge", 1, base.parameters, base.inputs),
        StepKey("scale", 2, base.parameters, base.inputs),
        StepKey("scale", 1, {"b": 1.5, "curves": ["a"]}, base.inputs),
        StepKey("scale", 1, base.parameters, {"integrate": "abd"}),
    ]
    assert len({key.folder for key in [base, *others]}) == 5
    assert digest_of([1.0]) != digest_of([1.0000001])


def lock_of(path: Path, **changes: object) -> None:
    with step_lock(path):
        content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "u.lock"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock_of(path, pid=gone.pid)
    with step_lock(path) as ours:
        assert ours
    # A number that the system has used again is no sign of life.
    lock_of(path, pid=os.getpid(), born="1")
    with step_lock(path) as ours:
        assert ours
        assert owner_of(path).startswith(f"process {os.getpid()} ")
    assert owner_of(path) == ""


def test_an_owner_elsewhere_lives_as_long_as_its_heart_beats(tmp_path: Path) -> None:
    path = tmp_path / "u.lock"
    lock_of(path, host="elsewhere")
    with step_lock(path) as ours:
        assert not ours
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    with step_lock(path) as ours:
        assert ours


def test_a_lock_without_a_name_is_left_until_it_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "u.lock"
    path.write_text("")
    with step_lock(path) as ours:
        assert not ours
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    with step_lock(path) as ours:
        assert ours
