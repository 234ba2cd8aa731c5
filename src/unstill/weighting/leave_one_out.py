r"""The criterion without each member in turn, in closed form: one sweep over the table.

Let m and x be mean and diffuse intensity of the members that are kept, with
weights p that sum to W over them, and :math:`f_t = p_t/(W - p_t)`. Without
member t the intensity changes by

.. math:: \Delta_t = -f_t \big( \langle|F_t - m|^2\rangle - x
                     + f_t\,|\langle F_t\rangle - m|^2 \big),

averaged over the Laue orbit; for single frames the two squares are the same.
The criterion of x + Δ needs, beside what it needs of x, the products of Δ with
the columns of the curve, with y⊥ and with x⊥, which is one matrix product for
all members, and :math:`\Delta^T W \Delta`. Differences are formed and not maps, because
they are small and single precision holds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unstill.shapes import Bool, Float
from unstill.weighting.criterion import Criterion, ratio
from unstill.weighting.forward import Means, each
from unstill.weighting.table import MemberTable, Slab

_CHUNK = 1 << 18
"""Bytes of structure factors that are worked on at a time, so that they stay in the cache."""


def leave_one_out(
    table: MemberTable,
    criterion: Criterion,
    kept: Bool[np.ndarray, " members"],
    intensity: Float[np.ndarray, " orbits"],
    means: Means,
    *,
    workers: int = 1,
) -> Float[np.ndarray, " kept"]:
    """Criterion after each removal.

    Parameters
    ----------
    table
        The members, on numpy.
    criterion
        What the intensities are held against.
    kept
        ``(n_members,)`` the members that are left.
    intensity, means
        Of the members that are left, as
        :func:`unstill.weighting.forward.weighted_intensity` gives them.
    workers
        Threads; the result does not depend on it.

    Returns
    -------
    value
        ``(n_kept,)`` without the first of those that are left, without the second, ...
    """
    members = np.flatnonzero(kept)
    prior = table.prior[members]
    share = prior / (prior.sum() - prior)
    free = criterion.without_curve(intensity)
    weight = criterion.weight
    dtype = table.slabs[0].re.dtype
    right = np.column_stack([criterion.columns, criterion.direction, free]) * weight[:, None]
    right, narrow = right.astype(dtype), weight.astype(dtype)

    def one(numbered: tuple[Slab, tuple[Any, Any]]) -> np.ndarray:
        slab, mean = numbered
        change = _changes(table, slab, mean, members, share, intensity[slab.orbits])
        table.release()
        linear = change @ right[slab.orbits]
        np.square(change, out=change)
        return np.column_stack([linear, change @ narrow[slab.orbits]]).astype(float)

    total = np.zeros((len(members), right.shape[1] + 1))
    # In order, so that the bits do not depend on which thread came first.
    for part in each(one, list(zip(table.slabs, means, strict=True)), workers):
        total += part
    curve, (along, beside, square) = total[:, :-3], total[:, -3:].T
    before = float(np.sum(weight * free**2))
    # |x⊥ + Δ⊥|²: x⊥ is orthogonal to the curve already.
    norm = before + 2 * beside + square - np.sum(curve**2, axis=1)
    start = float(np.sum(weight * free * criterion.direction))
    return ratio(start + along, norm, float(np.sum(weight * intensity**2)))


def _changes(
    table: MemberTable,
    slab: Slab,
    mean: tuple[Any, Any],
    members: np.ndarray,
    share: np.ndarray,
    intensity: np.ndarray,
) -> np.ndarray:
    """Δ of every member in a slab, ``(n_kept, n_orbits)``."""
    re, im = mean[0][0], mean[1][0]
    dtype = slab.re.dtype
    coherent = _orbit_mean((re * re + im * im)[None], slab.size)
    x = (intensity * table.n_cells).astype(dtype)
    single = bool(np.all(table.n_frames == 1))
    change = np.empty((len(members), len(x)), dtype)
    per_chunk = max(1, _CHUNK // (dtype.itemsize * len(re)))
    for first in range(0, len(members), per_chunk):
        rows = slice(first, first + per_chunk)
        f = (share[rows, None] / table.n_cells).astype(dtype)
        ratio_of_f = share[rows, None].astype(dtype)
        here = members[rows]
        f_re, f_im = slab.re[here], slab.im[here]
        # ⟨|F|²⟩ of a block is more than |⟨F⟩|².
        block = None if single else _orbit_mean(f_re * f_re + f_im * f_im, slab.size)
        f_re *= re
        f_im *= im
        f_re += f_im
        shift = coherent - 2 * _orbit_mean(f_re, slab.size)
        around = slab.square[here] + shift
        apart = around if block is None else block + shift
        change[rows] = f * (x - around - ratio_of_f * apart)
    return change


def _orbit_mean(values: np.ndarray, size: int) -> np.ndarray:
    """Mean over the members of each orbit, which stand side by side.

    Column by column: numpy's mean over so short an axis takes ten times as long.
    """
    total = values[:, ::size]
    for place in range(1, size):
        total = total + values[:, place::size]
    return total / size
