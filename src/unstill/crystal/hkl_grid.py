"""A regular box of fractional Miller coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unstill.crystal.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Float, Hkl, HklIndex, Int

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class HklGrid:
    """A regular box of fractional hkl, exact in integers: h = (start + i) / divisions.

    The grid index H = start + i is the Miller index of the supercell that has
    ``divisions`` unit cells along each axis, so maps of one crystal align by
    integers and never by comparing floats.

    Parameters
    ----------
    start
        Grid index H of the first voxel.
    shape
        Number of voxels along h, k, l.
    divisions
        Voxels a reciprocal-lattice vector; 2, 2, 2 holds the half-integers.

    Raises
    ------
    InputError
        If a shape or a division is not positive.

    Examples
    --------
    >>> grid = HklGrid(start=(-2, 0, 0), shape=(5, 1, 1), divisions=(2, 2, 2))
    >>> grid.axes()[0].tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """

    start: Triple
    shape: Triple
    divisions: Triple = (1, 1, 1)

    def __post_init__(self) -> None:
        for name in ("start", "shape", "divisions"):
            values = tuple(int(value) for value in getattr(self, name))
            if len(values) != 3 or (name != "start" and min(values) < 1):
                raise InputError(
                    f"{name} of a grid needs three counts",
                    found=values,
                    fix="give positive integers for h, k and l",
                )
            object.__setattr__(self, name, values)

    @classmethod
    def covering(cls, crystal: Crystal, d_min: float, divisions: Triple = (1, 1, 1)) -> HklGrid:
        """Return the smallest box centred on the origin that holds the sphere d ≥ d_min (Å)."""
        if not (np.isfinite(d_min) and d_min > 0):
            raise InputError("d_min must be positive", found=d_min, fix="give it in angstroms")
        lengths = np.linalg.norm(crystal.orthogonalization_matrix, axis=0)
        # |h| = |a · s| ≤ |a| / d_min; the small number keeps the edge itself inside.
        half = np.floor(np.array(divisions) * lengths / d_min + 1e-9).astype(int)
        h, k, l = (int(value) for value in half)
        return cls((-h, -k, -l), (2 * h + 1, 2 * k + 1, 2 * l + 1), divisions)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def stop(self) -> Triple:
        """Grid index one past the last voxel."""
        h, k, l = (a + n for a, n in zip(self.start, self.shape, strict=True))
        return h, k, l

    def axes(
        self,
    ) -> tuple[Float[np.ndarray, " h"], Float[np.ndarray, " k"], Float[np.ndarray, " l"]]:
        """Fractional h, k and l along each axis."""
        h, k, l = (
            np.arange(a, a + n) / division
            for a, n, division in zip(self.start, self.shape, self.divisions, strict=True)
        )
        return h, k, l

    def index(self) -> Int[np.ndarray, "h k l 3"]:
        """Grid index H of every voxel."""
        axes = [np.arange(a, a + n) for a, n in zip(self.start, self.shape, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def hkl(self) -> Float[np.ndarray, "h k l 3"]:
        """Fractional Miller coordinates of every voxel."""
        hkl: np.ndarray = self.index() / np.array(self.divisions)
        return hkl

    def contains(self, index: HklIndex) -> np.ndarray:
        """Whether grid indices H lie in the box."""
        start, stop = np.array(self.start), np.array(self.stop)
        inside: np.ndarray = np.asarray(np.all((index >= start) & (index < stop), axis=-1))
        return inside

    def position(self, index: HklIndex) -> np.ndarray:
        """Flat C-order position of grid indices H; only for those in the box."""
        i, j, k = np.moveaxis(np.asarray(index) - np.array(self.start), -1, 0)
        flat: np.ndarray = np.asarray((i * self.shape[1] + j) * self.shape[2] + k)
        return flat

    def index_of(self, hkl: Hkl, *, tolerance: float = 1e-3) -> HklIndex:
        """Grid index H of fractional hkl that lie on grid points.

        Raises
        ------
        InputError
            If a point is further than ``tolerance`` (in voxels) from a grid point.
        """
        exact = np.asarray(hkl, dtype=float) * np.array(self.divisions)
        nearest = np.rint(exact)
        if exact.size and np.abs(exact - nearest).max() > tolerance:
            raise InputError(
                "Miller coordinates do not lie on the grid",
                found=f"divisions {self.divisions}",
                fix="resample, or give the divisions of the grid",
            )
        index: np.ndarray = nearest.astype(np.int64)
        return index


def common_divisions(grids: list[HklGrid]) -> Triple:
    """Divisions shared by all grids.

    Raises
    ------
    InputError
        If two grids differ.
    """
    for first, second in pairwise(grids):
        if first.divisions != second.divisions:
            raise InputError(
                "maps are sampled differently",
                found=f"divisions {first.divisions} and {second.divisions}",
                fix="resample one of them with: unstill map resample",
            )
    return grids[0].divisions
