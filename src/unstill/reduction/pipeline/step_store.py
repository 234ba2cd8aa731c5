"""Results of steps on disk, found again by what they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from unstill import __version__
from unstill.errors import InputError, OutputError, UnstillError, UnstillWarning
from unstill.provenance import digest_file
from unstill.provenance.record import plain
from unstill.reduction.pipeline.step_lock import owner_of, step_lock

Result = TypeVar("Result")

_MANIFEST = "manifest.json"
_WAIT = 0.1
"""Seconds between two looks at a unit that another process works on."""


@dataclass(frozen=True)
class StepKey:
    """What decides the result of a step.

    Parameters
    ----------
    name
        Of the step, for example ``"integrate"``.
    version
        Of its code: raised when the same input gives another result.
    parameters
        Those of the step, defaults included.
    inputs
        Digests of the input by name: keys of earlier steps, digests of files.
    """

    name: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of all of it."""
        # Another release may compute otherwise what no step has noted.
        return digest_of([__version__, self.name, self.version, self.parameters, self.inputs])

    @property
    def folder(self) -> str:
        """Name of the folder of the result."""
        return f"{self.name}-{self.digest[:20]}"


def digest_of(value: Any) -> str:
    """Hexadecimal sha256 of a value made of mappings, lists, numbers and text.

    Examples
    --------
    >>> digest_of({"a": 1, "b": [2.5]}) == digest_of({"b": (2.5,), "a": 1})
    True
    """
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class StepStore:
    """A folder of results, one folder a unit of work, shared by any number of processes.

    A unit is whole or absent: it is made in a folder of its own, its files are
    listed with their digests in a manifest, and one rename publishes it. A unit that was
    damaged since is told of and made again. Two processes never make one unit:
    see :func:`unstill.reduction.pipeline.step_lock.step_lock`.

    Parameters
    ----------
    folder
        Made when the first unit is.
    """

    folder: Path

    def inside(self, key: StepKey) -> StepStore:
        """Return the store of the parts of a step, for example its blocks."""
        return StepStore(self.folder / key.folder)

    def path(self, unit: str) -> Path:
        """Folder of a unit, whether it is there or not."""
        return self.folder / unit

    def holds(self, unit: str) -> bool:
        """Whether a unit is there; its files are not read."""
        return (self.path(unit) / _MANIFEST).is_file()

    def obtain(
        self, unit: str, make: Callable[[Path], None], *, about: Mapping[str, Any] | None = None
    ) -> Path:
        """Return the folder of a unit; make it if it is not there, or wait for who makes it.

        Parameters
        ----------
        unit
            Name of the folder, for example :attr:`StepKey.folder`.
        make
            Writes the files of the unit into the empty folder that it is given.
        about
            Written into the manifest: what the unit was made from.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        (path,) = self.obtain_all([unit], lambda _, folder: make(folder), about=about)
        return path

    def obtain_all(
        self,
        units: Sequence[str],
        make: Callable[[str, Path], None],
        *,
        about: Mapping[str, Any] | None = None,
        done: Callable[[str], None] | None = None,
        workers: int = 1,
    ) -> list[Path]:
        """Return the folders of units; those that others work on are left to them.

        Parameters
        ----------
        units
            Names of folders.
        make
            ``make(unit, folder)`` writes the files of a unit.
        about
            Written into the manifests.
        done
            Called with the name of each unit when it is there.
        workers
            Threads that make units side by side.

        Raises
        ------
        OutputError
            If a folder cannot be written.
        """

        def settle(unit: str) -> bool:
            return self._settle(unit, make, about, done)

        left = list(units)
        while left:
            there = _in_threads(settle, left, workers)
            busy = [unit for unit, good in zip(left, there, strict=True) if not good]
            if len(busy) == len(left):
                time.sleep(_WAIT)
            left = busy
        return [self.path(unit) for unit in units]

    def owner(self, unit: str) -> str:
        """Who works on a unit now; empty if nobody does."""
        return owner_of(self._lock(unit))

    def _settle(
        self,
        unit: str,
        make: Callable[[str, Path], None],
        about: Mapping[str, Any] | None,
        done: Callable[[str], None] | None,
    ) -> bool:
        """See to it that a unit is there; ``False`` if somebody else is at it."""
        if not self._intact(unit):
            _make_folder(self.folder / ".locks")
            with step_lock(self._lock(unit)) as ours:
                if not ours:
                    return False
                # It may have come between the look and the lock.
                if not self._intact(unit, warn=True):
                    self._make(unit, make, about)
        if done is not None:
            done(unit)
        return True

    def _make(
        self, unit: str, make: Callable[[str, Path], None], about: Mapping[str, Any] | None
    ) -> None:
        final = self.path(unit)
        for abandoned in self.folder.glob(f".{unit}.*.part"):
            shutil.rmtree(abandoned, ignore_errors=True)
        draft = self.folder / f".{unit}.{uuid.uuid4().hex[:12]}.part"
        _make_folder(draft)
        try:
            make(unit, draft)
            _seal(draft, unit, about or {})
            if final.exists():
                _remove(final)
            draft.rename(final)
        except UnstillError:
            raise
        except OSError as error:
            raise OutputError(
                "the result of a step could not be written",
                found=f"{final}: {error}",
                fix="check the permissions and the free space, or give another folder",
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _intact(self, unit: str, *, warn: bool = False) -> bool:
        folder = self.path(unit)
        what = _damage(folder)
        if what and warn:
            warnings.warn(
                f"{folder.parent.name}/{unit} was damaged ({what}) and is made again",
                UnstillWarning,
                stacklevel=2,
            )
        return what is not None and not what

    def _lock(self, unit: str) -> Path:
        return self.folder / ".locks" / f"{unit}.lock"


def manifest(folder: Path) -> dict[str, Any]:
    """Return what is known of a unit.

    Raises
    ------
    InputError
        If there is no manifest that can be read.
    """
    try:
        found: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            "a result has no manifest", found=folder, fix="remove the folder and run again"
        ) from error
    return found


_SEEN: dict[Path, Any] = {}
"""Units that this process has checked, with the state of their files then."""


def _damage(folder: Path) -> str | None:
    """Say what is wrong with a unit: empty if nothing, ``None`` if it is not there."""
    if not (folder / _MANIFEST).is_file():
        # A folder without a manifest was not finished by this store.
        return "it has no manifest" if folder.is_dir() else None
    try:
        files = manifest(folder)["files"]
        state = [_state(folder / name) for name in (_MANIFEST, *files)]
        if _SEEN.get(folder.absolute()) == state:
            return ""
        for name, known in files.items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != known["bytes"] or digest_file(file) != known["sha256"]:
                return f"{name} has changed"
    except (InputError, KeyError, TypeError, AttributeError):
        return "its manifest cannot be read"
    except OSError as error:
        return str(error)
    _SEEN[folder.absolute()] = state
    return ""


def _state(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ino


def _in_threads(task: Callable[[str], bool], units: Sequence[str], workers: int) -> list[bool]:
    if workers == 1 or len(units) == 1:
        return [task(unit) for unit in units]
    pool = ThreadPoolExecutor(workers)
    try:
        return list(pool.map(task, units))
    finally:
        # After an error or Ctrl-C what has begun is finished and what has not is left.
        pool.shutdown(cancel_futures=True)


def _seal(folder: Path, unit: str, about: Mapping[str, Any]) -> None:
    """Write the manifest and bring everything to the disk."""
    files = {}
    for file in sorted(_files(folder)):
        _sync(file)
        files[file.relative_to(folder).as_posix()] = {
            "bytes": file.stat().st_size,
            "sha256": digest_file(file),
        }
    path = folder / _MANIFEST
    content = {"unit": unit, "about": plain(about), "files": files}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    _sync(path)


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Move a damaged unit aside in one step, then remove it."""
    aside = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "a folder for results cannot be made",
            found=f"{folder}: {error.strerror}",
            fix="give another folder with -o, or free the name",
        ) from error
