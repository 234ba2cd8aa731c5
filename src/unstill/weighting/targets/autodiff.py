"""Any target, written in JAX and differentiated by it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.optional import require
from unstill.weighting.backends import Backend
from unstill.weighting.problems import Problems

Loss = Callable[[Any, Any, Any, Any], Any]
"""``loss(x, y, weight, s)`` of calculated and observed intensities, weights and 1/d, a number."""


@dataclass(frozen=True, eq=False)
class AutodiffTarget:
    r"""A loss of your own; JAX finds the gradient.

    Parameters
    ----------
    loss
        Called for one problem with arrays ``(n_orbits,)``: x (calculated) and
        y (observed), weight (1/σ², 0 where an orbit is held out or was not
        measured) and s (1/d in Å⁻¹); returns a number that shall become
        small. It must be made of ``jax.numpy`` functions.
    name
        What to call it.

    Examples
    --------
    A sum of squares that trusts the scale of the data::

        def absolute(x, y, weight, s):
            return (weight * (y - x) ** 2).sum() / (2 * (weight > 0).sum())

        target = AutodiffTarget(absolute)
    """

    loss: Loss
    name: str = "autodiff"

    @classmethod
    def from_file(cls, place: str) -> AutodiffTarget:
        """Load ``FILE.py:FUNCTION``.

        Raises
        ------
        InputError
            If there is no such file or function, or the file does not run.
        """
        file, _, function = place.rpartition(":")
        path = Path(file)
        if not path.is_file() or not function:
            raise InputError(
                "no such target",
                found=repr(place),
                fix="give FILE.py:FUNCTION, where FUNCTION(x, y, weight, s) returns a number",
            )
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except ImportError:
            raise
        except Exception as error:
            raise InputError(
                "the file of the target does not run",
                found=f"{path.name}: {type(error).__name__}: {error}",
                fix="mend it, until python runs it without an error",
            ) from error
        loss = getattr(module, function, None)
        if not callable(loss):
            raise InputError(
                "the file defines no such function",
                found=f"{function} in {path.name}",
                fix="give FILE.py:FUNCTION, where FUNCTION(x, y, weight, s) returns a number",
            )
        return cls(loss, name=place)

    def prepare(self, problems: Problems, backend: Backend) -> _Prepared:
        """Bring the data to a backend.

        Raises
        ------
        MissingExtraError
            If JAX is not installed.
        """
        return _Prepared(self.loss, problems, backend)


class _Prepared:
    def __init__(self, loss: Loss, problems: Problems, backend: Backend) -> None:
        self._jax = require("jax", extra="jax")
        self._backend = backend
        with self._jax.enable_x64(True):
            xp = self._jax.numpy
            self._y = xp.asarray(problems.intensity)
            self._weight = xp.asarray(problems.work * problems.precision)
            self._s = xp.asarray(problems.observed.orbits.s)
            rows = self._jax.vmap(self._jax.value_and_grad(loss), in_axes=(0, 0, 0, None))
            self._rows = self._jax.jit(rows)

    def value_and_gradient(self, x: Any, which: Any) -> tuple[Any, Any]:
        """Value of the loss, and its gradient by automatic differentiation."""
        # JAX is asked on any backend: it takes and gives ordinary numbers.
        with self._jax.enable_x64(True):
            x = self._jax.numpy.asarray(self._backend.to_host(x))
            value, gradient = self._derived(x, which)
            if self._backend.name == "jax":
                return value, gradient
            return self._backend.array(np.asarray(value)), self._backend.array(
                np.asarray(gradient)
            )

    def _derived(self, x: Any, which: Any) -> tuple[Any, Any]:
        try:
            found: tuple[Any, Any] = self._rows(x, self._y[which], self._weight[which], self._s)
        except (TypeError, ValueError, AttributeError, NameError) as error:
            first = " ".join(str(error).split())[:200]
            raise InputError(
                "JAX cannot differentiate the target",
                found=f"{type(error).__name__}: {first}",
                fix="make it a function of x, y, weight, s that returns one number, out of "
                "jax.numpy functions",
            ) from error
        return found
