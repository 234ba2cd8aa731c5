"""Whole members from the states of groups: as many members in a state as its share asks for.

Which states go together is free as far as the data know; chemistry decides.
Along a chain the best pairing of neighbours is an assignment, solved exactly;
then members exchange states while that lowers what broken links and clashes
cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.optimize

from unstill.shapes import Float, Int

Cost = Callable[[int, int], np.ndarray]
"""``(n_candidates, n_candidates)`` cost of candidates of one group beside those of another."""

_SWEEPS = 4


def assemble(
    shares: Float[np.ndarray, "n_groups n_candidates"],
    n_members: int,
    links: Sequence[tuple[int, int]],
    neighbours: Sequence[tuple[int, int]],
    cost: Cost,
) -> Int[np.ndarray, "n_members n_groups"]:
    """Candidate of every group in every member.

    Parameters
    ----------
    shares
        Of sum 1 for every group; members follow them to 1/(2 ``n_members``) where a group has
        two candidates.
    n_members
        Of equal weight.
    links
        Pairs (earlier, later) of groups that a chain joins.
    neighbours
        Pairs of groups that may touch, both with several candidates; links too.
    cost
        Of two candidates side by side.
    """
    counts = _counts(shares, n_members)
    state = np.stack([np.repeat(np.arange(len(row)), row) for row in counts], axis=1)
    several = (counts > 0).sum(axis=1) > 1
    for first, second in links:
        if several[second]:
            table = cost(first, second)
            pairs = table[state[:, first][:, None], state[:, second][None, :]]
            _, order = scipy.optimize.linear_sum_assignment(pairs)
            state[:, second] = state[order, second]
    _exchange(state, neighbours, cost)
    return state


def _counts(shares: np.ndarray, n_members: int) -> np.ndarray:
    """Whole members of every candidate: shares times members, largest remainders first."""
    exact = shares * n_members
    counts = np.floor(exact + 1e-9).astype(int)
    for row, wanted in zip(counts, exact, strict=True):
        left = n_members - int(row.sum())
        row[np.argsort(row - wanted, kind="stable")[:left]] += 1
    return counts


def _exchange(
    state: np.ndarray,
    neighbours: Sequence[tuple[int, int]],
    cost: Cost,
) -> None:
    """Members swap the states of a group while that lowers the cost."""
    beside: dict[int, list[tuple[int, np.ndarray]]] = {}
    for first, second in neighbours:
        table = cost(first, second)
        beside.setdefault(first, []).append((second, table))
        beside.setdefault(second, []).append((first, table.T))
    members = np.arange(len(state))
    for _ in range(_SWEEPS):
        changed = False
        for group, tables in beside.items():
            # What each member pays with the state of each other member.
            pays = np.zeros((len(state), len(state)))
            for other, table in tables:
                pays += table[state[:, group][None, :], state[:, other][:, None]]
            _, order = scipy.optimize.linear_sum_assignment(pays)
            if pays[members, order].sum() < pays.trace() - 1e-9:
                state[:, group] = state[order, group]
                changed = True
        if not changed:
            return
