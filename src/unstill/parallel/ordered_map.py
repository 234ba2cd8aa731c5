"""Apply one task to many items in parallel, results in the order of the items."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from unstill.errors import InputError
from unstill.parallel.dask_cluster import map_on_cluster
from unstill.parallel.processes import map_in_processes

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    setup: Callable[[], Callable[[Item], Result]],
    items: Iterable[Item],
    *,
    workers: int = 1,
    dask: str | None = None,
    prefetch: int = 2,
) -> Generator[Result, None, None]:
    """Yield ``setup()(item)`` for every item, in the order of the items.

    ``setup`` is called once a process and returns the task; put there what is
    dear to make (a transform, tables) and cheap to describe. Items are drawn
    lazily and never more than ``prefetch`` a worker ahead of the result that
    is due, so memory does not grow with their number. One task never depends
    on another, hence the results are the same for any number of workers.

    Parameters
    ----------
    setup
        Picklable; returns the function of one item.
    items
        Picklable items, drawn by the calling process.
    workers
        Processes to use; 1 works in the calling process.
    dask
        Address of a Dask scheduler, for example ``"tcp://head:8786"``; then
        the cluster's own workers are used and ``workers`` is not looked at.
    prefetch
        Items held ready for each worker beside the one that it works on.

    Yields
    ------
    Result
        In the order of the items. An error of a task is raised when its turn
        comes, the earliest item first.

    Raises
    ------
    InputError
        If ``workers`` or ``prefetch`` is below 1.
    MissingExtraError
        If ``dask`` is given and the extra is not installed.

    Examples
    --------
    >>> from functools import partial
    >>> from operator import add
    >>> list(ordered_map(partial(partial, add, 10), [1, 2, 3]))
    [11, 12, 13]
    """
    if workers < 1 or prefetch < 1:
        raise InputError(
            "at least one worker and one item each are needed",
            found=f"workers {workers}, prefetch {prefetch}",
            fix="give positive numbers",
        )
    if dask is not None:
        return map_on_cluster(setup, items, address=dask, prefetch=prefetch)
    if workers == 1:
        return _map_here(setup, items)
    return map_in_processes(setup, items, workers=workers, prefetch=prefetch)


def _map_here(
    setup: Callable[[], Callable[[Item], Result]], items: Iterable[Item]
) -> Generator[Result, None, None]:
    task = setup()
    for item in items:
        yield task(item)
