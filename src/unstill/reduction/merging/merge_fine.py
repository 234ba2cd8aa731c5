"""Fine maps of several sweeps: slab by slab, with the memory of one slab."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.maps.observations import Observations, concatenate
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.expectation import Expectation
from unstill.reduction.merging.fine_slabs import Slabs
from unstill.reduction.merging.merge import merge_observations
from unstill.reduction.merging.merged import Merged
from unstill.shapes import Float, Int

Model = Callable[[Observations], tuple[np.ndarray, np.ndarray]]
"""Scale and offset of rows, at their centroids."""


def merge_slabs(
    slabs: Iterable[Observations],
    model: Model,
    *,
    expectation: Expectation,
    error_model: ErrorModel | None = None,
    keep: Callable[[Observations], np.ndarray] | None = None,
    symmetry: bool = True,
    friedel: bool = True,
    seed: int = 0,
) -> Iterator[Merged]:
    """Merge rows that come slab by slab.

    A voxel gets the same bits however its rows were stored: rows are sorted
    before they are added, and the weights come from the given expectation.

    Parameters
    ----------
    slabs
        All rows of all sweeps that belong to a slab, as
        :meth:`~unstill.reduction.merging.fine_slabs.Slabs.slab_of` tells; in any order.
    model
        Gives scale and offset of rows.
    expectation
        Mean and spread of the intensity by resolution: that of the merged
        coarse rows (``merged.expectation``); any sampling.
    error_model
        Variance of counts; Poisson by default.
    keep
        Tells which rows to keep; by default all.
    symmetry, friedel, seed
        As in :func:`~unstill.reduction.merging.merge.merge_observations`.

    Yields
    ------
    merged
        One a slab that has rows; slabs without any are passed over.
    """
    for rows in slabs:
        kept = np.ones(len(rows), bool) if keep is None else np.asarray(keep(rows), bool)
        if not kept.any():
            continue
        scale, offset = model(rows)
        yield merge_observations(
            rows,
            scale,
            offset,
            keep=kept,
            error_model=error_model,
            symmetry=symmetry,
            friedel=friedel,
            seed=seed,
            expectation=replace(expectation, crystal=rows.crystal, divisions=rows.divisions),
        )


def rows_by_slab(
    blocks: Callable[[], Iterable[Observations]], slabs: Slabs
) -> Iterator[Observations]:
    """Yield the rows of each slab from blocks that can be read again and again.

    For stores that are not cut into slabs: every block is read once a slab.
    Memory is that of one slab and one block.

    Parameters
    ----------
    blocks
        Gives the rows, block by block.
    slabs
        The cut.
    """
    for number in range(len(slabs)):
        parts = []
        for block in blocks():
            mine = slabs.slab_of(block.index) == number
            if mine.any():
                parts.append(block.take(mine))
        if parts:
            yield concatenate(parts)


def coarsened(observations: Observations, divisions: Triple) -> Observations:
    """Add up fine rows to coarse ones, where voxels of the one are made of the other's.

    Parameters
    ----------
    observations
        Fine rows.
    divisions
        Of the coarse rows; the ratio must be odd along each axis, so that each
        fine voxel lies in one coarse voxel.

    Returns
    -------
    coarse
        One row for each sweep, block, panel and coarse voxel, sorted by these;
        centroids are means weighted with the exposure. The uncertainty of the
        background, one smooth curve, adds up linearly.

    Raises
    ------
    InputError
        If fine voxels lie in two coarse ones.
    """
    ratio = np.array(observations.divisions) / np.array(divisions)
    whole = np.rint(ratio).astype(np.int64)
    if np.any(ratio != whole) or np.any(whole % 2 == 0):
        raise InputError(
            "fine voxels do not lie whole in coarse ones",
            found=f"divisions {observations.divisions} and {divisions}",
            fix="use divisions whose ratio is odd: 1, 3, 5, ... along each axis",
        )
    index = np.floor_divide(observations.index + whole // 2, whole)
    columns = [index[:, 2], index[:, 1], index[:, 0]]
    order = np.lexsort(
        (
            *observations.index.T,
            *columns,
            observations.panel,
            observations.block,
            observations.sweep,
        )
    )
    fine, index = observations.take(order), index[order]
    same = np.stack([fine.sweep, fine.block, fine.panel, *index.T], axis=1)
    first = np.r_[True, np.any(same[1:] != same[:-1], axis=1)]
    label, number = np.cumsum(first) - 1, int(first.sum())

    def total(values: Float[np.ndarray, " n"]) -> np.ndarray:
        return np.bincount(label, weights=values, minlength=number)

    exposure = total(fine.exposure)
    centroids = {
        name: total(getattr(fine, name) * fine.exposure) / np.where(exposure > 0, exposure, 1.0)
        for name in ("x", "y", "phi", "s")
    }
    sums = {
        name: total(getattr(fine, name))
        for name in ("counts", "background", "background_sigma", "volume")
    }
    kept: dict[str, Int[np.ndarray, " n"]] = {
        name: getattr(fine, name)[first] for name in ("sweep", "block", "panel")
    }
    return observations.replace(
        divisions=divisions,
        index=index[first].astype(np.int32),
        n_pixels=np.bincount(label, weights=fine.n_pixels).astype(np.int32),
        exposure=exposure,
        **sums,
        **centroids,
        **kept,
    )
