"""A child process at the end of two pipes: deadlines, its last words, its end."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from unstill.parallel.processes import ONE_THREAD

_LAST_LINES = 12
_LONGEST_LINE = 300
_CHUNK = 1 << 20


class DeadlineError(Exception):
    """The other end was silent, or took nothing, until the deadline."""


class ClosedError(Exception):
    """The other end has closed its pipe."""


class Channel:
    """A process that is spoken to over its standard input and output.

    It leads a group of its own, so that Ctrl-C does not reach it and all that
    it started ends with it: on ``stop``, and at the latest with this process.

    Parameters
    ----------
    command
        Program and arguments.
    threads
        Threads that its numerical libraries may use.

    Raises
    ------
    OSError
        If the program cannot be started.
    """

    def __init__(self, command: Sequence[str], *, threads: int) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(threads),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for pipe in (self._in, self._out):
            os.set_blocking(pipe, False)
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(
            target=_listen, args=(self._process.stderr, self._lines), daemon=True
        )
        self._listener.start()
        self._end = weakref.finalize(self, _end, self._process)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def send(self, data: bytes, deadline: float) -> None:
        """Write all of the data.

        Parameters
        ----------
        data
            Bytes.
        deadline
            Time of the monotonic clock (s).

        Raises
        ------
        DeadlineError, ClosedError
            If the process does not take them.
        """
        view = memoryview(data)
        while view:
            _wait(self._in, selectors.EVENT_WRITE, deadline)
            try:
                view = view[os.write(self._in, view[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise ClosedError from error

    def read(self, size: int, deadline: float) -> bytes:
        """Read exactly so many bytes.

        Raises
        ------
        DeadlineError, ClosedError
            If they do not come.
        """
        data = bytearray()
        while len(data) < size:
            _wait(self._out, selectors.EVENT_READ, deadline)
            try:
                piece = os.read(self._out, min(size - len(data), _CHUNK))
            except BlockingIOError:
                continue
            if not piece:
                raise ClosedError
            data += piece
        return bytes(data)

    def ended(self, patience: float = 2.0) -> int | None:
        """Exit code (negative: the signal) once it ends within ``patience`` s, else ``None``."""
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End the process and all that it started; leaves no zombie. May be called again."""
        self._end()
        self._listener.join(timeout=2.0)

    def last_lines(self) -> str:
        """Return what it printed last."""
        if self._process.returncode is not None:
            self._listener.join(timeout=2.0)
        return "\n".join(self._lines)


def _environment(threads: int) -> Mapping[str, str]:
    # unstill keeps itself to one thread; a network may have them all.
    return os.environ | dict.fromkeys(ONE_THREAD, str(threads))


def _wait(pipe: int, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, event)
        while not selector.select(timeout := max(deadline - time.monotonic(), 0.0)):
            if timeout == 0.0:
                raise DeadlineError


def _listen(stderr: IO[bytes], lines: deque[str]) -> None:
    with suppress(OSError, ValueError):
        for line in iter(lambda: stderr.readline(_LONGEST_LINE), b""):
            if text := line.decode(errors="replace").rstrip():
                lines.append(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
