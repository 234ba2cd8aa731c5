"""Moving a map to other indices, and choosing between indexings."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.crystal import HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.reindexing import (
    MAX_OBLIQUITY,
    ReindexOperator,
    candidate_operators,
    reindexed_crystal,
)
from unstill.errors import InputError, UnstillWarning
from unstill.maps.common_split import CommonSplit, split_on_common_mask
from unstill.maps.correlation import pearson
from unstill.maps.intensity_map import IntensityMap

NEAR_TIE = 0.05
"""Two candidates closer than this in anisotropic CC are told to the user."""

_AXES = "hkl"


@dataclass(frozen=True)
class Candidate:
    """One indexing and the agreement that it gives; NaN where it cannot be applied."""

    operator: ReindexOperator
    cc_aniso: float


@dataclass(frozen=True, eq=False)
class IndexingChoice:
    """The indexing that makes two maps agree best.

    Parameters
    ----------
    operator
        The chosen one; moves ``b`` onto ``a``.
    candidates
        All of them, best first.
    margin
        Anisotropic CC of the best less that of the second; NaN where there is
        only one.
    reindexed
        ``b`` moved by the operator.
    split
        Both maps on their common mask, for whatever comes next.
    """

    operator: ReindexOperator
    candidates: tuple[Candidate, ...]
    margin: float
    reindexed: IntensityMap
    split: CommonSplit


def reindex(full: IntensityMap, operator: ReindexOperator) -> IntensityMap:
    """Move every voxel to hkl' = hkl @ matrix, I'(hkl') = I(hkl).

    Cell and space group follow their axes. The box becomes the smallest that
    holds all voxels; what was not in the map is masked there.

    Raises
    ------
    InputError
        If the operator mixes axes that are divided differently, or takes grid
        points off the grid.

    Examples
    --------
    >>> from unstill.crystal import Crystal
    >>> from unstill.crystal.reindexing import parse_operator
    >>> crystal = Crystal((48.5, 48.5, 63.4, 90.0, 90.0, 90.0), "P 41")
    >>> column = IntensityMap(crystal, HklGrid((1, 2, 3), (1, 1, 2)), np.array([[[7.0, 8.0]]]))
    >>> moved = reindex(column, parse_operator("k,h,-l"))
    >>> moved.grid.start, moved.intensity.ravel().tolist()
    ((2, 1, -4), [8.0, 7.0])
    """
    if operator.is_identity:
        return full
    return _moved(full, operator).replace(crystal=reindexed_crystal(full.crystal, operator))


def choose_indexing(
    a: IntensityMap,
    b: IntensityMap,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    max_obliquity: float = MAX_OBLIQUITY,
) -> IndexingChoice:
    """Try every indexing of ``b`` that the lattice allows and keep the best.

    Judged by the anisotropic correlation with ``a``; the total correlation is
    nearly blind to the choice. A near tie (within 0.05), and candidates that
    cannot be applied to this grid, are told as an
    :class:`~unstill.errors.UnstillWarning`.

    Parameters
    ----------
    a, b
        Maps of one lattice. ``b`` is moved, ``a`` stays.
    d_min, d_max
        Resolution limits (Å).
    max_obliquity
        Tolerance (degrees) for the symmetry of the lattice.

    Raises
    ------
    InputError
        If the maps as they are do not share a lattice or voxels.
    """
    operators = candidate_operators(b.crystal, a.crystal, max_obliquity=max_obliquity)
    # The maps as they are must be comparable; an indexing that alone brings them together
    # would be a guess.
    as_is = split_on_common_mask(a, b, d_min=d_min, d_max=d_max)
    splits: dict[ReindexOperator, CommonSplit] = {operators[0]: as_is}
    untried: dict[str, str] = {}
    for operator in operators[1:]:
        # Another indexing can leave the grid or the box of the other map; it has no number.
        try:
            moved = _moved(b, operator)
            splits[operator] = split_on_common_mask(a, moved, d_min=d_min, d_max=d_max)
        except InputError as error:
            untried[operator.name] = error.what
    if untried:
        _warn_of_untried(untried)
    tried = [Candidate(operator, _agreement(splits.get(operator))) for operator in operators]
    # A stable sort: the identity comes first, and so wins an exact tie.
    ranked = tuple(sorted(tried, key=_rank))
    margin = _margin(ranked)
    if margin < NEAR_TIE:
        _warn_of_tie(ranked, margin)
    best = ranked[0].operator
    return IndexingChoice(best, ranked, margin, reindex(b, best), splits[best])


def _agreement(split: CommonSplit | None) -> float:
    return float("nan") if split is None else pearson(split.aniso_a(), split.aniso_b())


def _rank(candidate: Candidate) -> float:
    # Rounded, so that the last bits of a sum do not decide between equals.
    return 2.0 if np.isnan(candidate.cc_aniso) else -round(candidate.cc_aniso, 9)


def _moved(full: IntensityMap, operator: ReindexOperator) -> IntensityMap:
    """Voxels at their new indices; the crystal as it was, for the lattice is the same."""
    if operator.is_identity:
        return full
    divisions, matrix = _on_grid(full, operator)
    moved = full.grid.index().reshape(-1, 3) @ matrix
    low, extent = moved.min(axis=0), np.ptp(moved, axis=0) + 1
    start: Triple = (int(low[0]), int(low[1]), int(low[2]))
    grid = HklGrid(start, (int(extent[0]), int(extent[1]), int(extent[2])), divisions)
    target = grid.position(moved)

    return full.replace(
        grid=grid,
        intensity=_scattered(full.intensity, np.nan, grid, target),
        sigma=None if full.sigma is None else _scattered(full.sigma, np.nan, grid, target),
        n_obs=None if full.n_obs is None else _scattered(full.n_obs, 0, grid, target),
        mask=_scattered(full.mask, True, grid, target),
    )


def _scattered(values: np.ndarray, empty: Any, grid: HklGrid, target: np.ndarray) -> np.ndarray:
    out = np.full(grid.size, empty, dtype=values.dtype)
    out[target] = values.ravel()
    return out.reshape(grid.shape)


def _on_grid(full: IntensityMap, operator: ReindexOperator) -> tuple[Triple, np.ndarray]:
    """Divisions of the new axes, and the operator on grid indices."""
    matrix, old = operator.matrix, np.array(full.grid.divisions)
    divisions = []
    for axis in range(3):
        sources = {int(n) for n in old[matrix[:, axis] != 0]}
        if len(sources) != 1:
            raise InputError(
                f"{operator.name} mixes axes that are divided differently",
                found=f"divisions {full.grid.divisions}",
                fix="resample to equal divisions of these axes",
            )
        divisions.append(sources.pop())
    whole = np.rint(matrix).astype(np.int64)
    if not np.allclose(matrix, whole):
        raise InputError(
            f"{operator.name} takes grid points off the grid",
            found=f"divisions {full.grid.divisions}",
            fix="use an operator with whole coefficients",
        )
    return (divisions[0], divisions[1], divisions[2]), whole


def _margin(ranked: tuple[Candidate, ...]) -> float:
    known = [candidate.cc_aniso for candidate in ranked if not np.isnan(candidate.cc_aniso)]
    return known[0] - known[1] if len(known) > 1 else float("nan")


def _warn_of_untried(untried: dict[str, str]) -> None:
    names, reasons = " and ".join(untried), "; ".join(dict.fromkeys(untried.values()))
    warnings.warn(
        f"the lattice allows indexings that could not be tried, {names}: {reasons}",
        UnstillWarning,
        stacklevel=3,
    )


def _warn_of_tie(ranked: tuple[Candidate, ...], margin: float) -> None:
    first, second = ranked[:2]
    warnings.warn(
        f"the indexing is nearly a tie: {first.operator.name} gives an anisotropic CC of "
        f"{first.cc_aniso:.3f} and {second.operator.name} {second.cc_aniso:.3f} "
        f"(margin {margin:.3f} < {NEAR_TIE}); the maps agree too little to decide, or have more "
        "symmetry than their space groups say",
        UnstillWarning,
        stacklevel=3,
    )
