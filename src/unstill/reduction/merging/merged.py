"""A merged data set: a table of unique voxels, and the maps that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.maps import IntensityMap
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.expectation import Expectation
from unstill.shapes import Float, Int, Integer


@dataclass(frozen=True, eq=False)
class Merged:
    """Unique voxels with everything that merging knows about them.

    A table and not a box: reciprocal space is mostly outside the sphere, and
    mates need not be stored. :meth:`to_map` and the properties make boxes.

    Parameters
    ----------
    crystal, divisions
        The lattice.
    operations
        What made voxels one, H' = H @ R.
    index
        ``(v, 3)`` int32 representatives, ascending.
    intensity, sigma
        ``(v,)``; NaN where every row was rejected.
    n_obs, n_rejected
        ``(v,)`` rows merged, and rows left out.
    multiplicity
        ``(v,)`` how many times the volume of the voxel was swept.
    expected
        ``(v,)`` intensity at which variances are taken.
    deviations
        ``(v,)`` Σ residual² / variance of the rows.
    half_intensity, half_sigma, half_n
        ``(4, v)`` of the random halves 0, 1 and the Friedel halves 0, 1; NaN
        where a half saw nothing.
    expectation
        Mean and spread by resolution that weights came from.
    error_model
        Variance of counts.
    grid
        Box of the maps; ``None`` for the smallest with all mates.
    provenance
        What made this.
    """

    COLUMNS: ClassVar[dict[str, int]] = {
        "index": 0,
        "intensity": 0,
        "sigma": 0,
        "n_obs": 0,
        "n_rejected": 0,
        "multiplicity": 0,
        "expected": 0,
        "deviations": 0,
        "half_intensity": 1,
        "half_sigma": 1,
        "half_n": 1,
    }

    crystal: Crystal
    divisions: Triple
    operations: Int[np.ndarray, "n_operations 3 3"]
    index: Integer[np.ndarray, "v 3"]
    intensity: Float[np.ndarray, " v"]
    sigma: Float[np.ndarray, " v"]
    n_obs: Int[np.ndarray, " v"]
    n_rejected: Int[np.ndarray, " v"]
    multiplicity: Float[np.ndarray, " v"]
    expected: Float[np.ndarray, " v"]
    deviations: Float[np.ndarray, " v"]
    half_intensity: Float[np.ndarray, "4 v"]
    half_sigma: Float[np.ndarray, "4 v"]
    half_n: Int[np.ndarray, "4 v"]
    expectation: Expectation
    error_model: ErrorModel
    grid: HklGrid | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.intensity)

    @property
    def n_voxels(self) -> int:
        """Unique voxels with an intensity."""
        return int(np.count_nonzero(np.isfinite(self.intensity)))

    @property
    def chi2(self) -> float:
        """Reduced χ² of the rows about their voxels; NaN if no voxel has two."""
        several = self.n_obs >= 2
        freedom = int((self.n_obs[several] - 1).sum())
        return float(self.deviations[several].sum() / freedom) if freedom else float("nan")

    @cached_property
    def map(self) -> IntensityMap:
        """The map, symmetry mates filled in."""
        return self.to_map()

    @property
    def random_halves(self) -> tuple[IntensityMap, IntensityMap]:
        """Maps of the two random halves, on the box of :attr:`map`."""
        return self._half(0), self._half(1)

    @property
    def friedel_halves(self) -> tuple[IntensityMap, IntensityMap]:
        """Maps of the two Friedel halves, on the box of :attr:`map`."""
        return self._half(2), self._half(3)

    def s(self) -> Float[np.ndarray, " v"]:
        """1/d (Å⁻¹) of the voxels."""
        s: np.ndarray = np.sqrt(self.crystal.s_squared(self.index / np.array(self.divisions)))
        return s

    def to_map(self, *, expand: bool = True, half: int | None = None) -> IntensityMap:
        """Fill a box of fractional hkl.

        Parameters
        ----------
        expand
            Fill in the mates of each voxel. Otherwise only representatives
            stand in the box, which is then a fraction as large (for fine maps;
            ``unstill map symmetrize --expand`` fills it later).
        half
            0, 1 random or 2, 3 Friedel; the whole by default.

        Returns
        -------
        map
            A voxel whose rows were all rejected is masked with ``n_obs > 0``.
        """
        operations = self.operations if expand else self.operations[:1]
        grid = self.grid if self.grid is not None else self.box(operations)
        return self.boxed(grid, half=half, expand=expand)

    def boxed(
        self, grid: HklGrid, *, half: int | None = None, expand: bool = False
    ) -> IntensityMap:
        """Fill a given box; see :meth:`to_map`."""
        intensity, sigma, n_obs = self._columns(half)
        rejected_only = (n_obs == 0) & (half is None)
        n_obs = np.where(rejected_only, self.n_rejected, n_obs)
        arrays = [
            np.full(grid.size, np.nan),
            np.full(grid.size, np.nan),
            np.zeros(grid.size, dtype=np.int32),
        ]
        for operation in self.operations if expand else self.operations[:1]:
            mates = self.index @ operation
            inside = grid.contains(mates)
            places = grid.position(mates[inside])
            for array, values in zip(arrays, (intensity, sigma, n_obs), strict=True):
                array[places] = values[inside]
        boxes = [array.reshape(grid.shape) for array in arrays]
        return IntensityMap(
            self.crystal, grid, boxes[0], boxes[1], boxes[2], provenance=self.provenance
        )

    def values_in_box(
        self, values: Float[np.ndarray, " v"], grid: HklGrid, *, expand: bool = True
    ) -> Float[np.ndarray, "h k l"]:
        """Spread one number a voxel (say, its multiplicity) over a box; NaN where none is."""
        box = np.full(grid.size, np.nan)
        for operation in self.operations if expand else self.operations[:1]:
            mates = self.index @ operation
            inside = grid.contains(mates)
            box[grid.position(mates[inside])] = values[inside]
        return box.reshape(grid.shape)

    def _columns(self, half: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if half is None:
            return self.intensity, self.sigma, self.n_obs
        return self.half_intensity[half], self.half_sigma[half], self.half_n[half]

    def _half(self, number: int) -> IntensityMap:
        return self.to_map(half=number)

    def box(self, operations: np.ndarray) -> HklGrid:
        """Smallest box that holds all voxels and their mates under some operations."""
        low, high = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
        first = True
        for operation in operations:
            mates = self.index @ operation
            least, most = mates.min(axis=0), mates.max(axis=0)
            low = least if first else np.minimum(low, least)
            high = most if first else np.maximum(high, most)
            first = False
        h, k, l = (int(value) for value in low)
        n_h, n_k, n_l = (int(value) for value in high - low + 1)
        return HklGrid((h, k, l), (n_h, n_k, n_l), self.divisions)
