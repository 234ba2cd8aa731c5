"""How many of M copies are in each state."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.decode.groups import Group, Groups
from unstill.shapes import Bool, Int

_WHOLE = 1e-6


def whole_counts(
    groups: Groups, n_members: int, rng: np.random.Generator
) -> Int[np.ndarray, " n_states"]:
    r"""Whole numbers of copies, nearest to M times the populations.

    Every count is :math:`\lfloor M p \rfloor` or :math:`\lceil M p \rceil`; inside a group (the
    copies that have none of its states counted as one more) they sum to the count of
    the parent. Among those, the sum of squared errors over the tree is the
    least: in a group by itself that is the largest remainder. With two
    alternatives no error exceeds 1/(2M), with k alternatives (1 − 1/k)/M.

    Parameters
    ----------
    groups
        Of a model.
    n_members
        M, the number of copies.
    rng
        Breaks ties.

    Returns
    -------
    counts
        ``(n_states,)``; the root's is M.
    """
    wanted = groups.target * n_members
    low = np.floor(wanted + _WHOLE).astype(int)
    high = np.ceil(wanted - _WHOLE).astype(int)
    tie = 1e-9 * rng.random(len(wanted))
    # Cost of each state (and all below it) at its lower and its upper count.
    cost = np.empty((2, len(wanted)))
    for state in groups.model.tree.downward[::-1].tolist():
        for side, count in enumerate((low[state], high[state])):
            cost[side, state] = (count - wanted[state]) ** 2 + side * tie[state]
            for number in groups.below[state]:
                group = groups.groups[number]
                cost[side, state] += _round_group(group, int(count), n_members, low, high, cost)[1]
    counts = np.zeros(len(wanted), dtype=int)
    counts[groups.model.tree.root] = n_members
    for group in groups.groups:  # parents come first
        chosen, _ = _round_group(group, int(counts[group.parent]), n_members, low, high, cost)
        counts[list(group.states)] = chosen
    return counts


def follow_parents(
    groups: Groups,
    counts: Int[np.ndarray, " n_states"],
    before: Int[np.ndarray, " n_states"],
    *,
    done: Bool[np.ndarray, " n_groups"],
) -> None:
    """Fit the counts of groups to those of their parents, in place, where rules changed these.

    Largest remainder of the shares among the copies that have the parent.

    Parameters
    ----------
    groups, counts
        As ``whole_counts`` takes and returns them.
    before
        Counts that fitted.
    done
        Groups whose counts stay.
    """
    for number, group in enumerate(groups.groups):  # parents come first
        total = int(counts[group.parent])
        if done[number] or total == before[group.parent]:
            continue
        states = list(group.states)
        share = np.append(groups.target[states], group.absent)
        wanted = total * share / max(float(share.sum()), 1e-12)
        found = np.floor(wanted + _WHOLE).astype(int)
        order = np.argsort(found - wanted, kind="stable")
        found[order[: max(total - int(found.sum()), 0)]] += 1
        counts[states] = found[:-1]


def _round_group(
    group: Group,
    total: int,
    n_members: int,
    low: np.ndarray,
    high: np.ndarray,
    cost: np.ndarray,
) -> tuple[np.ndarray, float]:
    """Round the counts of a group so that they sum to ``total``; also return what it costs."""
    states = list(group.states)
    none = group.absent * n_members
    floor = np.append(low[states], int(np.floor(none + _WHOLE)))
    ceil = np.append(high[states], int(np.ceil(none - _WHOLE)))
    at_floor = np.append(cost[0, states], (floor[-1] - none) ** 2)
    at_ceil = np.append(cost[1, states], (ceil[-1] - none) ** 2)
    free = np.flatnonzero(ceil > floor)
    up = int(total - floor.sum())
    best = free[np.argsort((at_ceil - at_floor)[free], kind="stable")][: max(up, 0)]
    counts = floor.copy()
    counts[best] += 1
    # Rounding of many alternatives in floating point can leave one copy over.
    counts[-1] += total - counts.sum()
    value = float(at_floor.sum() + (at_ceil - at_floor)[best].sum())
    return counts[:-1], value
