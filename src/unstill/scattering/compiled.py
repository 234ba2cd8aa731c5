"""Numba, with a cache on disk where there is a place for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays and numbers.

    Never with ``fastmath``: the same input gives the same bits on every run.
    """
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package nor the home folder can be written
        return numba.njit(error_model="numpy")(function)
