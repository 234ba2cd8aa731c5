r"""Gaussian likelihood with an unknown common error of the data.

Where the σ of a map are right only up to a factor, or a model cannot fit to
within them, that factor is a further unknown. With its best value the negative
log-likelihood of an orbit is

.. math:: L = \tfrac12 \ln\Big( \frac1N \sum_h
          \frac{(y - k\,x - b(s))^2}{\sigma^2} \Big)

up to a constant. The entropy then weighs against what the data say at the
noise that they really have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unstill.weighting.backends import Backend
from unstill.weighting.problems import Problems
from unstill.weighting.targets.chi_square import FittedScale


@dataclass(frozen=True)
class Likelihood:
    """½ ln χ², scale and curve eliminated."""

    name: str = "likelihood"

    def prepare(self, problems: Problems, backend: Backend) -> _Prepared:
        """Bring the data to a backend."""
        return _Prepared(FittedScale(problems, backend), backend.xp)


@dataclass(frozen=True, eq=False)
class _Prepared:
    chi_square: FittedScale
    xp: Any

    def value_and_gradient(self, x: Any, which: Any) -> tuple[Any, Any]:
        """½ ln χ² and its gradient."""
        half, gradient = self.chi_square.value_and_gradient(x, which)
        # Data that are fitted exactly, as in a toy without noise, have no logarithm.
        floor = 0 * half + 1e-300
        half = self.xp.where(half > floor, half, floor)
        return self.xp.log(2 * half) / 2, gradient / (2 * half)[:, None]
