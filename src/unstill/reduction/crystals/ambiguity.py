"""Indexing ambiguity between crystals: how to index each one to agree with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from unstill.crystal.reindexing import (
    IDENTITY,
    ReindexOperator,
    candidate_operators,
)
from unstill.crystal.same_lattice import same_lattice
from unstill.crystal.symmetry import index_operations
from unstill.errors import InputError
from unstill.reduction.crystals.crystal_tables import CrystalAgreement, CrystalTable, Pool
from unstill.reduction.crystals.reindex import index_matrix, moved_crystal
from unstill.reduction.merging.halves import splitmix64
from unstill.reduction.merging.representatives import packed, representatives

MIN_MARGIN = 0.05
"""A lead in likeness below this does not decide, however well it is known."""

_SIGNIFICANT = 3.0
_STEPS = 60
_STARTS = 6
_MOST_ENTRIES = 1_000_000
"""Voxels × candidates of all crystals in the matrix of pairs; a fixed part of more is used."""


@dataclass(frozen=True)
class IndexingOfCrystal:
    """The indexing of one crystal.

    Parameters
    ----------
    operator
        Moves the crystal to the common indexing, hkl' = hkl @ matrix.
    agreement
        With the others in that indexing; ``None`` if there was nothing to choose.
    margin
        Lead over the next best operator in CC; NaN if it is not known.
    decided
        Whether the lead is more than chance would give.
    """

    operator: ReindexOperator
    agreement: CrystalAgreement | None
    margin: float
    decided: bool


@dataclass(frozen=True)
class AmbiguityResult:
    """Operators of all crystals, in order.

    Parameters
    ----------
    crystals
        One a crystal.
    candidates
        The operators to choose from; one if there is no ambiguity.
    """

    crystals: tuple[IndexingOfCrystal, ...]
    candidates: tuple[ReindexOperator, ...]

    @property
    def undecided(self) -> tuple[int, ...]:
        """Numbers of the crystals for which the data do not tell."""
        return tuple(i for i, crystal in enumerate(self.crystals) if not crystal.decided)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return {
            "candidates": [operator.name for operator in self.candidates],
            "crystals": [
                {
                    "operator": crystal.operator.name,
                    "cc": None if crystal.agreement is None else crystal.agreement.cc,
                    "margin": crystal.margin,
                    "decided": crystal.decided,
                }
                for crystal in self.crystals
            ],
        }


def resolve_ambiguity(
    tables: Sequence[CrystalTable], *, reference: CrystalTable | None = None, seed: int = 0
) -> AmbiguityResult:
    r"""Find the operator that brings each crystal to one common indexing.

    The agreement of all pairs in all combinations of candidate operators is
    one matrix, Σ y_i(h g_i) y_j(h g_j). An assignment of large total agreement
    is found by mean-field annealing from several starts, then improved
    crystal by crystal against all others together.

    Parameters
    ----------
    tables
        One a crystal, of :func:`~unstill.reduction.crystals.crystal_tables.crystal_tables`.
    reference
        A known data set that sets the indexing. By default the strongest
        crystal keeps its own.
    seed
        Of the starts.

    Returns
    -------
    result
        Crystals whose lead is within three standard errors, or below 0.05, are
        ``undecided``.

    Raises
    ------
    InputError
        If there is no crystal, or a candidate does not fit the divisions.

    References
    ----------
    Brehm, W. & Diederichs, K. (2014). *Acta Cryst.* D70, 101–109,
    https://doi.org/10.1107/S1399004713025431.
    """
    if not tables:
        raise InputError("no crystal to index", fix="give one at least")
    candidates = usable_operators(tables[0])
    members = list(tables) if reference is None else [reference, *tables]
    first = 0 if reference is None else 1
    if len(candidates) == 1 or len(members) == 1:
        alone = IndexingOfCrystal(IDENTITY, None, float("nan"), decided=len(candidates) == 1)
        if len(members) == 1:
            alone = replace(alone, decided=True)  # it sets the indexing itself
        return AmbiguityResult((alone,) * len(tables), candidates)
    keys = [_moved_keys(table, candidates) for table in members]
    anchor = 0 if reference is not None else _strongest(members)
    chosen = _assign(members, keys, anchor, seed)
    chosen, found = _polished(members, keys, chosen, anchor)
    crystals = [
        _judged(candidates, chosen[i], found[i], is_anchor=i == anchor)
        for i in range(first, len(members))
    ]
    return AmbiguityResult(tuple(crystals), candidates)


def usable_operators(table: CrystalTable) -> tuple[ReindexOperator, ...]:
    """Return the indexings that the lattice allows and the divisions too, the identity first.

    A lattice with axes that differ by more than 1 % is not ambiguous.
    """
    usable = []
    for operator in candidate_operators(table.crystal):
        try:
            index_matrix(operator, table.divisions)
            turned = moved_crystal(table.crystal, operator)
        except InputError:
            continue
        if same_lattice(turned, table.crystal):
            usable.append(operator)
    return tuple(usable)


def _moved_keys(table: CrystalTable, candidates: Sequence[ReindexOperator]) -> list[np.ndarray]:
    """Keys of the voxels under each candidate."""
    operations = index_operations(table.crystal, table.divisions)
    keys = []
    for operator in candidates:
        moved = table.index @ index_matrix(operator, table.divisions)
        keys.append(packed(representatives(operations, moved)[0]))
    return keys


def _strongest(tables: Sequence[CrystalTable]) -> int:
    strength = [float((t.precision / (1 + t.precision)).sum()) for t in tables]
    return int(np.argmax(strength))


def _assign(
    tables: Sequence[CrystalTable], keys: list[list[np.ndarray]], anchor: int, seed: int
) -> np.ndarray:
    """Candidate of each crystal with the largest total agreement found."""
    pairs = _pair_matrix(tables, keys)
    best, best_score = np.zeros(len(tables), dtype=np.int64), -np.inf
    for start in range(_STARTS):
        rng = np.random.default_rng([seed, start])
        chosen = _annealed(pairs, anchor, rng if start else None)
        score = _score(pairs, chosen)
        # Ties go to the first start, which is the plain one.
        if score > best_score * (1 + 1e-12) + 1e-12:
            best, best_score = chosen, score
    return best


def _pair_matrix(tables: Sequence[CrystalTable], keys: list[list[np.ndarray]]) -> np.ndarray:
    """``(n, m, n, m)`` agreement of crystals i, j under candidates a, b; zero for i = j."""
    n, m = len(tables), len(keys[0])
    share = _MOST_ENTRIES / (m * sum(len(table.u) for table in tables))
    y, thinned = [], []
    for table, of_crystal in zip(tables, keys, strict=True):
        # The same part of reciprocal space under every candidate: an orbit has one largest key.
        orbit = np.max(of_crystal, axis=0).astype(np.uint64)
        used = splitmix64(orbit) / 2.0**64 < share
        y.append((table.u * table.precision / (1 + table.precision))[used])
        thinned.append([key[used] for key in of_crystal])
    flat = np.concatenate([key for of_crystal in thinned for key in of_crystal])
    if not len(flat):
        return np.zeros((n, m, n, m))
    _, column = np.unique(flat, return_inverse=True)
    values = np.concatenate([values for values in y for _ in range(m)])
    edges = np.concatenate(
        [[0], np.cumsum([len(k) for of_crystal in thinned for k in of_crystal])]
    )
    stacked = csr_array((values, column.ravel(), edges), shape=(n * m, int(column.max()) + 1))
    pairs = (stacked @ stacked.T).toarray().reshape(n, m, n, m)
    for i in range(n):
        pairs[i, :, i, :] = 0.0
    # What all candidates share says nothing, and would only blur the contrast.
    contrast: np.ndarray = pairs - pairs.mean(axis=(1, 3), keepdims=True)
    return contrast


def _annealed(pairs: np.ndarray, anchor: int, rng: np.random.Generator | None) -> np.ndarray:
    n, m = pairs.shape[:2]
    belief = np.full((n, m), 1 / m)
    if rng is not None:
        belief = rng.dirichlet(np.ones(m), n)
    belief[anchor] = 0.0
    belief[anchor, 0] = 1.0
    field = np.einsum("iajb,jb->ia", pairs, belief)
    size = float(np.abs(field).max()) or 1.0
    for step in range(_STEPS):
        # Cold enough at the end that one standard field decides.
        sharpness = (1 + step) / size * 0.5
        field = np.einsum("iajb,jb->ia", pairs, belief)
        raised = np.exp(np.clip(sharpness * (field - field.max(axis=1, keepdims=True)), -700, 0))
        new = raised / raised.sum(axis=1, keepdims=True)
        new[anchor] = belief[anchor]
        belief = 0.5 * belief + 0.5 * new
    chosen: np.ndarray = np.argmax(belief, axis=1)
    return _climbed(pairs, chosen, anchor)


def _climbed(pairs: np.ndarray, chosen: np.ndarray, anchor: int) -> np.ndarray:
    """Change one crystal at a time while the total agreement grows."""
    chosen = chosen.copy()
    everyone = np.arange(len(chosen))
    for _ in range(20):
        before = chosen.copy()
        for i in everyone:
            if i == anchor:
                continue
            field = pairs[i][:, everyone, chosen].sum(axis=1)
            if field.max() > field[chosen[i]]:
                chosen[i] = int(np.argmax(field))
        if np.array_equal(before, chosen):
            break
    return chosen


def _score(pairs: np.ndarray, chosen: np.ndarray) -> float:
    everyone = np.arange(len(chosen))
    return float(pairs[everyone, chosen][:, everyone, chosen].sum())


def _polished(
    tables: Sequence[CrystalTable],
    keys: list[list[np.ndarray]],
    chosen: np.ndarray,
    anchor: int,
) -> tuple[np.ndarray, list[list[CrystalAgreement]]]:
    """Improve against all others together; and the agreement of every candidate."""
    chosen = chosen.copy()
    for _ in range(5):
        found = _against_others(tables, keys, chosen)
        cc = np.array([[one.cc for one in of_crystal] for of_crystal in found])
        best = np.argmax(np.nan_to_num(cc, nan=-2.0), axis=1)
        best[anchor] = 0
        if np.array_equal(best, chosen):
            return chosen, found
        chosen = best
    return chosen, _against_others(tables, keys, chosen)


def _against_others(
    tables: Sequence[CrystalTable], keys: list[list[np.ndarray]], chosen: np.ndarray
) -> list[list[CrystalAgreement]]:
    own = [of_crystal[number] for of_crystal, number in zip(keys, chosen, strict=True)]
    pool = Pool.numbered(tables, own)
    every = np.unique(np.concatenate(own))
    weighted, precision = pool.weighted.copy(), pool.precision.copy()
    found: list[list[CrystalAgreement]] = []
    for i, table in enumerate(tables):
        # All but this crystal, in the indexing that the others have; put back afterwards.
        mine = pool.voxel[i]
        weighted[mine] -= table.u * table.precision
        precision[mine] = np.maximum(precision[mine] - table.precision, 0.0)
        of_crystal = []
        for key in keys[i]:
            place = np.minimum(np.searchsorted(every, key), len(every) - 1)
            there = every[place] == key
            part = replace(table, u=table.u[there], precision=table.precision[there])
            rest = Pool([place[there]], weighted, precision)
            of_crystal.append(rest.against(part, 0, member=False))
        found.append(of_crystal)
        weighted[mine], precision[mine] = pool.weighted[mine], pool.precision[mine]
    return found


def _judged(
    candidates: Sequence[ReindexOperator],
    number: int,
    found: list[CrystalAgreement],
    *,
    is_anchor: bool,
) -> IndexingOfCrystal:
    best = found[number]
    others = [one for i, one in enumerate(found) if i != number and np.isfinite(one.cc)]
    if is_anchor:
        # It keeps its own indexing by definition.
        rival = max((one.cc for one in others), default=float("nan"))
        return IndexingOfCrystal(candidates[number], best, best.cc - rival, decided=True)
    if not np.isfinite(best.cc) or not others:
        return IndexingOfCrystal(candidates[number], best, float("nan"), decided=False)
    second = max(others, key=lambda one: one.cc)
    margin = best.cc - second.cc
    error = float(np.hypot(best.error, second.error))
    enough = MIN_MARGIN * max(best.expected, 1e-9)
    decided = bool(margin > _SIGNIFICANT * error and margin > enough)
    return IndexingOfCrystal(candidates[number], best, margin, decided)
