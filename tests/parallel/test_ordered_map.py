"""Work spread over processes and a cluster, results in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from unstill.errors import InputError
from unstill.parallel import WorkerDiedError, cpu_count, ordered_map


def square_slowly_at_first(number: int) -> int:
    time.sleep(0.05 if number == 0 else 0)
    return number * number


def fail_on_three(number: int) -> int:
    if number >= 3:
        raise InputError("three is too many", found=number, fix="give less")
    return number


def fail_with_what_cannot_travel(number: int) -> int:
    class LocalError(Exception):
        pass

    raise LocalError(f"number {number}")


def die(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def name_of_process(_: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def make(task: Callable[[int], object]) -> Callable[[int], object]:
    return task


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    setup = partial(make, square_slowly_at_first)
    assert list(ordered_map(setup, range(9), workers=workers)) == [n * n for n in range(9)]


def test_no_items_give_no_results() -> None:
    assert list(ordered_map(partial(make, square_slowly_at_first), [], workers=2)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_drawn_only_as_far_ahead_as_the_prefetch_allows(workers: int) -> None:
    drawn = []

    def endless() -> Iterator[int]:
        for number in count():
            drawn.append(number)
            yield number

    results = ordered_map(
        partial(make, square_slowly_at_first), endless(), workers=workers, prefetch=1
    )
    for number in range(6):
        assert next(results) == number * number
        assert len(drawn) <= number + 1 + workers * 2
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_earliest_error_is_raised_in_its_turn(workers: int) -> None:
    results = ordered_map(partial(make, fail_on_three), range(8), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="three is too many; found 3; give less"):
        next(results)


def test_an_error_that_cannot_be_pickled_still_tells_its_name() -> None:
    results = ordered_map(partial(make, fail_with_what_cannot_travel), [7], workers=2)
    with pytest.raises(RuntimeError, match="LocalError: number 7"):
        list(results)


def test_a_killed_worker_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(WorkerDiedError, match="exit code -9"):
        list(ordered_map(partial(make, die), range(4), workers=2))


def test_workers_are_other_processes_with_one_thread_and_the_parent_keeps_its_own() -> None:
    before = dict(os.environ)
    found = set(ordered_map(partial(make, name_of_process), range(6), workers=2))
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {"1"}
    assert dict(os.environ) == before


def test_processes_are_gone_when_the_loop_is_left_early() -> None:
    results = ordered_map(partial(make, name_of_process), range(100), workers=2)
    pids = {next(results)[0] for _ in range(4)}
    results.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_ctrl_c_stops_the_parent_and_its_workers_at_once(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import time, os
        from functools import partial
        from unstill.parallel import ordered_map

        def task(n):
            # One write each, so that the lines of two processes do not mix.
            os.write(1, f"{os.getpid()}\\n".encode())
            time.sleep(60)

        def setup():
            return task

        if __name__ == "__main__":
            try:
                list(ordered_map(setup, range(4), workers=2))
            except KeyboardInterrupt:
                raise SystemExit(130)
        """
    )
    script = tmp_path / "long_work.py"
    script.write_text(code)
    parent = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    began = time.monotonic()
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(timeout=20) == 130
    assert time.monotonic() - began < 15
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_dask_cluster_gives_the_same_results_by_its_address() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        setup = partial(make, square_slowly_at_first)
        address = cluster.scheduler_address
        assert list(ordered_map(setup, range(9), dask=address)) == [n * n for n in range(9)]
        with pytest.raises(InputError, match="three is too many"):
            list(ordered_map(partial(make, fail_on_three), range(9), dask=address))


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="at least one worker"):
        ordered_map(partial(make, square_slowly_at_first), [], workers=0)


def test_at_least_one_processor_may_be_used() -> None:
    assert cpu_count() >= 1
