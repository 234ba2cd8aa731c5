"""V7: atoms that are bonded can be there together, and are bonded wherever they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.chemistry.radii import are_metals
from unstill.ensembles.contacts import find_bonds
from unstill.ensembles.contacts.bonds import bond_lengths
from unstill.ensembles.contacts.coexistence import can_coexist
from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.model import numbered
from unstill.validation.finding import Finding
from unstill.validation.row_names import row_names, several, state_ids

_MOST_PAIRS = 4_000_000
"""Pairs of rows that are looked at for broken bonds."""


def check_bonds(model: Multiconformer) -> Iterator[Finding]:
    """Find atoms whose bonded partners are all in states that exclude theirs, and broken bonds.

    Two atoms count as bonded if some two rows of theirs are at the distance of
    a bond. Every row must have a partner on its ancestor line or in a state
    that may occur with its own (error), and partners that may occur with it
    should be at that distance (warning: a NOT rule is missing, or the junction
    is not closed). Where members are recorded, only what they combine counts.
    """
    # Without rules, bonds between states that exclude each other by rule show as well.
    bonds = find_bonds(model.replace(rules=(), members=None))
    a, b = bonds.row_a, bonds.row_b
    covalent = ~_of_metals(model, a, b)
    a, b = a[covalent], b[covalent]
    together = can_coexist(model, model.state[a], model.state[b], observed=True)
    yield from _dangling(model, a, b, together)
    yield from _broken(model, a, b)


def _of_metals(model: Multiconformer, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bonds of metals are optional: a ligand may leave, and the metal stays."""
    metal = are_metals(np.asarray(model.sites.element, dtype=str))
    return np.asarray(metal[model.site[a]] | metal[model.site[b]], dtype=bool)


def _dangling(
    model: Multiconformer, a: np.ndarray, b: np.ndarray, together: np.ndarray
) -> Iterator[Finding]:
    row, partner = np.concatenate([a, b]), np.concatenate([b, a])
    possible = np.concatenate([together, together])
    key = row.astype(np.int64) * max(model.n_sites, 1) + model.site[partner]
    found, inverse = np.unique(key, return_inverse=True)
    held = np.zeros(len(found), dtype=bool)
    np.logical_or.at(held, inverse, possible)
    # Any one partner of those that are excluded, to name.
    first = np.full(len(found), -1)
    first[inverse] = partner
    groups: dict[tuple[int, int], list[int]] = {}
    for number in np.flatnonzero(~held).tolist():
        pair = int(model.state[found[number] // model.n_sites]), int(model.state[first[number]])
        groups.setdefault((min(pair), max(pair)), []).append(number)
    for states, numbers in groups.items():
        rows = [int(found[n] // model.n_sites) for n in numbers]
        ids = state_ids(model, states)
        yield Finding(
            "V7",
            "error",
            f"{several(len(rows), 'atom')} bonded only to atoms that are never there with "
            f"{'it' if len(rows) == 1 else 'them'}: {ids[0]} and {ids[-1]} exclude each other",
            states=ids,
            atoms=row_names(model, rows)
            + row_names(model, dict.fromkeys(int(first[n]) for n in numbers)),
            remedy="join these states, or remove the rule that sets them apart",
            kind="bonded-apart",
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
