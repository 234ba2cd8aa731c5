from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.guidance.predictors import cards

FAKES = Path(__file__).parent.parent / "guidance" / "predictors"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSTILL_PREDICTORS", str(tmp_path / "home"))
    for card in cards.list_cards():
        monkeypatch.delenv(f"UNSTILL_PREDICTOR_PYTHON_{card.name.upper()}", raising=False)
    return tmp_path / "home"


def fake(monkeypatch: pytest.MonkeyPatch, worker: str, name: str = "openfold3") -> None:
    """Let a worker of the tests speak for a predictor, in our own Python."""
    card = dataclasses.replace(cards.find_card(name), worker=FAKES / worker)
    monkeypatch.setattr(cards, "_cards", lambda: (card,))
    monkeypatch.setenv(f"UNSTILL_PREDICTOR_PYTHON_{name.upper()}", sys.executable)


def run(*words: object) -> tuple[int, dict[str, object], str]:
    result = CliRunner().invoke(complete_app(), ["predictor", *map(str, words)])
    answer = json.loads(result.stdout) if result.stdout.startswith("{") else {}
    return result.exit_code, answer, result.stderr + ("" if answer else result.stdout)


def test_list_says_what_is_here(home: Path) -> None:
    code, answer, _ = run("list", "--json")
    assert code == 0
    known = {entry["name"]: entry for entry in answer["predictors"]}  # type: ignore[attr-defined]
    assert known["openfold3"]["installed"] is False
    assert known["openfold3"]["weights"] is None
    assert known["openfold3"]["folder"] == str(home / "openfold3")
    code, _, text = run("list")
    assert code == 0
    assert "openfold3==0.5.0" in text
    assert str(home / "openfold3" / "weights") in text


def test_check_packs_with_a_packer(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "packing_worker.py", "ligandmpnn")
    code, answer, errors = run("check", "ligandmpnn", "--json")
    assert (code, errors) == (0, "")
    assert (answer["name"], answer["n_atoms"]) == ("packing", 18)
    assert float(str(answer["seconds_to_pack"])) > 0
    _, _, text = run("list")
    assert "weights: inside the package" in text


def test_check_tries_the_predictor_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "linear_worker.py")
    code, answer, errors = run("check", "openfold3", "--device", "cpu", "--json")
    assert (code, errors) == (0, "")
    assert (answer["name"], answer["n_atoms"], answer["device"]) == ("linear", 12, "cpu")
    assert 0 < float(str(answer["seconds_to_start"])) < 60
    assert int(str(answer["memory_bytes"])) > 1e6


@pytest.mark.parametrize(
    ("fault", "text"),
    [("weights", "unstill brings no weights"), ("import", "predictor install openfold3")],
)
def test_a_check_that_fails_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, fault: str, text: str
) -> None:
    fake(monkeypatch, "faulty_worker.py")
    code, answer, errors = run("check", "openfold3", "--option", f"fault={fault}", "--json")
    assert code == 1
    assert text in str(answer["error"]["fix"])  # type: ignore[index]
    assert "Traceback" not in errors


def test_a_predictor_that_is_not_installed_is_told() -> None:
    code, answer, _ = run("check", "openfold3", "--json")
    assert code == 1
    assert "predictor install openfold3" in str(answer["error"])


def test_an_unknown_name_is_told_and_bad_usage_is_two() -> None:
    code, answer, _ = run("install", "alphafold9", "--json")
    assert code == 1
    assert "openfold3" in str(answer["error"])
    assert run("check", "openfold3", "--option", "settings")[0] == 2
    assert run("check", "openfold3", "--timeout", "0")[0] == 2
    assert run("check")[0] == 2


def test_install_says_where_it_went(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    fake(monkeypatch, "linear_worker.py")
    code, answer, _ = run("install", "openfold3", "--json")
    assert code == 0
    assert answer["outputs"] == {"environment": str(home / "openfold3")}
    code, _, text = run("install", "openfold3")
    assert code == 0
    assert "its weights are missing" in text
