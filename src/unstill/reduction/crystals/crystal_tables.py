"""What each crystal says about each voxel, in numbers that compare between crystals.

The anisotropic part of a crystal's own merged data, u = (I − ⟨I⟩(s)) / √v(s), with mean and
true spread v of its resolution shell, has unit variance if the crystals are alike; its noise has
the variance 1/p = σ²/v. Then y = u p/(1 + p) is the best guess of u, and of two crystals that
are alike

    Σ y₁ y₂ / √(Σ y₁² Σ y₂²)   is expected to be   Σ f₁ f₂ / √(Σ f₁ Σ f₂),   f = p/(1 + p),

so that weak data are not mistaken for different crystals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.maps.observations import Observations
from unstill.reduction.merging.error_model import fit_error_model
from unstill.reduction.merging.halves import splitmix64
from unstill.reduction.merging.merge import merge_observations
from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.representatives import packed
from unstill.reduction.merging.row_prediction import predict_rows
from unstill.shapes import Float, Int, Integer

MOST_VOXELS = 60_000
"""More voxels of one crystal teach nothing about whether it fits; a fixed random part is used."""

_GOOD_CHI2 = 1.05
_N_SHELLS = 20
_COUNTS_OF_BLOCK = 400
MIN_COMMON = 30
"""Fewer common voxels give no correlation."""


@dataclass(frozen=True, eq=False)
class CrystalTable:
    """Voxels of one crystal.

    Parameters
    ----------
    crystal, divisions
        The lattice.
    index
        ``(m, 3)`` representatives.
    u
        ``(m,)`` anisotropic intensity in units of its own spread.
    precision
        ``(m,)`` p, one over the variance of its noise.
    n_rows
        Rows that were merged.
    """

    crystal: Crystal
    divisions: Triple
    index: Integer[np.ndarray, "m 3"]
    u: Float[np.ndarray, " m"]
    precision: Float[np.ndarray, " m"]
    n_rows: int


@dataclass(frozen=True)
class CrystalAgreement:
    """Correlation of two crystals, or of one with others.

    Parameters
    ----------
    cc
        Correlation of the anisotropic parts.
    error
        Its standard error.
    expected
        What it would be if both had one intensity, given their noise.
    n
        Common voxels.
    """

    cc: float
    error: float
    expected: float
    n: int

    @property
    def likeness(self) -> float:
        """CC without the noise: 1 for crystals that are alike; NaN where too little is known."""
        known = self.n >= MIN_COMMON and self.expected > 0
        return self.cc / self.expected if known else float("nan")

    @property
    def likeness_error(self) -> float:
        """Standard error of the likeness."""
        known = self.n >= MIN_COMMON and self.expected > 0
        return self.error / self.expected if known else float("nan")


def crystal_tables(
    observations: Observations,
    *,
    scale: Float[np.ndarray, " n"] | None = None,
    offset: Float[np.ndarray, " n"] | None = None,
    keep: np.ndarray | None = None,
    crystal_of_sweep: Sequence[int] | None = None,
) -> list[CrystalTable]:
    """Merge each crystal by itself and bring it to the common measure.

    Parameters
    ----------
    observations
        Rows of all crystals.
    scale, offset
        ``(n,)`` model of the rows. By default each block of each sweep gets the
        scale that its isotropic intensity tells, and the offset is 0. A scale
        a crystal has no part in the result.
    keep
        ``(n,)`` bool, False for rejected rows.
    crystal_of_sweep
        Number of the crystal of each sweep; one a sweep by default.

    Returns
    -------
    tables
        One a crystal, in order.

    Raises
    ------
    InputError
        If a crystal has no rows.
    """
    offset = np.zeros(len(observations)) if offset is None else offset
    rows_of = rows_by_crystal(observations, crystal_of_sweep)
    tables = []
    for crystal, rows in enumerate(rows_of):
        if not len(rows) or (keep is not None and not np.any(keep[rows])):
            raise InputError(
                f"crystal {crystal + 1} has no observations",
                found="no row that was not rejected",
                fix="leave the crystal out",
            )
        merged = _merged(
            observations.take(rows),
            None if scale is None else scale[rows],
            offset[rows],
            None if keep is None else keep[rows],
        )
        tables.append(table_of(merged))
    return tables


def _merged(
    rows: Observations, scale: np.ndarray | None, offset: np.ndarray, keep: np.ndarray | None
) -> Merged:
    """Merge one crystal, with an error model that covers what its scales leave over."""
    scale = block_scales(rows, offset, keep) if scale is None else scale
    merged = merge_observations(rows, scale, offset, keep=keep)
    if not merged.chi2 > _GOOD_CHI2:
        return merged
    intensity, leverage = predict_rows(rows, scale, offset, merged, keep=keep)
    model = fit_error_model(rows, scale, offset, intensity, leverage, keep=keep)
    return merge_observations(rows, scale, offset, keep=keep, error_model=model)


def block_scales(
    observations: Observations,
    offset: Float[np.ndarray, " n"],
    keep: np.ndarray | None = None,
) -> Float[np.ndarray, " n"]:
    """Scale of each row from the isotropic intensity of its block of frames.

    Σ signal / Σ expected signal of the block, with the mean intensity of all
    blocks by resolution. Blocks that are too weak to tell get 1.

    Parameters
    ----------
    observations, offset, keep
        Rows of one crystal.
    """
    kept = np.ones(len(observations), bool) if keep is None else np.asarray(keep, bool)
    signal = observations.counts - observations.background - observations.exposure * offset
    signal, exposure = np.where(kept, signal, 0.0), np.where(kept, observations.exposure, 0.0)
    edges = np.quantile(observations.s, np.linspace(0, 1, _N_SHELLS + 1)[1:-1])
    shell = np.searchsorted(edges, observations.s)
    place = (observations.sweep.astype(np.int64) << 32) | observations.block
    _, block = np.unique(place, return_inverse=True)
    block = block.ravel()
    counted = np.bincount(block, weights=np.where(kept, observations.counts, 0.0))
    scale = np.ones(int(block.max(initial=-1)) + 1)
    for _ in range(3):
        effective = exposure * scale[block]
        mean = np.bincount(shell, signal) / np.maximum(np.bincount(shell, effective), 1e-300)
        expected = np.bincount(block, exposure * mean[shell])
        total = np.bincount(block, signal)
        strong = (counted >= _COUNTS_OF_BLOCK) & (expected > 0) & (total > 0.05 * expected)
        scale = np.where(strong, total / np.where(strong, expected, 1.0), 1.0)
    of_rows: np.ndarray = scale[block]
    return of_rows


def rows_by_crystal(
    observations: Observations, crystal_of_sweep: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Positions of the rows of each crystal."""
    n_sweeps = int(observations.sweep.max(initial=-1)) + 1
    of_sweep = np.arange(max(n_sweeps, len(observations.sweep_names)))
    if crystal_of_sweep is not None:
        of_sweep = np.asarray(crystal_of_sweep, dtype=np.int64)
        if len(of_sweep) < n_sweeps:
            raise InputError(
                "some sweeps belong to no crystal",
                found=f"{len(of_sweep)} numbers for {n_sweeps} sweeps",
                fix="give the crystal of every sweep",
            )
    crystal = of_sweep[observations.sweep]
    order = np.argsort(crystal, kind="stable")
    edges = np.searchsorted(crystal[order], np.arange(of_sweep.max(initial=-1) + 2))
    return [order[begin:end] for begin, end in pairwise(edges)]


def table_of(merged: Merged) -> CrystalTable:
    """Bring merged data of one crystal to the common measure."""
    key = packed(merged.index)
    chosen = np.isfinite(merged.intensity) & (merged.sigma > 0)
    excess = np.count_nonzero(chosen) / MOST_VOXELS
    if excess > 1:
        # The same voxels of every crystal, wherever they lie.
        fraction = splitmix64(key.view(np.uint64)) / 2.0**64
        chosen &= fraction < 1 / excess
    key = key[chosen]
    mean = merged.expectation.mean_at(key)
    spread = merged.expectation.variance_at(key)
    return CrystalTable(
        crystal=merged.crystal,
        divisions=merged.divisions,
        index=merged.index[chosen],
        u=(merged.intensity[chosen] - mean) / np.sqrt(spread),
        precision=spread / merged.sigma[chosen] ** 2,
        n_rows=int(merged.n_obs.sum()),
    )


def agreement(
    u_one: np.ndarray, p_one: np.ndarray, u_other: np.ndarray, p_other: np.ndarray
) -> CrystalAgreement:
    """Return how well values at common voxels agree, and how well they should."""
    n = len(u_one)
    f_one, f_other = p_one / (1 + p_one), p_other / (1 + p_other)
    one, other = u_one * f_one, u_other * f_other
    one, other = one - _mean(one), other - _mean(other)
    size = float(np.sqrt((one @ one) * (other @ other)))
    promised = float(np.sqrt(f_one.sum() * f_other.sum()))
    if n < 3 or size <= 0 or promised <= 0:
        return CrystalAgreement(float("nan"), float("nan"), 0.0, n)
    cc = float(one @ other) / size
    return CrystalAgreement(
        cc, float((1 - cc**2) / np.sqrt(n - 2)), float(f_one @ f_other) / promised, n
    )


@dataclass(frozen=True, eq=False)
class Pool:
    """Sums over crystals: what they say together, and what all but one say.

    Parameters
    ----------
    voxel
        Of each crystal, ``(m,)`` number of its voxels.
    weighted, precision
        ``(n_voxels,)`` Σ u p and Σ p.
    """

    voxel: list[Int[np.ndarray, " m"]]
    weighted: Float[np.ndarray, " v"]
    precision: Float[np.ndarray, " v"]

    @classmethod
    def of(cls, tables: Sequence[CrystalTable], members: Sequence[int] | None = None) -> Pool:
        """Add up the members (all by default); voxels of the others are known too."""
        keys = [packed(table.index) for table in tables]
        return cls.numbered(tables, keys, members)

    @classmethod
    def numbered(
        cls,
        tables: Sequence[CrystalTable],
        keys: Sequence[np.ndarray],
        members: Sequence[int] | None = None,
    ) -> Pool:
        """Add up with voxels named by given keys."""
        every, joint = np.unique(np.concatenate(keys), return_inverse=True)
        edges = np.cumsum([0, *(len(key) for key in keys)])
        voxel = [joint.ravel()[a:b] for a, b in pairwise(edges)]
        weighted, precision = np.zeros(len(every)), np.zeros(len(every))
        for i in range(len(tables)) if members is None else members:
            weighted[voxel[i]] += tables[i].u * tables[i].precision
            precision[voxel[i]] += tables[i].precision
        return cls(voxel, weighted, precision)

    def against(self, table: CrystalTable, number: int, *, member: bool) -> CrystalAgreement:
        """Agreement of a crystal with the others in the pool, itself left out if a member."""
        place = self.voxel[number]
        weighted, precision = self.weighted[place], self.precision[place]
        if member:
            weighted = weighted - table.u * table.precision
            precision = precision - table.precision
        common = precision > 1e-9 * np.maximum(table.precision, 1e-300)
        rest, p_rest = weighted[common] / precision[common], precision[common]
        return agreement(table.u[common], table.precision[common], rest, p_rest)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
