"""Rows of one crystal form, scaled, become a map: the estimator that keeps zero counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unstill.crystal import HklGrid
from unstill.crystal.symmetry import index_operations
from unstill.errors import InputError
from unstill.maps.observations import Observations
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.expectation import Expectation
from unstill.reduction.merging.expected_intensity import (
    expected_intensity,
    shrunk_intensity,
    variance_of,
)
from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.representatives import merging_operations, unpacked
from unstill.reduction.merging.voxel_sums import (
    ROWS_AT_ONCE,
    RowOrder,
    SortedRows,
    VoxelSums,
    order_rows,
    voxel_sums,
)
from unstill.shapes import Float, Int

HALVES: tuple[tuple[int, int], ...] = ((0, 2), (1, 3), (0, 1), (2, 3))
"""Cells of random half 0 and 1, Friedel half 0 and 1."""

INVERSION = np.stack([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])
"""The group that tells Friedel halves apart in P 1."""


def merge_observations(
    observations: Observations,
    scale: Float[np.ndarray, " n"],
    offset: Float[np.ndarray, " n"],
    *,
    keep: np.ndarray | None = None,
    error_model: ErrorModel | None = None,
    symmetry: bool = True,
    friedel: bool = True,
    seed: int = 0,
    grid: HklGrid | None = None,
    expectation: Expectation | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Merged:
    r"""Merge scaled rows into one intensity a voxel.

    With e = exposure · scale and B = background + exposure · offset,

    .. math:: I = \frac{\sum \omega (\mathrm{counts} - B)}{\sum \omega e},
              \qquad \omega = e \bar I / \sigma^2(\bar I)

    where the variance of a row follows from the mean intensity of its
    resolution shell and never from what was counted. Without background and
    relative error all ω are equal, and this is the ratio of sums, the
    maximum-likelihood estimate of Poisson counts. Rows that counted nothing
    weigh as much as others; a voxel is in the map if a kept row covered it.

    Sums run over sorted rows one after the other, so that neither the order of
    the rows nor the number of workers changes a bit of the result.

    Parameters
    ----------
    observations
        The rows, of one or several sweeps.
    scale, offset
        ``(n,)`` of each row: counts ≈ exposure (scale · I + offset) + background.
    keep
        ``(n,)`` bool, False for rejected rows; all are kept by default.
    error_model
        Variance of counts; Poisson by default.
    symmetry
        Merge Laue mates; otherwise P 1, and every voxel keeps its own value.
    friedel
        Merge (h, k, l) with (−h, −k, −l); otherwise they stay apart.
    seed
        Of the random halves.
    grid
        Box of the map. By default the smallest that holds all voxels and their
        mates; see :meth:`~unstill.reduction.merging.merged.Merged.to_map`.
    expectation
        Mean and spread of the intensity by resolution; estimated by default.
        Give one to merge parts that shall add up exactly.
    rows_at_once
        Bound of the working memory; changes nothing but last bits.

    Returns
    -------
    merged
        Map, halves, multiplicity, χ².

    Raises
    ------
    InputError
        If no row or no exposure is left, columns differ in length, a kept row has no positive
        finite scale, or the divisions do not allow the Laue group.
    """
    model = ErrorModel() if error_model is None else error_model
    crystal, divisions = observations.crystal, observations.divisions
    operations = merging_operations(crystal, divisions, symmetry=symmetry, friedel=friedel)
    order = order_rows(
        observations,
        scale,
        offset,
        keep=keep,
        operations=operations,
        laue=index_operations(crystal, divisions) if symmetry else INVERSION,
        seed=seed,
        rows_at_once=rows_at_once,
    )
    _check_some(order)
    if expectation is None:
        expectation = expected_intensity(
            lambda: (rows for _, rows in order.parts()), crystal, divisions, model
        )
    pieces = [merge_part(rows, expectation, model, operations, seed) for _, rows in order.parts()]
    settings = {"symmetry": symmetry, "friedel": friedel, "seed": seed}
    merged = joined(pieces, settings=settings, provenance=dict(observations.provenance))
    return replace(merged, grid=grid)


def merge_part(
    rows: SortedRows,
    expectation: Expectation,
    model: ErrorModel,
    operations: Int[np.ndarray, "n_operations 3 3"],
    seed: int = 0,
) -> Merged:
    """Merge whole voxels, with χ² of their rows."""
    sums = voxel_sums(rows, expectation, model)
    merged = from_sums(sums, expectation, model, operations)
    deviations = _deviations(rows, merged.intensity, merged.expected, model)
    return replace(merged, deviations=deviations)


def from_sums(
    sums: VoxelSums,
    expectation: Expectation,
    model: ErrorModel,
    operations: Int[np.ndarray, "n_operations 3 3"],
) -> Merged:
    """Return intensities of voxels from their sums; χ² needs the rows and is left at 0."""
    expected = shrunk_intensity(sums, expectation, model)
    intensity, sigma = _estimate(sums, expected, model, (0, 1, 2, 3))
    halves = [_estimate(sums, expected, model, cells) for cells in HALVES]
    crystal = expectation.crystal
    # One voxel has the volume V* / ∏ n, with V* = 1 / V.
    voxels_a_volume = crystal.volume * float(np.prod(expectation.divisions))
    return Merged(
        crystal=crystal,
        divisions=expectation.divisions,
        operations=operations,
        index=unpacked(sums.key),
        intensity=intensity,
        sigma=sigma,
        n_obs=sums.n.sum(axis=1),
        n_rejected=sums.n_rejected,
        multiplicity=sums.volume * voxels_a_volume,
        expected=expected,
        deviations=np.zeros(len(sums.key)),
        half_intensity=np.stack([half for half, _ in halves]),
        half_sigma=np.stack([half for _, half in halves]),
        half_n=np.stack([sums.n[:, list(cells)].sum(axis=1) for cells in HALVES]),
        expectation=expectation,
        error_model=model,
    )


def joined(
    pieces: Sequence[Merged], *, settings: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Merged:
    """Put pieces of different voxels below each other."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(piece, name) for piece in pieces], axis=axis)
        for name, axis in Merged.COLUMNS.items()
    }
    return replace(pieces[0], **columns, provenance={**provenance, "merge": settings})


def _estimate(
    sums: VoxelSums, expected: np.ndarray, model: ErrorModel, cells: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    chosen = list(cells)
    exposure = sums.exposure[:, chosen].sum(axis=1)
    signal = sums.signal[:, chosen].sum(axis=1)
    seen = exposure > 0
    safe = np.where(seen, exposure, 1.0)
    variance = np.where(seen, variance_of(sums, expected, model, cells), np.nan)
    return np.where(seen, signal / safe, np.nan), np.sqrt(variance)


def _deviations(
    rows: SortedRows, intensity: np.ndarray, expected: np.ndarray, model: ErrorModel
) -> np.ndarray:
    """Σ residual² / expected variance of the kept rows of each voxel."""
    signal = rows.exposure * expected[rows.voxel]
    variance = model.variance(
        np.maximum(signal + rows.flat, 0.01 * signal), signal, rows.background_sigma
    )
    residual = rows.signal - rows.exposure * intensity[rows.voxel]
    usable = rows.kept & (variance > 0)
    squared = np.where(usable, residual**2 / np.where(usable, variance, 1.0), 0.0)
    total: np.ndarray = np.bincount(rows.voxel, weights=squared, minlength=len(rows.key))
    return total


def _check_some(order: RowOrder) -> None:
    if not order.kept.any():
        raise InputError(
            "no row is left to merge",
            found=f"{len(order.kept)} rows, all rejected" if len(order.kept) else "no rows at all",
            fix="loosen the limits of resolution or of outliers",
        )
    if not (order.observations.exposure[order.kept] > 0).any():
        raise InputError(
            "no row has any exposure",
            found=f"{int(order.kept.sum())} rows with an exposure of 0",
            fix="check the exposure times of the images and the corrections of the detector",
        )
