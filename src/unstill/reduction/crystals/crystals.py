"""Which crystals belong together: by unit cell, then by the agreement of their intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gemmi
import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from unstill.crystal import Crystal
from unstill.crystal.same_lattice import CELL_TOLERANCE
from unstill.errors import InputError
from unstill.reduction.crystals.crystal_tables import (
    CrystalAgreement,
    CrystalTable,
    Pool,
    agreement,
)
from unstill.reduction.merging.representatives import packed

MAX_PAIRWISE = 40
"""More crystals than this are each compared with all others together."""

_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")
_SIGNIFICANT = 3.0
_LEAST_TYPICAL = 0.5
_LENIENCE = 0.75
"""Stills that belong together differ in the error of their orientation, too."""


@dataclass(frozen=True)
class CrystalOptions:
    """When crystals count as different.

    Parameters
    ----------
    max_cell_difference
        Largest relative difference of a cell length (or of an angle, in
        radians) between crystals of one cluster.
    min_likeness
        Smallest correlation between crystals of one cluster, freed from noise
        and in units of the one that is typical of the crystals at hand: scales
        that are not refined yet make all of them somewhat unlike.
    """

    max_cell_difference: float = CELL_TOLERANCE
    min_likeness: float = 0.8


@dataclass(frozen=True)
class CrystalVerdict:
    """What became of one crystal, and why.

    Parameters
    ----------
    name
        Of the crystal.
    kept
        Whether it goes on.
    reason
        In words and figures; empty for a crystal that is kept.
    cell_difference
        Largest relative difference to the median cell of the kept crystals.
    agreement
        With all kept crystals but itself; ``None`` for a crystal that was not compared.
    n_rows
        Rows that it brings.
    """

    name: str
    kept: bool
    reason: str
    cell_difference: float
    agreement: CrystalAgreement | None
    n_rows: int


@dataclass(frozen=True)
class CrystalChoice:
    """The crystals that go on and those that do not.

    Parameters
    ----------
    verdicts
        One a crystal, in order.
    pairs
        Agreement of every pair that was compared, by their numbers.
    """

    verdicts: tuple[CrystalVerdict, ...]
    pairs: dict[tuple[int, int], CrystalAgreement] = field(default_factory=dict)

    @property
    def kept(self) -> tuple[int, ...]:
        """Numbers of the crystals that go on."""
        return tuple(i for i, verdict in enumerate(self.verdicts) if verdict.kept)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Numbers of the others."""
        return tuple(i for i, verdict in enumerate(self.verdicts) if not verdict.kept)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return {
            "kept": [self.verdicts[i].name for i in self.kept],
            "dropped": [
                {"name": self.verdicts[i].name, "reason": self.verdicts[i].reason}
                for i in self.dropped
            ],
            "crystals": [
                {
                    "name": verdict.name,
                    "kept": verdict.kept,
                    "cell_difference": verdict.cell_difference,
                    "cc": None if verdict.agreement is None else verdict.agreement.cc,
                    "cc_error": None if verdict.agreement is None else verdict.agreement.error,
                    "cc_expected": None
                    if verdict.agreement is None
                    else verdict.agreement.expected,
                    "n_common": 0 if verdict.agreement is None else verdict.agreement.n,
                    "n_rows": verdict.n_rows,
                }
                for verdict in self.verdicts
            ],
        }


def choose_crystals(
    tables: Sequence[CrystalTable],
    cells: Sequence[Crystal],
    *,
    names: Sequence[str] | None = None,
    options: CrystalOptions | None = None,
) -> CrystalChoice:
    """Keep the largest cluster of crystals that are alike, and say why others go.

    First by unit cell: hierarchical clustering of the largest relative
    difference of cell constants, in the axes given or between Niggli cells.
    Then by intensity: clustering of 1 − likeness, the correlation of the
    anisotropic parts on common voxels divided by the one that their noise
    allows. With more than 40 crystals, or where many pairs share too few
    voxels (stills), each is compared with all others together, and the worst
    leave one after the other.

    Parameters
    ----------
    tables
        One a crystal, of :func:`~unstill.reduction.crystals.crystal_tables.crystal_tables`.
    cells
        Unit cell of each crystal as it was refined.
    names
        For messages; "crystal 1", ... by default.
    options
        Limits.

    Returns
    -------
    choice
        At least one crystal is kept.

    Raises
    ------
    InputError
        If there is no crystal, or tables and cells do not match.

    References
    ----------
    Foadi, J. et al. (2013). *Acta Cryst.* D69, 1617–1632,
    https://doi.org/10.1107/S0907444913012274.
    """
    options = CrystalOptions() if options is None else options
    if not tables or len(tables) != len(cells):
        raise InputError(
            "every crystal needs observations and a unit cell",
            found=f"{len(tables)} sets of observations and {len(cells)} cells",
            fix="give one of each for every crystal",
        )
    names = names or [f"crystal {i + 1}" for i in range(len(tables))]
    weight = np.array([table.n_rows for table in tables])
    by_cell = _largest(_cell_clusters(cells, options.max_cell_difference), weight)
    kept, pairs = _alike(tables, by_cell, options, weight)
    return CrystalChoice(_verdicts(tables, cells, names, by_cell, kept, pairs), pairs)


def cell_difference(one: Crystal, other: Crystal) -> tuple[float, str]:
    """Return the largest relative difference of two cells, and the constant that it is in.

    Angles count in radians. Cells that differ only by the choice of axes are
    compared as Niggli cells.

    Examples
    --------
    >>> a = Crystal((50.0, 60.0, 70.0, 90.0, 90.0, 90.0))
    >>> difference, name = cell_difference(a, Crystal((50.0, 60.0, 71.4, 90.0, 90.0, 90.0)))
    >>> round(difference, 3), name
    (0.02, 'c')
    """
    direct = _difference(np.array(one.unit_cell), np.array(other.unit_cell))
    if direct[0] < CELL_TOLERANCE:
        return direct
    reduced = _difference(_niggli(one), _niggli(other))
    return min(direct, reduced, key=lambda found: found[0])


def _difference(one: np.ndarray, other: np.ndarray) -> tuple[float, str]:
    lengths = np.abs(other[:3] / one[:3] - 1)
    angles = np.radians(np.abs(other[3:] - one[3:]))
    every = np.concatenate([lengths, angles])
    worst = int(np.argmax(every))
    return float(every[worst]), _NAMES[worst]


def _niggli(crystal: Crystal) -> np.ndarray:
    cell = gemmi.UnitCell(*crystal.unit_cell)
    reduced = gemmi.GruberVector(cell, crystal.group.centring_type())
    reduced.niggli_reduce()
    return np.array(reduced.cell_parameters())


def _cell_clusters(cells: Sequence[Crystal], limit: float) -> np.ndarray:
    if len(cells) == 1:
        return np.zeros(1, dtype=np.int64)
    direct = np.array([cell.unit_cell for cell in cells])
    lengths = np.abs(np.log(direct[:, None, :3] / direct[None, :, :3])).max(axis=-1)
    angles = np.radians(np.abs(direct[:, None, 3:] - direct[None, :, 3:])).max(axis=-1)
    distance = np.maximum(lengths, angles)
    reduced = [_niggli(cell) for cell in cells]
    for i, j in zip(*np.nonzero(np.triu(distance >= limit, 1)), strict=True):
        other = _difference(reduced[i], reduced[j])[0]
        distance[i, j] = distance[j, i] = min(distance[i, j], other)
    return _clusters(distance, limit)


def _clusters(distance: np.ndarray, limit: float) -> np.ndarray:
    tree = linkage(squareform(distance, checks=False), method="average")
    label: np.ndarray = fcluster(tree, limit, criterion="distance")
    return label


def _largest(label: np.ndarray, weight: np.ndarray) -> list[int]:
    """Members of the cluster with most crystals; of equals the one with most rows."""
    groups = [np.flatnonzero(label == name) for name in np.unique(label)]
    best = max(groups, key=lambda group: (len(group), weight[group].sum(), -group[0]))
    return [int(i) for i in best]


def _alike(
    tables: Sequence[CrystalTable],
    members: list[int],
    options: CrystalOptions,
    weight: np.ndarray,
) -> tuple[list[int], dict[tuple[int, int], CrystalAgreement]]:
    if len(members) == 1:
        return members, {}
    if len(members) > MAX_PAIRWISE:
        return _against_the_rest(tables, members, options), {}
    pairs = _pairs(tables, members)
    known = [pair.likeness for pair in pairs.values()]
    if np.mean(np.isnan(known)) > 0.25:
        return _against_the_rest(tables, members, options), pairs
    distance = np.zeros((len(members), len(members)))
    typical = _typical(known)
    for (i, j), pair in pairs.items():
        # The benefit of the doubt: what may be alike within its error is not told apart.
        likeness = pair.likeness + _SIGNIFICANT * pair.likeness_error
        likeness = 1.0 if np.isnan(likeness) else min(likeness / typical, 1.0)
        a, b = members.index(i), members.index(j)
        distance[a, b] = distance[b, a] = 1 - likeness
    label = _clusters(distance, 1 - options.min_likeness)
    return [members[i] for i in _largest(label, weight[members])], pairs


def _typical(likeness: Sequence[float]) -> float:
    """Return what crystals that are alike reach: the upper quartile, for half may be others."""
    known = np.array([value for value in likeness if np.isfinite(value)])
    return float(np.clip(np.quantile(known, 0.75), _LEAST_TYPICAL, 1.0)) if len(known) else 1.0


def _pairs(
    tables: Sequence[CrystalTable], members: Sequence[int]
) -> dict[tuple[int, int], CrystalAgreement]:
    keys = {i: packed(tables[i].index) for i in members}
    found = {}
    for place, i in enumerate(members):
        for j in members[place + 1 :]:
            _, a, b = np.intersect1d(keys[i], keys[j], assume_unique=True, return_indices=True)
            one, other = tables[i], tables[j]
            found[i, j] = agreement(one.u[a], one.precision[a], other.u[b], other.precision[b])
    return found


def _against_the_rest(
    tables: Sequence[CrystalTable], members: list[int], options: CrystalOptions
) -> list[int]:
    """Let the crystals that agree least with the others go, some at a time, and look again."""
    kept = list(members)
    while len(kept) > 2:
        pool = Pool.of(tables, kept)
        found = [pool.against(tables[i], i, member=True) for i in kept]
        best_case = np.array([one.likeness + _SIGNIFICANT * one.likeness_error for one in found])
        typical = _typical([one.likeness for one in found])
        bad = np.flatnonzero(best_case < _LENIENCE * options.min_likeness * typical)
        if not len(bad):
            break
        # The rest improves as bad ones leave; a tenth at a time keeps the good ones in.
        worst = bad[np.argsort(best_case[bad], kind="stable")][: max(1, len(kept) // 10)]
        kept = [i for place, i in enumerate(kept) if place not in set(worst.tolist())]
    return kept


def _verdicts(
    tables: Sequence[CrystalTable],
    cells: Sequence[Crystal],
    names: Sequence[str],
    by_cell: list[int],
    kept: list[int],
    pairs: dict[tuple[int, int], CrystalAgreement],
) -> tuple[CrystalVerdict, ...]:
    middle = np.median([cells[i].unit_cell for i in kept], axis=0)
    a, b, c, alpha, beta, gamma = (float(value) for value in middle)
    median_cell = Crystal((a, b, c, alpha, beta, gamma), cells[kept[0]].space_group)
    pool = Pool.of(tables, kept)
    among = _among(tables, kept, pairs, pool)
    verdicts = []
    for i, name in enumerate(names):
        difference, constant = cell_difference(median_cell, cells[i])
        found = None
        if i in by_cell and (len(kept) > 1 or i not in kept):
            found = pool.against(tables[i], i, member=i in kept)
        reason = ""
        if i not in by_cell:
            reason = _cell_reason(difference, constant)
        elif i not in kept and found is not None:
            reason = _intensity_reason(found, among, len(kept))
        verdicts.append(
            CrystalVerdict(name, i in kept, reason, difference, found, tables[i].n_rows)
        )
    return tuple(verdicts)


def _cell_reason(difference: float, constant: str) -> str:
    if constant in _NAMES[:3]:
        return f"cell differs by {100 * difference:.1f} % in {constant}"
    return f"cell differs by {np.degrees(difference):.1f} degrees in {constant}"


def _intensity_reason(found: CrystalAgreement, among: float, n_kept: int) -> str:
    figures = f"CC {found.cc:.2f} ± {found.error:.2f} on {found.n} voxels"
    if n_kept == 1:
        return (
            f"{figures} with the only crystal that is kept, where its noise allows "
            f"{found.expected:.2f}"
        )
    return (
        f"{figures} with the rest, which agree at {among:.2f} among themselves; "
        f"its noise allows {found.expected:.2f}"
    )


def _among(
    tables: Sequence[CrystalTable],
    kept: list[int],
    pairs: dict[tuple[int, int], CrystalAgreement],
    pool: Pool,
) -> float:
    """Median CC between kept crystals: each with the others together."""
    if len(kept) < 2:
        return float("nan")
    return float(np.nanmedian([pool.against(tables[i], i, member=True).cc for i in kept]))
