"""What indexing found, and how well it explains the spots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.experiment import Experiment
from unstill.reduction.indexing.bravais import BravaisCandidate
from unstill.reduction.indexing.refine import Refined
from unstill.reduction.indexing.refusals import FEWEST_SPOTS
from unstill.reduction.indexing.second_lattice import SecondLattice
from unstill.reduction.indexing.spots import Spots


@dataclass(frozen=True, eq=False)
class IndexResult:
    """An indexed and refined experiment, and how well it explains its spots.

    Parameters
    ----------
    experiment
        With a lattice.
    spots
        All spots.
    hkl
        ``(n, 3)`` Miller indices; 0,0,0 where not indexed.
    indexed
        ``(n,)`` bool.
    residuals
        ``(n, 3)`` calculated minus observed fast, slow (pixels) and angle (degrees); NaN where
        not indexed.
    rmsd
        Root mean squares of the residuals of indexed spots that are judged: fast, slow (pixels),
        angle (degrees).
    refined
        Uncertainties and what is not determined.
    candidates
        Bravais lattices, if the cell was not known.
    second
        Another lattice among the spots that are not indexed, or ``None``.
    ice_rings
        Spacings (Å) of the rings of ice that hold many spots.
    history
        Every step: its name, spots used, share indexed, root mean squares.
    """

    experiment: Experiment
    spots: Spots
    hkl: np.ndarray
    indexed: np.ndarray
    residuals: np.ndarray
    rmsd: tuple[float, float, float]
    refined: Refined
    candidates: tuple[BravaisCandidate, ...]
    second: SecondLattice | None
    ice_rings: tuple[float, ...]
    history: tuple[dict[str, Any], ...]

    @property
    def judged(self) -> np.ndarray:
        """``(n,)`` bool: spots that tell how good the result is; see :func:`judged_spots`."""
        return judged_spots(self.spots)

    @property
    def share(self) -> float:
        """Of the spots that are judged: those that are indexed."""
        return float(self.indexed[self.judged].mean())


def judged_spots(spots: Spots) -> np.ndarray:
    """``(n,)`` bool: spots seen entire, whose place and angle mean something.

    Where a scan is so short that its ends cut nearly all of them, all that no
    gap of the detector cuts.
    """
    for seen in (spots.whole, ~spots.cut):
        if seen.sum() >= FEWEST_SPOTS:
            return seen
    return np.ones(len(spots), bool)
