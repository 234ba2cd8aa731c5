"""Rows in the order of their voxels, and sums over the rows of a voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.maps.observations import Observations, concatenate
from unstill.reduction.merging.halves import hashed_half
from unstill.reduction.merging.representatives import merging_operations, packed, representatives
from unstill.shapes import Float, Int

_DRAW_BITS = 12
_VOXELS_A_SHELL = 200
_MOST_SHELLS = 60


@dataclass(frozen=True, eq=False)
class VoxelRows:
    """Rows that can be used, those of one voxel together, in an order of their own.

    Parameters
    ----------
    observations
        The rows, sorted.
    source
        ``(n,)`` where each row was in the table.
    start
        ``(v,)`` first row of each voxel.
    voxel
        ``(n,)`` number of the voxel of each row.
    """

    observations: Observations
    source: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " v"]
    voxel: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.voxel)

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return len(self.start)

    @cached_property
    def s(self) -> Float[np.ndarray, " v"]:
        """1/d (Å⁻¹) of each voxel, the centroid of its first row."""
        s: np.ndarray = self.observations.s[self.start]
        return s

    @cached_property
    def shells(self) -> tuple[Int[np.ndarray, " v"], Float[np.ndarray, " n_shells"]]:
        """Resolution shell of each voxel, and the mean 1/d of each shell."""
        n_shells = int(np.clip(len(self.s) // _VOXELS_A_SHELL, 1, _MOST_SHELLS))
        edges = np.unique(np.quantile(self.s, np.linspace(0, 1, n_shells + 1)[1:-1]))
        _, shell = np.unique(np.searchsorted(edges, self.s), return_inverse=True)
        return shell, np.bincount(shell, weights=self.s) / np.bincount(shell)

    def sums(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " v"]:
        """Sum over the rows of each voxel, one row after the other."""
        total: np.ndarray = np.bincount(self.voxel, weights=values, minlength=self.n_voxels)
        return total

    def multiplicity(self) -> Int[np.ndarray, " v"]:
        """Rows of each voxel."""
        return np.bincount(self.voxel, minlength=self.n_voxels)

    def take_voxels(self, chosen: np.ndarray) -> VoxelRows:
        """Return the rows of some voxels (boolean mask)."""
        rows = np.flatnonzero(chosen[self.voxel])
        return _grouped(self.observations.take(rows), self.source[rows], self.voxel[rows])


def voxel_rows(observations: Observations) -> VoxelRows:
    """Sort usable rows by their voxel under Laue symmetry, Friedel mates together.

    The order depends on what rows are and not on where they are in the table.
    Rows without exposure, or with numbers that are not finite, are left out.
    """
    source = np.flatnonzero(usable_rows(observations))
    operations = merging_operations(observations.crystal, observations.divisions)
    key = packed(representatives(operations, observations.index[source])[0])
    order = _order(observations, source, key)
    return _grouped(observations.take(source[order]), source[order], key[order])


def usable_rows(observations: Observations) -> np.ndarray:
    """Tell which rows have exposure and finite numbers (boolean mask)."""
    usable: np.ndarray = observations.exposure > 0
    for name in ("counts", "exposure", "background", "background_sigma", "x", "y", "phi", "s"):
        usable &= np.isfinite(getattr(observations, name))
    return usable


def joined_rows(parts: Sequence[VoxelRows]) -> VoxelRows:
    """Put rows of different voxels below each other; where they came from is not kept."""
    if len(parts) == 1:
        return parts[0]
    n_rows = np.cumsum([0, *(len(part) for part in parts)])
    n_voxels = np.cumsum([0, *(part.n_voxels for part in parts)])
    return VoxelRows(
        concatenate([part.observations for part in parts]),
        np.full(n_rows[-1], -1),
        np.concatenate([part.start + n for part, n in zip(parts, n_rows[:-1], strict=True)]),
        np.concatenate([part.voxel + n for part, n in zip(parts, n_voxels[:-1], strict=True)]),
    )


def _grouped(observations: Observations, source: np.ndarray, key: np.ndarray) -> VoxelRows:
    first = np.ones(len(key), dtype=bool)
    first[1:] = key[1:] != key[:-1]
    return VoxelRows(observations, source, np.flatnonzero(first), np.cumsum(first) - 1)


def _order(observations: Observations, source: np.ndarray, key: np.ndarray) -> np.ndarray:
    place = (observations.sweep[source].astype(np.int64) << 32) | observations.block[source]
    index = packed(observations.index[source])
    further = (observations.counts[source], observations.exposure[source])
    return np.lexsort((*further, observations.panel[source], index, place, key))


def random_voxels(rows: VoxelRows, fraction: float, seed: int) -> np.ndarray:
    """Choose about a fraction of the voxels (boolean mask); see :func:`drawn`."""
    table = rows.observations
    return drawn(table, table.index[rows.start], fraction, seed)


def drawn(observations: Observations, index: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw about a fraction of all voxels by a hash of the representative and the seed.

    Parameters
    ----------
    observations
        Whose lattice it is.
    index
        ``(n, 3)`` voxels as measured: mates are drawn together.
    fraction
        0 to 1.
    seed
        Of the draw.
    """
    operations = merging_operations(observations.crystal, observations.divisions)
    columns = np.moveaxis(representatives(operations, index)[0], -1, 0)
    draw = np.zeros(len(index))
    for bit in range(_DRAW_BITS):
        draw = 2 * draw + hashed_half(seed * _DRAW_BITS + bit, *columns)
    chosen: np.ndarray = draw < fraction * 2**_DRAW_BITS
    return chosen
