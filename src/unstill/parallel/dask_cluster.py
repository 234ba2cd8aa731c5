"""The same ordered map on a Dask cluster, by the address of its scheduler."""

from __future__ import annotations

import pickle
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any

from unstill.errors import InputError
from unstill.optional import require

# One task a thread of each worker: transforms keep work space that two threads must not share.
_tasks = threading.local()


_ADDRESS = re.compile(r"inproc://\S+|(\w+://)?(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):\d+")


def map_on_cluster(
    setup: Callable[[], Callable[[Any], Any]],
    items: Iterable[Any],
    *,
    address: str,
    prefetch: int = 2,
) -> Generator[Any, None, None]:
    """Yield ``setup()(item)`` in order from the workers of a Dask cluster.

    The workers need unstill installed, in the same version. See
    :func:`unstill.parallel.ordered_map`.

    Raises
    ------
    MissingExtraError
        If ``distributed`` is not installed (``pip install 'unstill[dask]'``).
    InputError
        If no scheduler answers at the address, or it has no workers.
    """
    distributed = require("distributed", extra="dask")
    client = _connect(distributed, address)
    due: deque[Any] = deque()
    try:
        slots = max(1, sum(client.nthreads().values()))
        token = uuid.uuid4().hex
        # Scattered once; each task carries only a reference to it.
        recipe = client.scatter(pickle.dumps(setup), broadcast=True)
        for item in items:
            due.append(client.submit(_run, token, recipe, item, pure=False))
            if len(due) >= slots * (1 + prefetch):
                yield due.popleft().result()
        while due:
            yield due.popleft().result()
    finally:
        client.cancel(list(due))
        client.close()


def _connect(distributed: Any, address: str) -> Any:
    # Given something else, distributed fails late and prints a traceback when it cleans up.
    if _ADDRESS.fullmatch(address) is None:
        raise InputError(
            "this is not the address of a Dask scheduler",
            found=repr(address),
            fix="give one such as tcp://host:8786",
        )
    try:
        client = distributed.Client(address, timeout="15s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            "no Dask scheduler answers",
            found=f"{address}: {error}",
            fix="start one with 'dask scheduler', and give its address, such as tcp://host:8786",
        ) from error
    if not client.nthreads():
        client.close()
        raise InputError(
            "the Dask cluster has no workers",
            found=address,
            fix=f"start some with: dask worker {address}",
        )
    return client


def _run(token: str, recipe: bytes, item: Any) -> Any:
    if getattr(_tasks, "token", None) != token:
        _tasks.task, _tasks.token = pickle.loads(recipe)(), token
    return _tasks.task(item)
