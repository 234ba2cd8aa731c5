"""Several weighting problems that share their members and are solved side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.shapes import Float
from unstill.weighting.data import Observed


@dataclass(frozen=True, eq=False)
class Problems:
    """Data of each problem and which of them it may see.

    Folds of a cross-validation differ in ``work``, permutations of a null
    control in ``intensity``, draws of a bootstrap in how often ``work`` counts
    an orbit.

    Parameters
    ----------
    observed
        What the problems share: orbits, multiplicities, shells and curves.
    intensity, precision
        ``(n_problems, n_orbits)`` data and 1/σ².
    work
        ``(n_problems, n_orbits)`` how often each orbit counts; 0 where it is
        held out or not measured.
    """

    observed: Observed
    intensity: Float[np.ndarray, "problems orbits"]
    precision: Float[np.ndarray, "problems orbits"]
    work: Float[np.ndarray, "problems orbits"]

    @classmethod
    def of(cls, data: Sequence[Observed], work: Sequence[np.ndarray]) -> Problems:
        """One problem for each pair of data and work set."""
        return cls(
            data[0],
            np.stack([one.intensity for one in data]),
            np.stack([one.precision for one in data]),
            np.stack([np.where(one.measured, w, 0.0) for one, w in zip(data, work, strict=True)]),
        )

    @property
    def n_problems(self) -> int:
        """Number of problems."""
        return len(self.work)

    @property
    def n_work(self) -> Float[np.ndarray, " problems"]:
        """Orbits that count, by problem."""
        total: np.ndarray = self.work.sum(axis=1)
        return total

    def take(self, which: np.ndarray | slice) -> Problems:
        """Return some of the problems."""
        return Problems(
            self.observed, self.intensity[which], self.precision[which], self.work[which]
        )
