"""Numba, with a cache on disk where there is a place for one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers; it runs without the interpreter lock.

    Shape checks that tests wrap around every function of a room are taken off again.
    Never with ``fastmath``: the same input gives the same bits on every run.
    Without the lock, threads of one process share tables and run side by side.
    """
    function = inspect.unwrap(function)
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package nor the home folder can be written
        return numba.njit(nogil=True, error_model="numpy")(function)
