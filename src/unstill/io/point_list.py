"""Between a map, which is a box of voxels, and a list of Miller indices with values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import FormatError, InputError
from unstill.io.reading import REMEDY
from unstill.maps import IntensityMap

_MOST_VOXELS = 1 << 31


@dataclass(frozen=True)
class PointList:
    """Values at grid indices H; hkl = H / divisions.

    ``index`` is ``(n, 3)``, ``intensity``, ``sigma`` and ``n_obs`` are ``(n,)``.
    """

    index: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray | None = None
    n_obs: np.ndarray | None = None


def points_of(map: IntensityMap) -> PointList:
    """Return the usable voxels of a map, in C order of the box."""
    usable = map.measured
    return PointList(
        map.grid.index()[usable],
        map.intensity[usable],
        None if map.sigma is None else map.sigma[usable],
        None if map.n_obs is None else map.n_obs[usable],
    )


def map_of(
    path: Path,
    points: PointList,
    crystal: Crystal,
    divisions: Triple,
    *,
    grid: HklGrid | None = None,
    operations: np.ndarray | None = None,
) -> IntensityMap:
    """Fill a box with listed values; voxels that are not listed are masked.

    Parameters
    ----------
    path
        Where the list comes from, for messages.
    points
        The list; no index twice.
    crystal, divisions
        Of the map.
    grid
        The box; by default the smallest that holds the points and their mates.
    operations
        ``(n, 3, 3)`` operations on the index (row vectors, H @ R) whose mates
        take the value of a listed point, unless they are listed themselves.

    Raises
    ------
    FormatError
        If there are no points, an index stands twice, or the box would be absurd.
    """
    if len(points.index) == 0:
        raise FormatError(f"{path.name} lists no intensities", found=path, fix=REMEDY)
    index = points.index.astype(np.int64)
    _check_unique(path, index)
    mates = [index] if operations is None else [index @ rotation for rotation in operations]
    grid = _box(path, np.concatenate(mates), divisions) if grid is None else grid
    if not grid.contains(index).all():
        raise FormatError(
            f"{path.name} lists indices outside its own box", found=f"{grid}", fix=REMEDY
        )
    # The listed value itself is written last and wins over those of its mates.
    places = [(grid.contains(mate), mate) for mate in [*mates, index]]

    def filled(values: np.ndarray, fill: float) -> np.ndarray:
        box = np.full(grid.size, fill)
        for inside, mate in places:
            box[grid.position(mate[inside])] = values[inside]
        return box.reshape(grid.shape)

    return IntensityMap(
        crystal,
        grid,
        filled(points.intensity, np.nan),
        sigma=None if points.sigma is None else filled(points.sigma, np.nan),
        n_obs=None if points.n_obs is None else filled(points.n_obs, 0).astype(np.int64),
    )


def has_friedel_pairs(index: np.ndarray) -> bool:
    """Whether any index other than the origin is listed together with its Friedel mate."""
    away = index[np.any(index != 0, axis=1)].astype(np.int64)
    return len(np.unique(np.concatenate([away, -away]), axis=0)) < 2 * len(away)


def guess_divisions(path: Path, hkl: np.ndarray) -> Triple:
    """Least divisions that make fractional hkl whole.

    Hkl of two decimals (thirds as 0.33) can tell up to 12 divisions, more
    decimals up to 48.

    Raises
    ------
    InputError
        If no such number does.
    """
    coarse = np.abs(hkl - np.round(hkl, 2)).max(initial=0) < 1e-9
    tolerance, most = (0.0055, 12) if coarse else (1e-3, 48)
    found = []
    for name, values in zip("hkl", np.abs(hkl.T), strict=True):
        distinct = np.unique(values)
        fits = (
            n
            for n in range(1, most + 1)
            if np.abs(distinct - np.rint(distinct * n) / n).max(initial=0) < tolerance
        )
        divisions = next(fits, None)
        if divisions is None:
            raise InputError(
                f"the {name} of {path.name} lie on no regular grid",
                found=f"for example {distinct[len(distinct) // 2]:g}",
                fix="give the divisions (unstill map convert --file-divisions), or write hkl "
                "with more decimals",
            )
        found.append(divisions)
    h, k, l = found
    return h, k, l


def _check_unique(path: Path, index: np.ndarray) -> None:
    distinct, count = np.unique(index, axis=0, return_counts=True)
    if len(distinct) < len(index):
        example = tuple(int(value) for value in distinct[np.argmax(count)])
        raise FormatError(
            f"{path.name} lists indices more than once",
            found=f"{len(index) - len(distinct)} repeats, for example {example}",
            fix="merge the observations first",
        )


def _box(path: Path, index: np.ndarray, divisions: Triple) -> HklGrid:
    start, stop = index.min(axis=0), index.max(axis=0) + 1
    shape = stop - start
    if float(np.prod(shape.astype(float))) > _MOST_VOXELS:
        raise FormatError(
            f"{path.name} spans more voxels than a map can hold",
            found=f"{' × '.join(str(n) for n in shape)}",
            fix=REMEDY,
        )
    (h, k, l), (nh, nk, nl) = start.tolist(), shape.tolist()
    return HklGrid((h, k, l), (nh, nk, nl), divisions)
