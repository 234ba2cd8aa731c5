"""A small pool of processes: ordered, bounded, and quick to stop.

Why not the standard pools: ``multiprocessing.Pool`` waits for ever when the
kernel kills a worker, and ``ProcessPoolExecutor`` cannot stop a running task
on Ctrl-C through its public interface.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from unstill.errors import UnstillError

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "UNSTILL_CPUS",
    ),
    "1",
)
"""Environment of a worker: frames run in parallel, so each keeps to one thread."""


class WorkerDiedError(UnstillError, RuntimeError):
    """A worker process ended without an answer, most often killed for memory."""


def map_in_processes(
    setup: Callable[[], Callable[[Any], Any]],
    items: Iterable[Any],
    *,
    workers: int,
    prefetch: int = 2,
) -> Generator[Any, None, None]:
    """Yield ``setup()(item)`` in order from ``workers`` fresh processes.

    Processes are spawned, never forked: numba, finufft and HDF5 hold threads
    and locks that do not survive a fork. See
    :func:`unstill.parallel.ordered_map`.

    Raises
    ------
    WorkerDiedError
        If a worker is killed.
    """
    team: list[_Worker] = []
    try:
        team.extend(_Worker.hire(pickle.dumps(setup)) for _ in range(workers))
        yield from _deal(team, iter(items), window=workers * (1 + prefetch))
        for worker in team:
            worker.dismiss()
    finally:
        # After an error, Ctrl-C or an abandoned loop the workers may be deep in a task.
        for worker in team:
            worker.stop()


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    busy_with: int | None = None

    @classmethod
    def hire(cls, setup: bytes) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, setup), daemon=True)
        # Libraries read these when they are first imported, in the child.
        with _environment(ONE_THREAD):
            process.start()
        theirs.close()
        return cls(process, ours)

    def give(self, number: int, item: Any) -> None:
        self.busy_with = number
        try:
            self.pipe.send((number, item))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error

    def take(self) -> tuple[int, bool, Any]:
        try:
            number, good, value = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._death() from error
        self.busy_with = None
        return number, good, value

    def dismiss(self) -> None:
        with suppress(OSError):
            self.pipe.send(None)
        self.process.join(timeout=10)

    def stop(self) -> None:
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()

    def _death(self) -> WorkerDiedError:
        self.process.join(timeout=5)
        return WorkerDiedError(
            "a worker process died",
            found=f"exit code {self.process.exitcode}",
            fix="use fewer --workers if memory ran out; in a script of your own, start the work "
            "under: if __name__ == '__main__'",
        )


def _deal(team: list[_Worker], items: Iterator[Any], *, window: int) -> Iterator[Any]:
    """Hand out items, hold results back until their turn, look at most ``window`` ahead."""
    ready: deque[tuple[int, Any]] = deque()
    answers: dict[int, tuple[bool, Any]] = {}
    drawn, due, more = 0, 0, True
    while True:
        for worker in (worker for worker in team if worker.busy_with is None and ready):
            worker.give(*ready.popleft())
        # The next item is read while the workers compute, but an idle worker comes first.
        if more and drawn - due < window:
            try:
                ready.append((drawn, next(items)))
                drawn += 1
            except StopIteration:
                more = False
            _collect(team, answers, timeout=0)
        elif drawn == due:
            return
        else:
            _collect(team, answers, timeout=None)
        while due in answers:
            yield _opened(*answers.pop(due))
            due += 1


def _collect(
    team: list[_Worker], answers: dict[int, tuple[bool, Any]], *, timeout: float | None
) -> None:
    busy = {worker.pipe: worker for worker in team if worker.busy_with is not None}
    for pipe in wait(list(busy), timeout) if busy else []:
        number, good, value = busy[pipe].take()  # type: ignore[index]
        answers[number] = (good, value)


def _opened(good: bool, value: Any) -> Any:
    if good:
        return value
    raise value


def _work(pipe: Connection, setup: bytes) -> None:
    """Live of a worker: build the task once, then answer until told to stop."""
    # Ctrl-C reaches the whole group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    task: Callable[[Any], Any] | None = None
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        if message is None:
            return
        number, item = message
        try:
            if task is None:
                task = pickle.loads(setup)()
            answer = (number, True, task(item))
        except BaseException as error:  # noqa: BLE001 - crosses to the parent, raised there
            answer = (number, False, _portable(error))
        with suppress(BrokenPipeError):
            pipe.send(answer)


def _portable(error: BaseException) -> BaseException:
    error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever a foreign error's pickling does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
