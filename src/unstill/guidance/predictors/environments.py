"""Where predictors are installed, what is there, and how one is put there.

An environment is a folder of the predictor's name below the folder that the
variable ``UNSTILL_PREDICTORS`` names, by default in the user's cache. Weights
are looked for in its sub-folder ``weights``. ``UNSTILL_PREDICTOR_PYTHON_NAME``
names the Python of an environment that was made by other means.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unstill.errors import InputError, OutputError
from unstill.guidance.predictors.cards import CONSTRAINTS, Card
from unstill.guidance.predictors.client import PredictorProcess

FOLDER = "UNSTILL_PREDICTORS"
"""Environment variable that names the folder of all environments."""

_MARK = "installed.json"


@dataclass(frozen=True)
class Environment:
    """A predictor on this machine.

    Parameters
    ----------
    card
        The predictor.
    folder
        Where its environment stands, or would.
    python
        Its Python; ``None`` where it is not installed.
    weights
        Its file of weights; ``None`` where there is none.
    """

    card: Card
    folder: Path
    python: Path | None
    weights: Path | None


def locate(card: Card) -> Environment:
    """Find what there is of a predictor on this machine; runs nothing."""
    folder = predictors_folder() / card.name
    named = os.environ.get(f"UNSTILL_PREDICTOR_PYTHON_{card.name.upper()}")
    python = Path(named) if named else folder / "bin" / "python"
    there = python.is_file() if named else (folder / _MARK).is_file()
    weights = folder / "weights" / card.weights
    return Environment(
        card, folder, python if there else None, weights if weights.is_file() else None
    )


def predictors_folder() -> Path:
    """Return the folder of all environments."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named).absolute()
    import pooch

    return Path(pooch.os_cache("unstill")) / "predictors"


def start(
    environment: Environment,
    *,
    options: Mapping[str, Any] | None = None,
    timeout: float = 900.0,
    threads: int | None = None,
) -> PredictorProcess:
    """Start an installed predictor with its weights.

    Parameters
    ----------
    environment
        From :func:`locate`.
    options
        For its worker; ``weights`` and other files are those found on this machine by default.
    timeout
        Longest time (s) that an answer may take.
    threads
        Threads that it may use; as many as processors by default.

    Raises
    ------
    InputError
        If it is not installed.
    PredictorError
        If it cannot be started; the subclass says why.
    """
    card = environment.card
    if environment.python is None:
        raise InputError(
            f"{card.title} is not installed",
            found=f"nothing in {environment.folder}",
            fix=f"run: unstill predictor install {card.name}",
        )
    beside = environment.folder / "weights"
    known = {"weights": environment.weights} | {
        option: beside / name
        for option, name in card.extra_files.items()
        if (beside / name).exists()
    }
    found = {option: str(path) for option, path in known.items() if path is not None}
    return PredictorProcess(
        card.name,
        environment.python,
        card.worker,
        options=found | dict(options or {}),
        timeout=timeout,
        threads=threads,
    )


def install(
    card: Card,
    *,
    python: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Environment:
    """Make an environment and install a predictor in it; whole, or not at all.

    An environment that is whole is left as it is.

    Parameters
    ----------
    card
        The predictor.
    python
        Python to make it with; the one that runs unstill by default.
    progress
        Called with what is being done.

    Raises
    ------
    InputError
        If the Python is none, or too old or too new for the predictor.
    OutputError
        If pip fails, or what it installed cannot be imported.
    """
    there = locate(card)
    if there.python is not None:
        return there
    tell = progress or (lambda _: None)
    python = Path(sys.executable) if python is None else python
    _check_python(card, python)
    folder = there.folder
    # Whatever stands there without its mark was interrupted. Weights are the user's.
    _remove(folder)
    try:
        tell(f"making an environment in {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        _run([str(python), "-m", "venv", str(folder)], "the environment could not be made")
        inner = folder / "bin" / "python"
        tell(f"installing {', '.join((*card.requirements, *card.bare))}")
        tell(f"(about {card.megabytes} MB in the end)")
        pip = [str(inner), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        what = f"pip could not install {card.title}"
        _run([*pip, "--constraint", str(CONSTRAINTS), *card.requirements], what)
        if card.bare:
            _run([*pip, "--no-deps", "--ignore-requires-python", *card.bare], what)
        tell(f"importing {card.module}")
        # An install without an error proves nothing yet.
        _run([str(inner), "-I", "-c", f"import {card.module}"], f"{card.title} was installed, but")
        mark = {"requirements": [*card.requirements, *card.bare], "python": str(python)}
        (folder / _MARK).write_text(json.dumps(mark))
    except BaseException:
        _remove(folder)
        raise
    return locate(card)


def _check_python(card: Card, python: Path) -> None:
    ask = "import sys; print(*sys.version_info[:2], sep='.')"
    try:
        done = subprocess.run(
            [python, "-I", "-c", ask], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            "this is no Python", found=f"{python}: {error}", fix="give the path of a python3"
        ) from error
    found = done.stdout.strip()
    first, last = card.python
    if not _release(first) <= _release(found) <= _release(last):
        raise InputError(
            f"{card.title} does not run on this Python",
            found=f"Python {found}",
            fix=f"give one from {first} to {last} with --python",
        )


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _run(command: Sequence[str], what: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise OutputError(what, found=str(error), fix="check the path") from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise OutputError(
            what,
            found="\n".join(said[-8:]) or f"exit code {done.returncode}",
            fix="check the network and the free space, then try again",
        )


def _remove(folder: Path) -> None:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.name == "weights":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
