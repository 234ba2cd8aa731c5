"""Which orbits the fit may see: work set, free set, and folds of the work set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal.symmetry import map_to_asu
from unstill.errors import InputError
from unstill.shapes import Bool, Int
from unstill.weighting.data import Observed, blocks_of
from unstill.weighting.orbits import Orbits

N_BLOCKS = 200
"""Blocks of reciprocal space to aim at."""

N_FOLDS = 5

_FEWEST_FREE = 30


@dataclass(frozen=True, eq=False)
class HoldOut:
    """Partition of the orbits.

    Laue mates are one orbit and neighbours share a block, so that nothing in
    the work set repeats what the free set holds, but for neighbours across the
    faces of blocks.

    Parameters
    ----------
    free
        ``(n_orbits,)`` True for orbits that no fit and no choice sees.
    block
        ``(n_orbits,)`` block of reciprocal space.
    fold
        ``(n_orbits,)`` fold of the cross-validation; −1 in the free set.
    measured
        ``(n_orbits,)`` as in the data.
    touching
        Share of the free set that has a neighbour in the work set, one voxel
        away: what is left of leakage where features are wider than a voxel.
    """

    free: Bool[np.ndarray, " orbits"]
    block: Int[np.ndarray, " orbits"]
    fold: Int[np.ndarray, " orbits"]
    measured: Bool[np.ndarray, " orbits"]
    touching: float = 0.0

    @property
    def work(self) -> Bool[np.ndarray, " orbits"]:
        """Measured and not free."""
        seen: np.ndarray = self.measured & ~self.free
        return seen

    @property
    def n_free(self) -> int:
        """Measured orbits of the free set."""
        return int(np.count_nonzero(self.free & self.measured))

    @property
    def n_work(self) -> int:
        """Orbits of the work set."""
        return int(np.count_nonzero(self.work))


def hold_out(
    observed: Observed, fraction: float = 0.1, *, n_folds: int = N_FOLDS, seed: int = 0
) -> HoldOut:
    """Draw the free set, and folds of the rest, in whole blocks.

    Parameters
    ----------
    observed
        The data.
    fraction
        Share of the measured orbits in the free set.
    n_folds
        Folds of the cross-validation that chooses θ.
    seed
        Of the draw.

    Raises
    ------
    InputError
        If the fraction is not between 0 and 0.5, or the data are too few to
        hold any out.
    """
    if not 0 < fraction <= 0.5:
        raise InputError(
            "the share of held-out data is out of range",
            found=fraction,
            fix="give a --holdout above 0 and up to 0.5; 0.1 is usual",
        )
    measured = observed.measured
    block = blocks_of(observed.orbits, measured, N_BLOCKS)
    count = np.bincount(block[measured], minlength=int(block.max()) + 1)
    filled = np.flatnonzero(count)
    order = np.random.default_rng(seed).permutation(filled)
    before = np.cumsum(count[order]) - count[order]
    # A block goes where most of it falls, so that the share is met on average.
    taken = before + count[order] / 2 < fraction * count.sum()
    rest = order[~taken]
    if count[order[taken]].sum() < _FEWEST_FREE or len(rest) < 2 * n_folds:
        raise InputError(
            "too few points to hold some out",
            found=f"{int(count.sum())} Laue-unique points in {len(filled)} blocks",
            fix="widen the resolution limits, or hold out a larger share (--holdout)",
        )
    fold_of_block = np.full(len(count), -1)
    fold_of_block[rest] = np.arange(len(rest)) % n_folds
    free_block = np.zeros(len(count), dtype=bool)
    free_block[order[taken]] = True
    free = free_block[block]
    touching = _touching(observed.orbits, free & measured, measured & ~free)
    return HoldOut(free, block, fold_of_block[block], measured, touching)


def _touching(orbits: Orbits, free: np.ndarray, work: np.ndarray) -> float:
    """Share of the free orbits with a neighbour, along an axis, in the work set."""
    index = orbits.index.astype(np.int64)
    bound = int(np.abs(index).max()) * 4 + 4

    def keys(at: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.ravel_multi_index(tuple((at + bound).T), (2 * bound,) * 3)
        return found

    in_work = keys(index[work])
    near = np.zeros(int(free.sum()), dtype=bool)
    for shift in (*np.eye(3, dtype=np.int64), *-np.eye(3, dtype=np.int64)):
        mates = map_to_asu(orbits.crystal, index[free] + shift, orbits.divisions)
        near |= np.isin(keys(mates), in_work)
    return float(near.mean())
