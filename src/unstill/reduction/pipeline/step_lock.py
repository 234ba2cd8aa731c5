"""Who works on a unit: a lock file with a heartbeat, taken over from the dead."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEAT = 5.0
"""Seconds between two signs of life."""

STALE = 60.0
"""Seconds without a sign of life after which an owner on another host counts as dead."""

_LIVE: dict[Path, str] = {}
_GUARD = threading.Lock()


@contextmanager
def step_lock(path: Path) -> Iterator[bool]:
    """Try to own a unit of work; yields whether it is ours, and never waits.

    The lock is a file that is created with ``O_EXCL`` and names host, process
    and the time at which the process began. A thread renews its time every
    ``BEAT`` seconds. The lock of an owner that is dead (same host: no such process;
    another host: no heartbeat for ``STALE`` seconds by the clock of the file
    system) is taken over.

    Assumed of the file system: exclusive creation and rename are atomic (true
    of local disks and of NFS 3 and later). Should an owner be suspended for
    longer than ``STALE`` on another host, work may be done twice; results are
    published by one rename and are the same bits, so that nothing is corrupted.

    Parameters
    ----------
    path
        Of the lock file; its folder must exist.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "unit.lock"
    >>> with step_lock(path) as first, step_lock(path) as second:
    ...     first, second
    (True, False)
    """
    token = _take(path)
    if token is None and _bury(path):
        token = _take(path)
    if token is None:
        yield False
        return
    with _GUARD:
        _LIVE[path] = token
    _start_heart()
    try:
        yield True
    finally:
        with _GUARD:
            _LIVE.pop(path, None)
        _release(path, token)


def owner_of(path: Path) -> str:
    """Say who holds a lock, for messages; empty where nobody does."""
    found = _read(path)
    return f"process {found.pid} on {found.host}" if found is not None else ""


@dataclass(frozen=True)
class _Owner:
    host: str
    pid: int
    born: str
    token: str


def _take(path: Path) -> str | None:
    token = uuid.uuid4().hex
    content = json.dumps(
        {"host": _here(), "pid": os.getpid(), "born": _born(os.getpid())} | {"token": token}
    )
    # Written aside and linked: others never see an owner without a name.
    draft = path.with_name(f"{path.name}.{token}")
    draft.write_text(content, encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        return None
    except OSError:
        return token if _take_without_links(path, content) else None
    finally:
        draft.unlink(missing_ok=True)
    return token


def _take_without_links(path: Path, content: str) -> bool:
    """Create exclusively where the file system knows no hard links."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
    return True


def _bury(path: Path) -> bool:
    """Remove the lock of a dead owner; whether the place is free now."""
    owner = _read(path)
    if owner is not None and _alive(path, owner):
        return False
    if owner is None and (_age(path) or 0.0) < STALE:
        # Gone already, or without a name yet.
        return not path.exists()
    with _one_at_a_time(path.parent):
        return _bury_owner(path, owner)


def _bury_owner(path: Path, owner: _Owner | None) -> bool:
    now = _read(path)
    if now != owner:
        return now is None and not path.exists()
    # Where the guard above does not hold (a file system without locks), the lock may have
    # changed hands since: whoever moved a living one gives it back.
    grave = path.with_name(f"{path.name}.dead-{uuid.uuid4().hex}")
    try:
        path.rename(grave)
    except OSError:
        return True
    moved = _read(grave)
    if moved is not None and owner is not None and moved.token != owner.token:
        with contextlib.suppress(OSError):
            os.link(grave, path)
        grave.unlink(missing_ok=True)
        return False
    grave.unlink(missing_ok=True)
    return True


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep others from burying meanwhile, as far as the file system can."""
    try:
        import fcntl
    except ImportError:  # no POSIX
        yield
        return
    with (folder / ".bury").open("a") as guard:
        with contextlib.suppress(OSError):
            fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _release(path: Path, token: str) -> None:
    found = _read(path)
    if found is not None and found.token == token:
        path.unlink(missing_ok=True)


def _read(path: Path) -> _Owner | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return _Owner(found["host"], int(found["pid"]), found["born"], found["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(path: Path, owner: _Owner) -> bool:
    if owner.host == _here():
        return _born(owner.pid) == owner.born != ""
    age = _age(path)
    return age is not None and age < STALE


def _here() -> str:
    """Host, and the numbering of processes in it: containers may share the name of a host."""
    try:
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")  # noqa: PTH115 - no path
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def _born(pid: int) -> str:
    """When a process began, so that a number used again is no sign of life; empty if dead."""
    try:
        # Fields behind the name in brackets; the name may hold spaces and brackets.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
        return _exists(pid)
    except OSError:
        return _exists(pid)
    return "" if state in "ZX" else rest[18]


def _exists(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "unknown"


def _age(path: Path) -> float | None:
    """Seconds since the last heartbeat, by the clock of the file system; ``None`` if gone."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return None
    finally:
        probe.unlink(missing_ok=True)


_heart: threading.Thread | None = None


def _start_heart() -> None:
    """One thread a process renews all its locks."""
    global _heart
    with _GUARD:
        if _heart is None or not _heart.is_alive():
            _heart = threading.Thread(target=_beat, name="step locks", daemon=True)
            _heart.start()


def _beat() -> None:
    while True:
        time.sleep(BEAT)
        with _GUARD:
            live = list(_LIVE)
        for path in live:
            with contextlib.suppress(OSError):
                os.utime(path)
