"""V7: atoms that are bonded can be there together, and are bonded wherever they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.contacts import find_bonds
from unstill.ensembles.contacts.bonds import bond_lengths
from unstill.ensembles.contacts.coexistence import can_coexist
from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.constraints import ROUNDING
from unstill.ensembles.multiconformer.model import numbered
from unstill.validation.bonded_sites import known_bonds, likely_links
from unstill.validation.finding import Finding
from unstill.validation.row_names import row_names, several, state_ids

_MOST_PAIRS = 4_000_000
"""Pairs of rows that are looked at for broken bonds."""


def check_bonds(model: Multiconformer) -> Iterator[Finding]:
    """Find atoms whose bonded partners are all in states that exclude theirs, and broken bonds.

    Atoms count as bonded by the chemistry of their residues and chains, where some two rows of
    theirs are at the distance of a bond. A row whose bonded partners can never be there with it,
    though populations put the partner into some of its copies, is an error; a row
    that may occur with a partner too far away is a warning (a NOT rule is
    missing, or the junction is not closed). Where members are recorded, only what they combine
    counts.
    """
    # Without rules, bonds between states that exclude each other by rule show as well.
    bonds = find_bonds(model.replace(rules=(), members=None))
    certain = known_bonds(model, bonds.row_a, bonds.row_b)
    yield from _dangling(model, bonds.row_a[certain], bonds.row_b[certain], certain=True)
    yield from _broken(model, bonds.row_a[certain], bonds.row_b[certain])
    likely = likely_links(model, bonds.row_a, bonds.row_b) & ~certain
    yield from _dangling(model, bonds.row_a[likely], bonds.row_b[likely], certain=False)


def _dangling(
    model: Multiconformer, a: np.ndarray, b: np.ndarray, *, certain: bool
) -> Iterator[Finding]:
    together = can_coexist(model, model.state[a], model.state[b], observed=True)
    row, partner = np.concatenate([a, b]), np.concatenate([b, a])
    key = row.astype(np.int64) * max(model.n_sites, 1) + model.site[partner]
    found, inverse = np.unique(key, return_inverse=True)
    held = np.zeros(len(found), dtype=bool)
    np.logical_or.at(held, inverse, np.concatenate([together, together]))
    # Any one partner of those that are excluded, to name.
    first = np.full(len(found), -1)
    first[inverse] = partner
    rows, sites = np.divmod(found, max(model.n_sites, 1))
    # Where copies without the partner are as many as those with the row, the partner is absent.
    of_site = np.bincount(model.site, weights=model.occupancy, minlength=model.n_sites)
    meets = model.occupancy[rows] + of_site[sites] > 1 + ROUNDING + 1e-6
    apart = np.flatnonzero(~held & meets)
    if not certain or model.members is not None:
        # Where the two may be together at another distance, they are near by chance, not linked;
        # and in a recorded copy their bond is broken, which is told as such.
        apart = apart[~_may_meet(model, rows[apart], sites[apart])]
    groups: dict[tuple[int, int], list[int]] = {}
    for number in apart.tolist():
        pair = int(model.state[rows[number]]), int(model.state[first[number]])
        groups.setdefault((min(pair), max(pair)), []).append(number)
    for states, numbers in groups.items():
        yield _apart(model, states, rows[numbers], first[numbers], certain=certain)


def _may_meet(model: Multiconformer, rows: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Whether any row of each site may be in a copy with the row beside it."""
    order = np.argsort(model.site, kind="stable")
    starts = np.searchsorted(model.site[order], np.arange(model.n_sites + 1))
    times = starts[sites + 1] - starts[sites]
    number = np.repeat(np.arange(len(rows)), times)
    first = np.repeat(starts[sites] - np.cumsum(times) + times, times)
    others = order[first + np.arange(len(number))]
    together = can_coexist(model, model.state[rows[number]], model.state[others], observed=True)
    found = np.zeros(len(rows), dtype=bool)
    found[number[together]] = True
    return found


def _apart(
    model: Multiconformer,
    states: tuple[int, int],
    rows: np.ndarray,
    partners: np.ndarray,
    *,
    certain: bool,
) -> Finding:
    ids = state_ids(model, states)
    them = "it" if len(rows) == 1 else "them"
    bonded = "bonded" if certain else "at the distance of a bond"
    return Finding(
        "V7",
        "error" if certain else "warning",
        f"{several(len(rows), 'atom')} {bonded} only to atoms that are never there with {them}: "
        f"{ids[0]} and {ids[-1]} exclude each other",
        states=tuple(dict.fromkeys(ids)),
        atoms=row_names(model, rows.tolist()) + row_names(model, dict.fromkeys(partners.tolist())),
        remedy="join these states, or remove the rule that sets them apart",
        kind="bonded-apart" if certain else "linked-apart",
        count=len(rows),
    )


def _broken(model: Multiconformer, a: np.ndarray, b: np.ndarray) -> Iterator[Finding]:
    row_a, row_b, all_seen = _candidates(model, a, b)
    kept = can_coexist(model, model.state[row_a], model.state[row_b], observed=True)
    row_a, row_b = row_a[kept], row_b[kept]
    length = np.linalg.norm(model.coord[row_a] - model.coord[row_b], axis=1)
    elements = np.asarray(model.sites.element, dtype=str)[model.site]
    off = ~bond_lengths(elements, row_a, row_b, length)
    row_a, row_b, length = row_a[off], row_b[off], length[off]
    groups: dict[tuple[int, int], list[int]] = {}
    pairs = zip(model.state[row_a].tolist(), model.state[row_b].tolist(), strict=True)
    for number, pair in enumerate(pairs):
        groups.setdefault((min(pair), max(pair)), []).append(number)
    for states, numbers in groups.items():
        worst = max(numbers, key=lambda number: float(length[number]))
        ids = state_ids(model, dict.fromkeys(states))
        where = f"{ids[0]} and {ids[1]} together" if len(ids) > 1 else ids[0]
        yield Finding(
            "V7",
            "warning",
            f"copies may be in {where}, and there {several(len(numbers), 'bond')} would be "
            f"{length[worst]:.2f} Å long at worst",
            states=ids,
            atoms=row_names(model, (int(row_a[worst]), int(row_b[worst]))),
            value=float(length[worst]),
            remedy="add a NOT rule, join states that belong together, or close the junction",
            kind="broken-bond",
            count=len(numbers),
        )
    if not all_seen:
        yield Finding(
            "V7",
            "note",
            "not all combinations of places were looked at for broken bonds: there are too many",
            remedy="record members, whose combinations alone count then",
            kind="bonds-unchecked",
        )


def _candidates(
    model: Multiconformer, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, bool]:
    """All pairs of rows of two sites that are bonded somewhere, where one has several rows."""
    order = np.argsort(model.site, kind="stable")
    starts = np.searchsorted(model.site[order], np.arange(model.n_sites + 1))
    times = np.diff(starts)
    low = np.minimum(model.site[a], model.site[b])
    high = np.maximum(model.site[a], model.site[b])
    _, first = np.unique(numbered(low, high), return_index=True)
    low, high = low[first], high[first]
    several_rows = times[low] * times[high] > 1
    low, high = low[several_rows], high[several_rows]
    within = np.cumsum(times[low] * times[high]) <= _MOST_PAIRS
    left, right = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for s, t in zip(low[within].tolist(), high[within].tolist(), strict=True):
        one, other = order[starts[s] : starts[s + 1]], order[starts[t] : starts[t + 1]]
        left.append(np.repeat(one, len(other)))
        right.append(np.tile(other, len(one)))
    return np.concatenate(left), np.concatenate(right), bool(within.all())
