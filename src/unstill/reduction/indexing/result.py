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
from unstill.reduction.indexing.turning import NEAR_AXIS, crossing_rates


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
        return judged_spots(self.experiment, self.spots)

    @property
    def on_axis(self) -> np.ndarray:
        """``(n,)`` bool: spots seen entire, but so near the rotation axis that they graze."""
        rates = crossing_rates(self.experiment, self.spots)
        near: np.ndarray = self.spots.whole & (rates < NEAR_AXIS)
        return near

    @property
    def share(self) -> float:
        """Of the spots that are judged: those that are indexed."""
        return float(self.indexed[self.judged].mean())


def judged_spots(experiment: Experiment, spots: Spots) -> np.ndarray:
    """``(n,)`` bool: spots seen entire, whose place and angle mean something.

    Not those that a gap or an end of the scan cuts, and not those on the
    rotation axis, which graze the Ewald sphere. Where a scan is so short that
    its ends cut nearly all spots, those too.
    """
    off_axis = crossing_rates(experiment, spots) >= NEAR_AXIS
    for seen in (spots.whole & off_axis, ~spots.cut & off_axis):
        if seen.sum() >= FEWEST_SPOTS:
            return seen
    return np.ones(len(spots), bool)
