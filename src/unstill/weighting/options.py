"""How members are weighed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from unstill.errors import InputError
from unstill.weighting.objective import Search, lbfgs
from unstill.weighting.targets import ChiSquare, Target

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, steps done, steps in all."""

N_NULL = 20
"""Permutations of the data in the null control."""

N_BOOTSTRAP = 50
"""Refits of the weights to blocks drawn with replacement."""

Theta = float | Literal["auto", "l-curve"]
"""Price of entropy: a number, by held-out likelihood, or by the L-curve."""


@dataclass(frozen=True)
class Options:
    """How members are weighed.

    Parameters
    ----------
    target
        What is minimised.
    theta
        Price of entropy.
    holdout
        Share of the data in the free set.
    search
        From a function and a start to a minimum; L-BFGS by default.
    n_null, n_bootstrap
        Permutations of the null control, and refits that say how sure weights are.
    force
        Accept weights that have collapsed.
    seed
        Of the free set, the folds, the permutations and the bootstraps.
    workers
        Threads; the result does not depend on it.
    """

    target: Target = field(default_factory=ChiSquare)
    theta: Theta = "auto"
    holdout: float = 0.1
    search: Search = field(default_factory=lbfgs)
    n_null: int = N_NULL
    n_bootstrap: int = N_BOOTSTRAP
    force: bool = False
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.theta, str) and not (
            np.isfinite(self.theta) and float(self.theta) >= 0
        ):
            raise InputError(
                "θ is the price of entropy: a finite number, and not negative",
                found=self.theta,
                fix="give a number from 0 up, auto, or l-curve",
            )
        if isinstance(self.theta, str) and self.theta not in ("auto", "l-curve"):
            raise InputError(
                "unknown way to choose θ",
                found=repr(self.theta),
                fix="give a number, auto, or l-curve",
            )


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody of the progress."""
    del stage, done, total
