"""Cards and environments: what there is, installing whole or not at all; no network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from unstill.errors import InputError, OutputError
from unstill.guidance.predictors import cards, environments
from unstill.guidance.predictors.cards import Card

HERE = Path(__file__).parent
WORKER = (HERE / "linear_worker.py").read_text()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of environments, and an index of one wheel in place of the network."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "tinypredictor", "version = 3\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("UNSTILL_PREDICTORS", str(tmp_path / "home"))
    return tmp_path / "home"


def write_wheel(folder: Path, name: str, text: str) -> None:
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(body.encode()).digest()).rstrip(b"=")
        for path, body in files.items()
    }
    record = [f"{path},sha256={digest.decode()}," for path, digest in digests.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, body in files.items():
            wheel.writestr(path, body)


def card(name: str = "tinypredictor", **changes: object) -> Card:
    made = Card(
        name="tiny",
        title="Tiny",
        role="prior",
        licence="MIT",
        source="",
        requirements=(f"{name}==1.0",),
        bare=(),
        module=name,
        python=("3.8", "3.99"),
        megabytes=1,
        weights="tiny.ckpt",
        extra_files={"molecules": "mols"},
        options={},
        worker=HERE / "linear_worker.py",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_every_worker_has_a_card_that_says_what_is_needed() -> None:
    known = cards.list_cards()
    workers = {path.parent.name for path in Path(cards.__file__).parent.glob("*/worker.py")}
    assert {one.name for one in known} == workers
    assert len(known) >= 1
    for one in known:
        assert one.worker.is_file()
        assert one.worker.parent.name == one.name
        # pip must never be left to choose a release; torch comes first, in the same command.
        assert all("==" in requirement for requirement in one.requirements)
        assert one.requirements[0] in cards.CONSTRAINTS.read_text().splitlines()
        assert one.licence
        assert one.source.startswith("https://")
        assert one.weights
        assert 100 < one.megabytes < 20_000
        assert cards.find_card(one.name) is one


def test_an_unknown_predictor_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match=r"give one of: .*openfold3"):
        cards.find_card("alphafold9")


def test_a_card_with_a_missing_or_unknown_entry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text('{"name": "x", "python": ["3.10", "3.12"], "requirements": []}')
    with pytest.raises(InputError, match="incomplete"):
        cards.read_card(path)


def test_an_installed_predictor_starts_with_its_weights(home: Path) -> None:
    told: list[str] = []
    assert environments.locate(card()).python is None
    (home / "tiny" / "weights").mkdir(parents=True)
    (home / "tiny" / "weights" / "tiny.ckpt").write_text("weights")
    (home / "tiny" / "weights" / "mols").mkdir()
    # What an interrupted install leaves behind.
    (home / "tiny" / "bin").mkdir()
    (home / "tiny" / "bin" / "python").write_text("half a file")
    assert environments.locate(card()).python is None
    with pytest.raises(InputError, match="predictor install tiny"):
        environments.start(environments.locate(card()))
    found = environments.install(card(), progress=told.append)
    assert found.python == home / "tiny" / "bin" / "python"
    assert found.weights == home / "tiny" / "weights" / "tiny.ckpt"
    assert len(told) == 4
    assert environments.install(card(), progress=told.append) == found
    assert len(told) == 4
    # A worker of numpy alone cannot run there: the environment is its own, not ours.
    with pytest.raises(Exception, match="numpy"):
        environments.start(found)


def test_weights_and_files_beside_them_are_given_to_the_worker(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSTILL_PREDICTOR_PYTHON_TINY", sys.executable)
    weights = home / "tiny" / "weights"
    (weights / "mols").mkdir(parents=True)
    (weights / "tiny.ckpt").touch()
    found = environments.locate(card())
    assert found.python == Path(sys.executable)
    options: list[dict[str, str]] = []

    def record(*_: object, **given: dict[str, str]) -> None:
        options.append(given["options"])

    monkeypatch.setattr(environments, "PredictorProcess", record)
    environments.start(found)
    environments.start(found, options={"weights": "other.ckpt", "device": "cpu"})
    assert options == [
        {"weights": str(weights / "tiny.ckpt"), "molecules": str(weights / "mols")},
        {"weights": "other.ckpt", "molecules": str(weights / "mols"), "device": "cpu"},
    ]


@pytest.mark.parametrize(
    ("fails", "text"), [("pip", "could not install Tiny"), ("import", "No module named")]
)
def test_an_install_that_fails_leaves_nothing_but_the_weights(
    home: Path, monkeypatch: pytest.MonkeyPatch, fails: str, text: str
) -> None:
    # Making the environment is what takes time; a link to our Python will do.
    calls: list[list[str]] = []
    run = environments._run

    def quick(command: list[str], what: str) -> None:
        calls.append(command)
        if "venv" in command:
            (home / "tiny" / "bin").mkdir()
            (home / "tiny" / "bin" / "python").symlink_to(sys.executable)
        elif "pip" in command and fails == "import":
            return
        elif "pip" in command:
            run(["false"], what)
        else:
            run(command, what)

    monkeypatch.setattr(environments, "_run", quick)
    (home / "tiny" / "weights").mkdir(parents=True)
    (home / "tiny" / "weights" / "tiny.ckpt").write_text("weights")
    with pytest.raises(OutputError, match=text):
        environments.install(card("tinypredictor"))
    assert [entry.name for entry in (home / "tiny").iterdir()] == ["weights"]
    assert environments.locate(card()).python is None
    assert environments.locate(card()).weights is not None
    # torch is pinned in the very command that asks for the predictor.
    assert calls[1][-3:] == ["--constraint", str(cards.CONSTRAINTS), "tinypredictor==1.0"]


def test_a_python_of_another_release_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match=r"give one from 2\.6 to 2\.7"):
        environments.install(card(python=("2.6", "2.7")))
    with pytest.raises(InputError, match="no Python"):
        environments.install(card(), python=home / "nothing")
    with pytest.raises(InputError, match="no Python"):
        environments.install(card(), python=Path("/bin/false"))
    assert not home.exists()


def test_other_packages_offer_predictors_by_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = dataclasses.replace(cards.find_card("boltz2"), name="theirs", title="Theirs")
    package = tmp_path / "theirs_package.py"
    package.write_text("CARD = None\nNOTHING = 3\n")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = info / "entry_points.txt"
    points.write_text("[unstill.predictors]\ntheirs = theirs_package:CARD\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import theirs_package

    theirs_package.CARD = offered
    assert cards.find_card("theirs") is offered
    assert [card.name for card in cards.list_cards()][-1] == "theirs"
    # A name of ours stays ours.
    theirs_package.CARD = dataclasses.replace(offered, name="boltz1")
    assert cards.find_card("boltz1").title != "Theirs"
    points.write_text("[unstill.predictors]\ntheirs = theirs_package:NOTHING\n")
    with pytest.raises(InputError, match="offers no predictor"):
        cards.list_cards()
