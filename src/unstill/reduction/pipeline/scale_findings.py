"""What the scaled observations say about the crystal and its frames: damage, bad ranges."""

from __future__ import annotations

import warnings

import numpy as np

from unstill.errors import UnstillWarning
from unstill.maps.observations import Observations, concatenate
from unstill.reduction.merging.row_pool import RowPool
from unstill.reduction.pipeline.run import Run
from unstill.reduction.scaling.bad_ranges import BadRange
from unstill.reduction.scaling.damage import Decay, radiation_damage
from unstill.reduction.scaling.rows import drawn
from unstill.reduction.scaling.scale import ScaleResult

_MOST_ROWS = 250_000
"""Rows that the decay is measured with, about."""

_MOST_TOLD = 5


def find_decay(pool: RowPool, result: ScaleResult, seed: int) -> tuple[Decay, ...]:
    """Measure the decay along each sweep, with all rows of a random part of the voxels.

    Parameters
    ----------
    pool, result
        Rows and their scales.
    seed
        Of the draw.
    """
    rows, rejected = _some_rows(pool, result.rejected, seed)
    return tuple(radiation_damage(rows, result.model, rejected))


def tell(run: Run, result: ScaleResult, decay: tuple[Decay, ...]) -> None:
    """Warn of damage that is certain, and of ranges of frames that do not fit."""
    for found in decay:
        if found.significant:
            fades = found.rate * float(np.ptp(found.phi))
            _warn(
                f"{run.names[found.sweep]}: the scattering at high resolution fades; B grows by "
                f"{found.rate:.3f} ± {found.rate_sigma:.3f} Å² a degree, {fades:.1f} Å² in all; "
                "radiation damage: leave out the end of the sweep, or use less dose"
            )
    for bad in result.bad_ranges[:_MOST_TOLD]:
        _warn(
            f"frames that do not fit the others: {_in_words(run, bad)}; look at them, and leave "
            "them out with reject_bad_ranges = true in [scale] of reduce.toml"
        )
    if len(result.bad_ranges) > _MOST_TOLD:
        _warn(f"{len(result.bad_ranges) - _MOST_TOLD} more ranges do not fit; see the report")


def _in_words(run: Run, bad: BadRange) -> str:
    sweep = run.sweeps[bad.sweep]
    scan = sweep.experiment.scan
    first = 1 if scan is None else scan.first_image
    images = [(first + block.start, first + block.stop) for block in run.blocks(sweep)]
    return bad.text(images)


def _some_rows(pool: RowPool, rejected: np.ndarray, seed: int) -> tuple[Observations, np.ndarray]:
    fraction = _MOST_ROWS / max(pool.n_rows, 1)
    parts, left_out = [], []
    for places, table in pool.slabs():
        chosen = np.ones(len(table), bool)
        if fraction < 1:
            chosen = drawn(table, table.index, fraction, seed)
        parts.append(table.take(chosen))
        left_out.append(rejected[places][chosen])
    return concatenate(parts), np.concatenate(left_out)


def _warn(text: str) -> None:
    warnings.warn(text, UnstillWarning, stacklevel=3)
