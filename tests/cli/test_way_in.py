from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unstill.cli import main


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "only-one.nxs"],
        ["compare", "a.nxs", "b.nxs", "--d-min", "nan"],
        ["compare", "a.nxs", "b.nxs", "--d-max", "-3"],
        ["diffuse", "a.pdb", "--supercell", "2", "2", "2", "--d-min", "0", "-o", "q.nxs"],
        ["diffuse", "a.pdb", "--supercell", "0", "2", "2", "--d-min", "3", "-o", "q.nxs"],
        ["map", "difference", "a.nxs", "b.nxs", "-o", "c.nxs", "--seed", "-1"],
        ["no-such-verb"],
    ],
)
def test_bad_usage_exits_with_two_and_still_answers_with_one_json_object(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["unstill", *words, "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    captured = capsys.readouterr()
    assert stop.value.code == 2
    answer = json.loads(captured.out)
    assert answer["error"]["what"]
    assert set(answer) == {"error", "outputs", "warnings", "provenance"}
    assert "Usage:" in captured.err


def test_without_json_bad_usage_leaves_stdout_empty(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["unstill", "compare"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().out == ""


def test_interruption_outside_any_verb_exits_with_130_and_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("unstill.cli.compare.Verb.__enter__", interrupted)
    monkeypatch.setattr(sys, "argv", ["unstill", "compare", "a", "b", "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert json.loads(capsys.readouterr().out)["error"]["what"] == "interrupted"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_stdout_that_takes_nothing_is_told_without_a_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "unstill", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "could not be printed" in done.stderr
    assert "Traceback" not in done.stderr
