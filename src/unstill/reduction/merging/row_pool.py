"""All coarse rows of a run, whole voxels at a time, in memory or on disk.

A sweep of 3600 frames of 16 Mpx has tens of millions of coarse rows. Scaling,
merging and the table of outliers look at one voxel at a time, with numbers by
resolution that are known before; so they read rows in *slabs*: ranges of the
first index of the representative under the Laue group, Friedel mates together.
Slabs come in ascending order and every voxel lies whole in one, so that rows
sorted inside each are rows sorted as a whole, and a result does not depend on
how many slabs there are.

Few rows stay in memory as one slab. Many go to files, one a slab, as packed
records of what :mod:`unstill.reduction.integration.observation_store` keeps: rows that came
from there lose no bit. The cut follows from the rows themselves, after
indexing was settled, and never from the number of workers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError
from unstill.maps.observations import COLUMNS, Observations
from unstill.reduction.merging.representatives import merging_operations, representatives
from unstill.shapes import Int

ROWS_IN_MEMORY = 1_000_000
"""More rows than this go to disk; a row takes about 110 bytes, and as much again in work."""

ROWS_A_SLAB = 600_000
"""Rows of a slab, about; a plane of the map may have more."""

_MOST_SLABS = 240
"""Files that are open together while rows are sorted into slabs."""

_ABOUT = "about.json"

_RECORD = np.dtype(
    [
        ("index", "<i4", (3,)),
        ("sweep", "<i4"),
        ("block", "<i4"),
        ("n_pixels", "<i4"),
        ("counts", "<f8"),
        ("exposure", "<f4"),
        ("background", "<f4"),
        ("background_sigma", "<f4"),
        ("volume", "<f4"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("panel", "<i2"),
        ("phi", "<f4"),
        ("s", "<f4"),
    ]
)
_WHOLE = ("index", "sweep", "block", "n_pixels", "panel")

Blocks = Callable[[], Iterable[Observations]]
"""All rows, block by block, as often as they are asked for."""


class RowPool(Protocol):
    """Rows that are read slab by slab, as often as wanted."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def in_memory(self) -> bool:
        """Whether all rows are one slab in memory."""

    def slabs(self) -> Iterator[tuple[slice, Observations]]:
        """Yield the places of the rows of each slab in the pool, and the rows."""


@dataclass(frozen=True, eq=False)
class MemoryRows:
    """Rows in memory: one slab."""

    observations: Observations

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.observations)

    @property
    def in_memory(self) -> bool:
        """Yes."""
        return True

    def slabs(self) -> Iterator[tuple[slice, Observations]]:
        """Yield the one slab."""
        yield slice(0, self.n_rows), self.observations


@dataclass(frozen=True, eq=False)
class DiskRows:
    """Rows in the files of a folder that :func:`write_rows` filled."""

    folder: Path

    @cached_property
    def about(self) -> dict[str, Any]:
        """Lattice, names, and rows of each slab."""
        try:
            found: dict[str, Any] = json.loads((self.folder / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(self.folder, str(error)) from error
        return found

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(sum(self.about["rows"]))

    @property
    def in_memory(self) -> bool:
        """No."""
        return False

    def slabs(self) -> Iterator[tuple[slice, Observations]]:
        """Yield slab after slab; each is read when it is its turn."""
        begin = 0
        for number, n_rows in enumerate(self.about["rows"]):
            yield slice(begin, begin + n_rows), self._read(number, n_rows)
            begin += n_rows

    def _read(self, number: int, n_rows: int) -> Observations:
        path, about = self.folder / _name(number), self.about
        try:
            records = np.fromfile(path, dtype=_RECORD)
        except OSError as error:
            raise _damaged(path, str(error)) from error
        if len(records) != n_rows:
            raise _damaged(path, f"{len(records)} of {n_rows} rows")
        columns = {
            name: records[name].astype(np.int32 if name in _WHOLE else np.float64)
            for name in COLUMNS
        }
        return Observations(
            crystal=Crystal(tuple(about["unit_cell"]), about["space_group"]),
            divisions=tuple(about["divisions"]),
            sweep_names=tuple(about["sweep_names"]),
            provenance=about["provenance"],
            **columns,
        )


def write_rows(blocks: Blocks, folder: Path, *, rows_a_slab: int = ROWS_A_SLAB) -> DiskRows:
    """Sort rows into slabs on disk; memory is that of a block.

    Parameters
    ----------
    blocks
        Gives rows of one lattice, indexed alike, block by block; asked twice.
    folder
        An empty folder.
    rows_a_slab
        About so many rows a slab.

    Raises
    ------
    InputError
        If there is no block, or blocks differ in lattice.
    """
    edges = _edges(_planes(blocks()), rows_a_slab)
    n_slabs = len(edges) - 1
    rows, first = np.zeros(n_slabs, np.int64), None
    with ExitStack() as stack:
        files = [stack.enter_context((folder / _name(i)).open("wb")) for i in range(n_slabs)]
        for block in blocks():
            first = block.take(slice(0, 0)) if first is None else first
            slab = np.searchsorted(edges, _first_index(block), side="right") - 1
            order = np.argsort(slab, kind="stable")
            records = _records(block)[order]
            ends = np.searchsorted(slab[order], np.arange(n_slabs + 1))
            for number in np.unique(slab):
                part = records[ends[number] : ends[number + 1]]
                files[number].write(part.tobytes())
                rows[number] += len(part)
    assert first is not None  # there are planes
    about = {
        "unit_cell": list(first.crystal.unit_cell),
        "space_group": first.crystal.space_group,
        "divisions": list(first.divisions),
        "sweep_names": list(first.sweep_names),
        "provenance": dict(first.provenance),
        "rows": rows.tolist(),
    }
    (folder / _ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    return DiskRows(folder)


def _planes(blocks: Iterable[Observations]) -> tuple[int, Int[np.ndarray, " planes"]]:
    """Return the first plane of representatives, and the rows of each plane from there."""
    counted: dict[int, int] = {}
    lattice = None
    for block in blocks:
        lattice = (block.crystal, block.divisions) if lattice is None else lattice
        if (block.crystal, block.divisions) != lattice:
            raise InputError(
                "observations of different lattices cannot be put together",
                found=f"{lattice[0]} {lattice[1]} and {block.crystal} {block.divisions}",
                fix="bring them to one crystal and one sampling first",
            )
        for plane, number in zip(*np.unique(_first_index(block), return_counts=True), strict=True):
            counted[int(plane)] = counted.get(int(plane), 0) + int(number)
    if not counted:
        raise InputError("no observations to put together", fix="give one part at least")
    low, high = min(counted), max(counted)
    return low, np.array([counted.get(plane, 0) for plane in range(low, high + 1)])


def _edges(planes: tuple[int, np.ndarray], rows_a_slab: int) -> np.ndarray:
    """Cut planes so that each slab has about so many rows."""
    low, counts = planes
    size = max(rows_a_slab, int(np.ceil(counts.sum() / _MOST_SLABS)))
    edges, held = [low], 0
    for plane, number in enumerate(counts.tolist(), start=low):
        if held and held + number > size:
            edges.append(plane)
            held = 0
        held += number
    return np.array([*edges, low + len(counts)])


def _first_index(block: Observations) -> np.ndarray:
    operations = merging_operations(block.crystal, block.divisions)
    first: np.ndarray = representatives(operations, block.index)[0][:, 0]
    return first


def _records(block: Observations) -> np.ndarray:
    records = np.empty(len(block), dtype=_RECORD)
    for name in COLUMNS:
        records[name] = getattr(block, name)
    return records


def _name(number: int) -> str:
    return f"slab-{number:03d}.rows"


def _damaged(path: Path, found: str) -> FormatError:
    return FormatError(
        "rows that were kept on disk cannot be used",
        found=f"{path}: {found}",
        fix="delete the folder and run the reduction again; no image is read anew for it",
    )
