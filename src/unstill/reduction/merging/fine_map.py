"""A fine map written slab by slab, with its halves and their agreement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unstill.crystal import HklGrid
from unstill.io.atomic import atomic_path
from unstill.io.nexus import (
    COMPRESSION,
    FORMAT,
    VERSION,
    fixed_text,
    open_entry,
    set_texts,
    write_crystal_group,
    write_provenance,
    writing_hdf5,
)
from unstill.reduction.merging.fine_slabs import Slabs
from unstill.reduction.merging.merged import Merged

_CHUNK = 64


@dataclass(frozen=True)
class FineShell:
    """A shell of a fine map: what was merged, and how well its halves agree."""

    d_max: float
    d_min: float
    n_voxels: int
    n_obs: int
    cc_half: float
    cc_friedel: float


@dataclass(frozen=True)
class FineMap:
    """What was written.

    Parameters
    ----------
    n_voxels, n_obs
        Unique voxels with an intensity, and rows behind them.
    chi2
        Reduced χ² of the rows about their voxels.
    overall
        All shells together.
    shells
        Low resolution first. Anisotropic parts are taken about the expected
        mean of the resolution, which the coarse map told.
    grid
        Box of the map: representatives only.
    """

    n_voxels: int
    n_obs: int
    chi2: float
    overall: FineShell
    shells: tuple[FineShell, ...]
    grid: HklGrid


def write_fine_map(
    pieces: Iterable[Merged],
    slabs: Slabs,
    paths: Mapping[int | None, Path],
    *,
    provenance: Mapping[str, Any] | None = None,
    n_shells: int = 20,
) -> FineMap:
    """Write merged slabs into map files (``.nxs``, float32), one plane range at a time.

    The files hold one representative of each Laue orbit; ``unstill map
    symmetrize --expand`` fills in the mates. Memory is that of one slab and of
    the compressed files.

    Parameters
    ----------
    pieces
        Merged slabs of :func:`~unstill.reduction.merging.merge_fine.merge_slabs`.
    slabs
        The cut that they belong to.
    paths
        Where the whole map (``None``) and the halves (0, 1 random, 2, 3
        Friedel) go; only what is named is written.
    provenance
        Written into every file.
    n_shells
        Shells of equal width in 1/d.

    Raises
    ------
    OutputError
        If a file cannot be written; nothing partial is left.
    """
    tally = _Tally(slabs, n_shells)
    with ExitStack() as stack:
        groups = {}
        for half, path in paths.items():
            temporary = stack.enter_context(atomic_path(Path(path)))
            file = stack.enter_context(writing_hdf5(temporary))
            groups[half] = _new_map(file, slabs, provenance or {})
        for piece in pieces:
            tally.add(piece)
            for half, group in groups.items():
                _write_slab(group, piece, slabs, half)
    return tally.result()


def _new_map(file: h5py.File, slabs: Slabs, provenance: Mapping[str, Any]) -> h5py.Group:
    entry = open_entry(file, FORMAT, VERSION, default="map")
    group = entry.create_group("map")
    set_texts(group, {"NX_class": "NXdata", "signal": "intensity"})
    group.attrs["axes"] = fixed_text(["h", "k", "l"])
    grid = slabs.grid
    kinds: dict[str, tuple[Any, Any]] = {
        "intensity": (np.float32, np.nan),
        "intensity_errors": (np.float32, np.nan),
        "n_obs": (np.int32, 0),
        "mask": (np.uint8, 1),
    }
    # As thick as a slab: what is written is not packed again for the next slab.
    thick = int(np.clip(np.median(np.diff(slabs.edges)), 1, _CHUNK))
    chunks = (min(grid.shape[0], thick), *(min(n, _CHUNK) for n in grid.shape[1:]))
    for name, (kind, empty) in kinds.items():
        group.create_dataset(name, grid.shape, kind, fillvalue=empty, chunks=chunks, **COMPRESSION)
    set_texts(group["mask"], {"meaning": "1: the voxel must not be used"})
    for number, (name, axis) in enumerate(zip("hkl", grid.axes(), strict=True)):
        group[name] = axis
        set_texts(group[name], {"units": "r.l.u."})
        group.attrs[f"{name}_indices"] = number
    group["divisions"] = np.array(grid.divisions, dtype=np.int64)
    group["start"] = np.array(grid.start, dtype=np.int64)
    write_crystal_group(entry, slabs.crystal)
    write_provenance(entry, provenance)
    return group


def _write_slab(group: h5py.Group, piece: Merged, slabs: Slabs, half: int | None) -> None:
    """Fill the planes that a slab has voxels in."""
    first, last = int(piece.index[:, 0].min()), int(piece.index[:, 0].max())
    low = max(first, slabs.grid.start[0])
    high = min(last + 1, slabs.grid.stop[0])
    box = HklGrid(
        (low, *slabs.grid.start[1:]), (high - low, *slabs.grid.shape[1:]), slabs.divisions
    )
    part = piece.boxed(box, half=half)
    planes = slice(low - slabs.grid.start[0], high - slabs.grid.start[0])
    for name, values in (
        ("intensity", part.intensity),
        ("intensity_errors", part.sigma),
        ("n_obs", part.n_obs),
        ("mask", part.mask),
    ):
        group[name][planes] = values


class _Tally:
    """Sums by shell over the slabs."""

    def __init__(self, slabs: Slabs, n_shells: int) -> None:
        self._high = 1 / slabs.d_min
        self._n, self._grid = n_shells, slabs.grid
        self._counts = np.zeros((2, n_shells), dtype=np.int64)
        self._moments = np.zeros((2, 6, n_shells))
        self._deviations, self._freedom = 0.0, 0

    def add(self, piece: Merged) -> None:
        """Count a slab."""
        s = piece.s()
        shell = np.minimum((s / self._high * self._n).astype(np.int64), self._n - 1)
        seen = np.isfinite(piece.intensity)
        self._counts[0] += np.bincount(shell[seen], minlength=self._n)
        self._counts[1] += np.bincount(shell, weights=piece.n_obs, minlength=self._n).astype(
            np.int64
        )
        several = piece.n_obs >= 2
        self._deviations += float(piece.deviations[several].sum())
        self._freedom += int((piece.n_obs[several] - 1).sum())
        mean = np.interp(s, piece.expectation.s, piece.expectation.mean)
        for number, (one, other) in enumerate(((0, 1), (2, 3))):
            a, b = piece.half_intensity[one] - mean, piece.half_intensity[other] - mean
            both = np.isfinite(a) & np.isfinite(b)
            self._moments[number] += [
                np.bincount(shell[both], weights=values[both], minlength=self._n)
                for values in (np.ones_like(a), a, b, a * a, b * b, a * b)
            ]

    def result(self) -> FineMap:
        """Return the figures."""
        edges = np.linspace(0, self._high, self._n + 1)
        shells = [self._shell(edges[i], edges[i + 1], slice(i, i + 1)) for i in range(self._n)]
        overall = self._shell(edges[0], edges[-1], slice(None))
        return FineMap(
            n_voxels=overall.n_voxels,
            n_obs=overall.n_obs,
            chi2=self._deviations / self._freedom if self._freedom else float("nan"),
            overall=overall,
            shells=tuple(shells),
            grid=self._grid,
        )

    def _shell(self, low: float, high: float, part: slice) -> FineShell:
        cc = [_correlation(moments[:, part]) for moments in self._moments]
        return FineShell(
            d_max=1 / low if low > 0 else float("inf"),
            d_min=1 / high,
            n_voxels=int(self._counts[0, part].sum()),
            n_obs=int(self._counts[1, part].sum()),
            cc_half=cc[0],
            cc_friedel=cc[1],
        )


def _correlation(moments: np.ndarray) -> float:
    """Pearson correlation about the mean of each shell, all shells together."""
    n, a, b, aa, bb, ab = moments
    some = n > 0
    n, a, b, aa, bb, ab = (moment[some] for moment in (n, a, b, aa, bb, ab))
    if n.sum() < 3:
        return float("nan")
    size = np.sqrt((aa - a * a / n).sum() * (bb - b * b / n).sum())
    return float((ab - a * b / n).sum() / size) if size > 0 else float("nan")
