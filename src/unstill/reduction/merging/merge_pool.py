"""Merging of rows that are not all in memory.

Rows are put in the order of their voxels slab by slab, and what merging needs of
them waits in files: mean and spread by resolution are found in passes over all
of them before the first voxel can be merged. The voxels of the map are in
memory, in one table whose size is known by then.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import index_operations
from unstill.errors import InputError
from unstill.maps.observations import Observations
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.expected_intensity import expected_intensity
from unstill.reduction.merging.merge import INVERSION, merge_observations, merge_part
from unstill.reduction.merging.merge_fine import Model
from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.representatives import merging_operations, packed
from unstill.reduction.merging.row_pool import RowPool
from unstill.reduction.merging.voxel_sums import ROWS_AT_ONCE, SortedRows, order_rows
from unstill.shapes import Integer

_COLUMNS = tuple(item.name for item in fields(SortedRows))


def merge_pool(
    pool: RowPool,
    model: Model,
    *,
    rejected: Integer[np.ndarray, " n"] | None = None,
    error_model: ErrorModel | None = None,
    symmetry: bool = True,
    friedel: bool = True,
    seed: int = 0,
    scratch: Path | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Merged:
    """Merge all rows of a pool; see :func:`~unstill.reduction.merging.merge.merge_observations`.

    The bits are those of a merge in memory: sums run over the same rows in the
    same order. (Only where voxels stay apart that the slabs keep together,
    without symmetry, the last bits of mean and spread by resolution may differ.)

    Parameters
    ----------
    pool
        The rows.
    model
        Gives scale and offset of rows.
    rejected
        ``(n,)`` in the order of the pool; rows that are not 0 are left out.
    error_model, symmetry, friedel, seed, rows_at_once
        As of ``merge_observations``.
    scratch
        Folder for files that are removed at the end; by default the system's.

    Raises
    ------
    InputError
        If no row is left, or rows cannot be merged.
    """
    if pool.in_memory:
        ((places, rows),) = pool.slabs()
        scale, offset = model(rows)
        return merge_observations(
            rows,
            scale,
            offset,
            keep=None if rejected is None else rejected[places] == 0,
            error_model=error_model,
            symmetry=symmetry,
            friedel=friedel,
            seed=seed,
            rows_at_once=rows_at_once,
        )
    errors = ErrorModel() if error_model is None else error_model
    with tempfile.TemporaryDirectory(prefix="merging-", dir=scratch) as folder:
        spool = _Spool(Path(folder))
        lattice = _Lattice()
        for places, rows in pool.slabs():
            keep = None if rejected is None else rejected[places] == 0
            lattice.add(rows, symmetry=symmetry, friedel=friedel)
            scale, offset = model(rows)
            order = order_rows(
                rows,
                scale,
                offset,
                keep=keep,
                operations=lattice.operations,
                laue=index_operations(rows.crystal, rows.divisions) if symmetry else INVERSION,
                seed=seed,
                rows_at_once=rows_at_once,
            )
            for _, part in order.parts():
                spool.put(part)
        spool.check()
        expectation = expected_intensity(spool.parts, lattice.crystal, lattice.divisions, errors)
        table: dict[str, Any] = {}
        piece, begin = None, 0
        for part in spool.parts():
            piece = merge_part(part, expectation, errors, lattice.operations, seed)
            _fill(table, piece, begin, spool.n_voxels)
            begin += len(piece)
    assert piece is not None  # some row was kept
    if not symmetry:
        _sort(table)
    settings = {"symmetry": symmetry, "friedel": friedel, "seed": seed}
    return replace(piece, **table, provenance={**lattice.provenance, "merge": settings})


class _Lattice:
    """What all slabs share."""

    crystal: Crystal
    divisions: Triple
    operations: np.ndarray
    provenance: dict[str, object]

    def add(self, rows: Observations, *, symmetry: bool, friedel: bool) -> None:
        """Take it from the first slab."""
        if hasattr(self, "crystal"):
            return
        self.crystal, self.divisions = rows.crystal, rows.divisions
        self.operations = merging_operations(
            rows.crystal, rows.divisions, symmetry=symmetry, friedel=friedel
        )
        self.provenance = dict(rows.provenance)


@dataclass
class _Spool:
    """Sorted rows in files, a part each."""

    folder: Path
    n_parts: int = 0
    n_rows: int = 0
    n_kept: int = 0
    n_voxels: int = 0

    def put(self, rows: SortedRows) -> None:
        """Write a part."""
        with (self.folder / f"{self.n_parts}").open("wb") as file:
            for name in _COLUMNS:
                np.save(file, getattr(rows, name), allow_pickle=False)
        self.n_parts += 1
        self.n_rows += len(rows.voxel)
        self.n_kept += int(rows.kept.sum())
        self.n_voxels += len(rows.key)

    def parts(self) -> Iterator[SortedRows]:
        """Read part after part."""
        for number in range(self.n_parts):
            with (self.folder / f"{number}").open("rb") as file:
                yield SortedRows(**{name: np.load(file, allow_pickle=False) for name in _COLUMNS})

    def check(self) -> None:
        """See to it that something is left."""
        if not self.n_kept:
            raise InputError(
                "no row is left to merge",
                found=f"{self.n_rows} rows, all rejected or without exposure",
                fix="loosen the limits of resolution or of outliers, and check exposure times",
            )


def _fill(table: dict[str, np.ndarray], piece: Merged, begin: int, n_voxels: int) -> None:
    """Put a piece into the table of all voxels, which is made for the first."""
    for name, axis in Merged.COLUMNS.items():
        values = getattr(piece, name)
        if name not in table:
            shape = (*values.shape[:axis], n_voxels, *values.shape[axis + 1 :])
            table[name] = np.empty(shape, dtype=values.dtype)
        where = (*(slice(None),) * axis, slice(begin, begin + len(piece)))
        table[name][where] = values


def _sort(table: dict[str, np.ndarray]) -> None:
    """Bring voxels into ascending order, column by column."""
    order = np.argsort(packed(table["index"]))
    for name, axis in Merged.COLUMNS.items():
        table[name] = np.take(table[name], order, axis=axis)
