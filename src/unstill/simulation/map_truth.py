"""A truth that is an intensity map, interpolated."""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.compiled import kernel
from unstill.crystal import Crystal
from unstill.errors import InputError, UnstillWarning
from unstill.maps import IntensityMap
from unstill.maps.symmetrize import symmetrize
from unstill.shapes import Float, Hkl


@dataclass(frozen=True, eq=False)
class MapTruth:
    """An intensity map between its voxels, Laue-expanded (trilinear interpolation).

    Parameters
    ----------
    map
        One asymmetric unit is enough. Among the eight voxels around a point
        those without a value are left out, and the weights of the others
        share the rest.
    outside
        Intensity where no voxel has a value.
    missing_share
        Warn if more than this share of the voxels up to the d_min of the map has no value.

    Raises
    ------
    InputError
        If the map is empty.

    Warns
    -----
    UnstillWarning
        If part of the sphere has no value, or a value is negative.

    Notes
    -----
    On the voxels the Laue symmetry is exact. Between them it is so where the
    operations keep the box of eight voxels, which those with a threefold axis do not.
    """

    map: IntensityMap
    outside: float = 0.0
    missing_share: float = 0.02

    def __post_init__(self) -> None:
        if self.map.n_measured == 0:
            raise InputError(
                "the map holds no usable voxel", found="0 voxels", fix="give another map"
            )
        negative = int(np.count_nonzero(self.map.intensity[self.map.measured] < 0))
        if negative:
            warnings.warn(
                f"{negative} voxels of the map are negative, which nothing can scatter; they "
                "count as 0",
                UnstillWarning,
                stacklevel=2,
            )
        full = self.expanded
        inside = full.s_squared() <= (1 + 1e-9) / self.map.d_min**2
        missing = float(np.mean(full.mask[inside]))
        if missing > self.missing_share:
            warnings.warn(
                f"{missing:.0%} of the voxels within {self.map.d_min:.2f} Å have no intensity; "
                f"where none is near, the simulated crystal scatters {self.outside:g}",
                UnstillWarning,
                stacklevel=2,
            )

    @property
    def crystal(self) -> Crystal:
        """Unit cell and space group."""
        return self.map.crystal

    @cached_property
    def expanded(self) -> IntensityMap:
        """The map with all Laue mates."""
        return symmetrize(self.map, expand=True)

    @cached_property
    def _values(self) -> np.ndarray:
        full = self.expanded
        values = np.where(full.mask, np.nan, np.maximum(full.intensity, 0.0))
        return np.ascontiguousarray(values, dtype=np.float64)

    def at(self, hkl: Hkl) -> Float[np.ndarray, "*points"]:
        """Return the interpolated intensity at fractional Miller coordinates."""
        hkl = np.asarray(hkl, dtype=float)
        out = np.zeros(hkl.shape[:-1])
        self.add(out.reshape(-1), np.ascontiguousarray(hkl.reshape(-1, 3)), np.eye(3), 1.0)
        return out

    def add(
        self,
        out: Float[np.ndarray, " n"],
        s: Float[np.ndarray, "n 3"],
        hkl_matrix: Float[np.ndarray, "3 3"],
        weight: float,
    ) -> None:
        """Add weight · I(M s) to ``out``."""
        grid = self.expanded.grid
        matrix = np.array(grid.divisions)[:, None] * hkl_matrix
        _add_map(
            out, s, np.ascontiguousarray(matrix, dtype=np.float64), self._values,
            np.array(grid.start, dtype=np.float64), weight, float(self.outside),
        )  # fmt: skip

    def as_dict(self) -> dict[str, object]:
        """All parameters, for the record."""
        return {
            "kind": "map",
            "unit_cell": self.crystal.unit_cell,
            "space_group": self.crystal.space_group,
            "sha256": hashlib.sha256(self._values.tobytes()).hexdigest(),
            "divisions": self.map.grid.divisions,
            "d_min": self.map.d_min,
            "outside": self.outside,
        }


@kernel
def _add_map(
    out: np.ndarray,
    s: np.ndarray,
    matrix: np.ndarray,
    values: np.ndarray,
    start: np.ndarray,
    weight: float,
    outside: float,
) -> None:
    n0, n1, n2 = values.shape
    for n in range(len(out)):
        h = matrix[0, 0] * s[n, 0] + matrix[0, 1] * s[n, 1] + matrix[0, 2] * s[n, 2] - start[0]
        k = matrix[1, 0] * s[n, 0] + matrix[1, 1] * s[n, 1] + matrix[1, 2] * s[n, 2] - start[1]
        l = matrix[2, 0] * s[n, 0] + matrix[2, 1] * s[n, 1] + matrix[2, 2] * s[n, 2] - start[2]
        i, j, m = math.floor(h), math.floor(k), math.floor(l)
        fh, fk, fl = h - i, k - j, l - m
        total = 0.0
        weights = 0.0
        for di in range(2):
            for dj in range(2):
                for dm in range(2):
                    a, b, c = int(i) + di, int(j) + dj, int(m) + dm
                    if 0 <= a < n0 and 0 <= b < n1 and 0 <= c < n2:
                        value = values[a, b, c]
                        if value == value:  # not NaN
                            w = (
                                (fh if di else 1 - fh)
                                * (fk if dj else 1 - fk)
                                * (fl if dm else 1 - fl)
                            )
                            total += w * value
                            weights += w
        out[n] += weight * (total / weights if weights > 1e-9 else outside)
