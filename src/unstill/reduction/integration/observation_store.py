"""Observations on disk: one file a block of frames, cut into slabs that are read one by one.

A fine map has more rows than memory. Rows of one voxel are scattered over the
blocks of all sweeps, and merging must see them together. Every file is
therefore cut in the same way into slabs along the representative index, the
one that symmetry takes a voxel to: slab k of the map needs slab k of every
file and nothing else. Which row goes where is told by the caller, see
:mod:`unstill.reduction.merging.fine_slabs`.

Layout of the file (HDF5): ``/rows/<column>`` holds all rows, sorted by slab and
within a slab in the order they came in; ``/rows`` has the attribute ``starts``
(n_slabs + 1), and every column has the attribute ``crc32`` (n_slabs) of its bytes, which
reading verifies. ``/entry`` has the crystal, the divisions and the provenance
as JSON. Columns that are sums of many pixels are float32: their rounding of
6e-8 is far below any counting error; counts are integers if they are whole.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError
from unstill.io.atomic import atomic_path
from unstill.io.nexus import writing_hdf5
from unstill.maps.observations import COLUMNS, Observations, concatenate

FORMAT, VERSION = "unstill observations", 1
_CHUNK = 1 << 14
"""Rows of a chunk: a slab of a block should not read much of its neighbours."""

_STORED = {
    "sweep": np.int32,
    "block": np.int32,
    "n_pixels": np.int32,
    "exposure": np.float32,
    "background": np.float32,
    "background_sigma": np.float32,
    "volume": np.float32,
    "x": np.float32,
    "y": np.float32,
    "panel": np.int16,
    "phi": np.float32,
    "s": np.float32,
}
_MEMORY = {
    name: np.int32 if name in ("index", "sweep", "block", "n_pixels", "panel") else np.float64
    for name in COLUMNS
}


def write_block(
    path: Path, observations: Observations, slabs: np.ndarray, *, n_slabs: int | None = None
) -> None:
    """Write rows, cut into slabs; the file is whole or absent.

    Parameters
    ----------
    path
        Of the file.
    observations
        Rows.
    slabs
        ``(n,)`` slab of every row, from 0; rows with -1 are left out.
    n_slabs
        Slabs of all files; by default as many as there are here.

    Raises
    ------
    InputError
        If ``slabs`` does not fit.
    OutputError
        If the file cannot be written.
    """
    slabs = np.asarray(slabs, np.int64)
    n = int(n_slabs or slabs.max(initial=0) + 1)
    if slabs.shape != (len(observations),) or slabs.max(initial=0) >= n:
        raise InputError(
            "the slabs do not fit the observations",
            found=f"{slabs.shape} slabs for {len(observations)} rows, {n} slabs in all",
            fix="give one slab a row, from 0",
        )
    order = np.argsort(slabs, kind="stable")[np.count_nonzero(slabs < 0) :]
    starts = np.searchsorted(slabs[order], np.arange(n + 1))
    with atomic_path(Path(path)) as temporary, writing_hdf5(temporary) as file:
        file.attrs.update({"format": FORMAT, "version": VERSION})
        file.create_group("entry").attrs["about"] = json.dumps(_about(observations))
        rows = file.create_group("rows")
        rows.attrs["starts"] = starts
        for name, column in observations.columns().items():
            _write_column(rows, name, _compact(name, column)[order], starts)


def read_block(path: Path, slab: int | Sequence[int] | None = None) -> Observations:
    """Read rows of a file: all, or those of some slabs.

    Parameters
    ----------
    path
        What :func:`write_block` wrote.
    slab
        A slab, several, or ``None`` for all rows.

    Raises
    ------
    FormatError
        If the file is damaged or something else.
    """
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version", 0) > VERSION:
                raise _damaged(path, "another format or a newer version")
            about = json.loads(file["entry"].attrs["about"])
            starts = file["rows"].attrs["starts"]
            numbers = range(len(starts) - 1) if slab is None else np.atleast_1d(slab).tolist()
            parts = [_read_slab(path, file["rows"], starts, number, about) for number in numbers]
    except (OSError, KeyError, ValueError, IndexError) as error:
        if isinstance(error, FormatError):
            raise
        raise _damaged(path, str(error)) from error
    return concatenate(parts)


def n_slabs_of(path: Path) -> int:
    """Return the number of slabs of a file."""
    with h5py.File(path, "r") as file:
        return len(file["rows"].attrs["starts"]) - 1


def _write_column(rows: Any, name: str, values: np.ndarray, starts: np.ndarray) -> None:
    values = np.ascontiguousarray(values)
    chunks = (min(len(values), _CHUNK), *values.shape[1:]) if len(values) else None
    more: dict[str, Any] = {"chunks": chunks, "compression": "gzip", "compression_opts": 1}
    stored = rows.create_dataset(
        name, data=values, **({**more, "shuffle": True} if chunks else {})
    )
    sums = [zlib.crc32(values[a:b].tobytes()) for a, b in pairwise(starts)]
    stored.attrs["crc32"] = np.array(sums, np.uint32)


def _read_slab(
    path: Path, rows: Any, starts: np.ndarray, number: int, about: dict[str, Any]
) -> Observations:
    first, last = int(starts[number]), int(starts[number + 1])
    columns = {}
    for name in COLUMNS:
        values = rows[name][first:last]
        if zlib.crc32(np.ascontiguousarray(values).tobytes()) != rows[name].attrs["crc32"][number]:
            raise _damaged(path, f"wrong checksum of {name} in slab {number}")
        columns[name] = values.astype(_MEMORY[name])
    return Observations(
        crystal=Crystal(tuple(about["unit_cell"]), about["space_group"]),
        divisions=tuple(about["divisions"]),
        sweep_names=tuple(about["sweep_names"]),
        provenance=about["provenance"],
        **columns,
    )


def _compact(name: str, column: np.ndarray) -> np.ndarray:
    if name == "index":
        small = not column.size or (column.min() >= -(2**15) and column.max() < 2**15)
        return column.astype(np.int16 if small else np.int32)
    if name == "counts":
        whole = np.all(column == np.floor(column)) and np.all(np.abs(column) < 2**31)
        return column.astype(np.int32) if whole else column.astype(np.float64)
    return column.astype(_STORED[name])


def _about(rows: Observations) -> dict[str, Any]:
    return {
        "unit_cell": list(rows.crystal.unit_cell),
        "space_group": rows.crystal.space_group,
        "divisions": list(rows.divisions),
        "sweep_names": list(rows.sweep_names),
        "provenance": dict(rows.provenance),
    }


def _damaged(path: Path, found: str) -> FormatError:
    return FormatError(
        "this file of observations cannot be used",
        found=f"{path}: {found}",
        fix="delete it and run the reduction again; the block is integrated anew",
    )
