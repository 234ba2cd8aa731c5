"""The documentation is executed: Python and console blocks, doctests, help texts."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import unstill
from unstill.cli.app import command_help

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "_build" not in page.parts and "generated" not in page.parts
)
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(unstill.__path__, "unstill.")
    if not found.name.endswith("__main__")
)
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(page: Path) -> list[tuple[str, str]]:
    return [(kind, body) for kind, body in BLOCK.findall(page.read_text())]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if _blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_examples_on_the_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__docs__"}
    for kind, body in _blocks(page):
        if kind == "python":
            exec(compile(body, str(page), "exec"), names)
            continue
        for line in body.replace("\\\n", " ").splitlines():
            if line.startswith("$ unstill"):
                _run(line.removeprefix("$ "), tmp_path)


def _run(line: str, folder: Path) -> None:
    command = [sys.executable, "-m", "unstill", *shlex.split(line)[1:]]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_are_true(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_every_verb_shows_an_example_and_json() -> None:
    texts = command_help()
    assert "unstill compare" in texts
    groups = {" ".join(name.split()[:-1]) for name in texts if name != "unstill"}
    for name, text in texts.items():
        if name in groups or name == "unstill":
            continue
        assert f"Example: {name}" in " ".join(text.split()), name
        assert "--json" in text, name


def test_every_room_says_what_lives_there() -> None:
    for found in pkgutil.iter_modules(unstill.__path__):
        module = importlib.import_module(f"unstill.{found.name}")
        assert module.__doc__, found.name
        if found.ispkg:
            assert len(module.__doc__.split()) >= 25, f"{found.name}: say it in a paragraph"


def test_architecture_names_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for found in pkgutil.iter_modules(unstill.__path__):
        if found.name != "__main__":
            assert f"`{found.name}" in text, found.name
