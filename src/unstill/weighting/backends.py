"""Where the sums over members run: numpy, JAX, torch or CuPy; the formulae are the same lines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from unstill.errors import InputError
from unstill.optional import require

BackendName = Literal["numpy", "jax", "torch", "cupy"]


@dataclass(frozen=True, eq=False)
class Backend:
    """An array library.

    Parameters
    ----------
    name
        Its name.
    xp
        Its namespace, which follows the array API.
    to_host
        Brings an array back as numpy.
    scope
        Entered around all work, for libraries that keep double precision
        behind a switch.
    compiles
        Every new shape of an array costs a compilation, so that shapes shall
        be few.
    """

    name: str
    xp: Any
    to_host: Callable[[Any], np.ndarray]
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext
    compiles: bool = False

    def array(self, values: Any, dtype: str = "float64") -> Any:
        """Array of this library, in the precision that is named."""
        return self.xp.asarray(values, dtype=getattr(self.xp, dtype))


def weighting_backend(name: str = "numpy") -> Backend:
    """Return a backend by name.

    Raises
    ------
    InputError
        If there is none of this name.
    MissingExtraError
        If its package is not installed.
    """
    if name == "numpy":
        return Backend("numpy", np, np.asarray)
    if name == "jax":
        jax = require("jax", extra="jax")
        return Backend("jax", jax.numpy, np.asarray, lambda: jax.enable_x64(True), compiles=True)
    if name == "torch":
        torch = require("torch", extra="torch")
        return Backend("torch", torch, lambda array: np.asarray(array.detach().cpu()))
    if name == "cupy":
        cupy = require("cupy", extra="gpu")
        return Backend("cupy", cupy, cupy.asnumpy)
    raise InputError(
        "unknown backend", found=repr(name), fix=f"choose from {', '.join(get_args(BackendName))}"
    )
