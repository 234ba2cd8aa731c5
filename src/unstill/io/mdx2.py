"""Maps and merged tables of mdx2 (NeXus HDF5, ``.nxs``).

``mdx2.map`` writes one NXdata group under ``/entry`` with axes h, k, l;
``mdx2.merge`` writes ``/entry/hkl_table`` with columns h, k, l (fractional,
in the asymmetric unit), ``ndiv``, ``intensity``, ``intensity_error`` and
``count``. Cell and space group stand in another file (``geometry.nxs``)
unless they were put in as groups ``crystal`` or ``symmetry``.

mdx2: Meisburger, S. P. & Ando, N. (2024), *Methods Enzymol.*,
https://github.com/ando-lab/mdx2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import check_metric, index_operations
from unstill.errors import FormatError
from unstill.io.cell_check import check_same_cell, require_crystal
from unstill.io.point_list import PointList, guess_divisions, map_of
from unstill.io.reading import REMEDY, parsing
from unstill.maps import IntensityMap

# Importing hdf5plugin registers the filters that compress some mdx2 files.
assert hdf5plugin.__name__

_SIGNALS = ("intensity", "signal", "data")
_ERRORS = ("intensity_error", "intensity_errors", "errors", "sigma")


def read_mdx2(
    path: Path, *, crystal: Crystal | None = None, divisions: Triple | None = None
) -> IntensityMap:
    """Read a map or a merged table that mdx2 wrote.

    Parameters
    ----------
    path
        The file.
    crystal
        Unit cell and space group, if the file holds no ``crystal`` group.
    divisions
        Voxels a reciprocal-lattice vector; read off the file by default.

    Returns
    -------
    IntensityMap
        A merged table is filled up by the Laue group; voxels that it does not
        list are masked.

    Raises
    ------
    UnknownCrystalError
        If neither the file nor the caller knows the crystal.
    FormatError
        If the file is damaged, or holds neither a map nor a table.
    """
    path = Path(path)
    with parsing(path, "an mdx2 file"), h5py.File(path, "r") as file:
        own = _crystal(file)
        if own is not None and crystal is not None:
            check_same_cell(path, own, crystal)
        known = require_crystal(path, own or crystal, "mdx2 maps")
        grids = dict(_grids(file))
        if grids:
            return _map(path, grids, known, divisions)
        table = next(_tables(file), None)
        if table is None:
            raise FormatError(
                f"{path.name} holds no map on axes h, k, l",
                found=f"groups {', '.join(_names(file)) or 'none'}",
                fix="give the output of mdx2.map or mdx2.merge",
            )
        return _from_table(path, table, known, divisions)


def mdx2_crystal(path: Path) -> Crystal | None:
    """Return the crystal that the file holds, if any.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    with parsing(path, "an mdx2 file"), h5py.File(path, "r") as file:
        return _crystal(file)


def _groups(group: h5py.Group) -> Iterator[h5py.Group]:
    for name in group:
        child = group.get(name)
        if isinstance(child, h5py.Group):
            yield child
            yield from _groups(child)


def _names(file: h5py.File) -> list[str]:
    return [str(group.name) for group in _groups(file)]


def _words(value: Any) -> list[str]:
    return [
        word.decode() if isinstance(word, bytes) else str(word) for word in np.atleast_1d(value)
    ]


def _grids(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    for group in _groups(file):
        axes = _words(group.attrs.get("axes", []))
        if axes == ["h", "k", "l"] and "signal" in group.attrs:
            yield str(group.name).rpartition("/")[2], group


def _tables(file: h5py.File) -> Iterator[h5py.Group]:
    for group in _groups(file):
        columns = [group.get(name) for name in (*"hkl", "intensity")]
        if all(isinstance(column, h5py.Dataset) and column.ndim == 1 for column in columns):
            yield group


def _map(
    path: Path, grids: dict[str, h5py.Group], crystal: Crystal, divisions: Triple | None
) -> IntensityMap:
    group = next((grids[name] for name in _SIGNALS if name in grids), next(iter(grids.values())))
    signal = _words(group.attrs["signal"])[0]
    intensity = np.asarray(group[signal][()], dtype=float)
    axes = [np.asarray(group[name][()], dtype=float) for name in "hkl"]
    grid = _grid(path, axes, divisions)
    sigma = None
    if f"{signal}_errors" in group:
        sigma = np.asarray(group[f"{signal}_errors"][()], dtype=float)
    for name in _ERRORS:
        if sigma is None and name in grids and grids[name] is not group:
            other = grids[name]
            sigma = np.asarray(other[_words(other.attrs["signal"])[0]][()], dtype=float)
    return IntensityMap(crystal, grid, intensity, sigma=sigma)


def _grid(path: Path, axes: list[np.ndarray], divisions: Triple | None) -> HklGrid:
    if divisions is None:
        # The step says more than the positions: an axis may hold a single value.
        longest = max(len(axis) for axis in axes)
        padded = [np.pad(axis, (0, longest - len(axis)), mode="edge") for axis in axes]
        divisions = guess_divisions(path, np.stack(padded, axis=-1))
    starts = []
    for axis, n in zip(axes, divisions, strict=True):
        index = axis * n
        regular = np.abs(index - np.rint(index[0]) - np.arange(len(axis))).max(initial=0)
        if len(axis) == 0 or regular > 0.01:
            raise FormatError(
                f"the axes of {path.name} are not regular",
                found=f"{len(axis)} values, step off by {regular:.2g} voxels",
                fix=REMEDY,
            )
        starts.append(int(np.rint(index[0])))
    (h, k, l), (nh, nk, nl) = starts, (len(axis) for axis in axes)
    return HklGrid((h, k, l), (nh, nk, nl), divisions)


def _from_table(
    path: Path, table: h5py.Group, crystal: Crystal, divisions: Triple | None
) -> IntensityMap:
    hkl = np.stack([np.asarray(table[name][()], dtype=float) for name in "hkl"], axis=-1)
    if divisions is None and "ndiv" in table:
        h, k, l = (int(value) for value in table["ndiv"][()])
        divisions = (h, k, l)
    if divisions is None:
        divisions = guess_divisions(path, hkl)
    index = HklGrid((0, 0, 0), (1, 1, 1), divisions).index_of(hkl, tolerance=0.01)
    sigma = next((table[name][()] for name in _ERRORS if name in table), None)
    count = table["count"][()] if "count" in table else None
    intensity = np.asarray(table["intensity"][()], dtype=float)
    points = PointList(index, intensity, None if sigma is None else sigma.astype(float), count)
    check_metric(crystal)
    return map_of(
        path, points, crystal, divisions, operations=index_operations(crystal, divisions)
    )


def _crystal(file: h5py.File) -> Crystal | None:
    groups = list(_groups(file))
    cell = next((group["unit_cell"][()] for group in groups if "unit_cell" in group), None)
    symbol = next(
        (
            _words(group[name][()])[0]
            for group in groups
            for name in ("space_group", "space_group_symbol", "space_group_number")
            if name in group
        ),
        None,
    )
    if cell is None or symbol is None:
        return None
    a, b, c, alpha, beta, gamma = (float(value) for value in np.ravel(cell))
    return Crystal((a, b, c, alpha, beta, gamma), symbol)
