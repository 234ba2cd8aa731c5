"""Bars on stderr for long work; stdout stays free for the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback of (done, total) that draws a bar with the time left.

    Nothing is drawn where stderr is not a terminal.
    """
    with _bars(time_left=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def progress_bars(titles: Mapping[str, str]) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback of (part, done, total) that draws one bar a part.

    Where stderr is not a terminal, the title of each part is printed as it begins.
    """
    tasks: dict[str, Any] = {}
    with _bars(time_left=False) as bars:

        def progress(part: str, done: int, total: int) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(titles[part], total=total)
                if not bars.console.is_terminal:
                    bars.console.print(titles[part])
            bars.update(tasks[part], completed=done, total=total)

        yield progress


def _bars(*, time_left: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if time_left else []),
        console=console,
        disable=not console.is_terminal,
    )
