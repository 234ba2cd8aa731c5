from __future__ import annotations

import json
import warnings

import pytest

from unstill.cli.verb import Verb
from unstill.errors import InputError, UnstillWarning


def test_success_prints_one_json_object_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Verb("map info", as_json=True) as verb:
        verb.record({"x": 1})
        verb.say("for people")
        verb.result = {"cc_total": float("nan")}
        warnings.warn("near tie", UnstillWarning, stacklevel=1)
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["cc_total"] is None
    assert found["warnings"] == ["near tie"]
    assert found["outputs"] == {}
    assert found["provenance"]["parameters"] == {"x": 1}
    assert "near tie" in captured.err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("wrong", found=1, fix="mend"), 1, "wrong"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (FileNotFoundError(2, "No such file", "gone.nxs"), 1, "gone.nxs"),
        (RuntimeError("boom"), 1, "--debug"),
        (MemoryError(), 1, "memory"),
    ],
)
def test_failures_have_a_message_an_exit_code_and_no_traceback(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    with pytest.raises(SystemExit) as stop, Verb("fit", as_json=True):
        raise error
    assert stop.value.code == code
    captured = capsys.readouterr()
    assert text in captured.err
    assert "Traceback" not in captured.err
    assert json.loads(captured.out)["error"]["what"]


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), Verb("fit", debug=True):
        raise RuntimeError("boom")
    assert "Traceback" in capsys.readouterr().err


def test_an_error_finding_exits_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, Verb("validate") as verb:
        verb.say("finding")
        verb.fail()
    assert stop.value.code == 1
    assert "finding" in capsys.readouterr().out
