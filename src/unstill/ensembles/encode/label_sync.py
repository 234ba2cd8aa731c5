"""Altlocs that mean the same copies from residue to residue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from unstill.shapes import Float, Int

_SWEEPS = 6
_REACH = 4
"""Residues with several states on either side that a residue looks at."""


def synchronise_labels(
    states: Sequence[Int[np.ndarray, " n_members"]],
    runs: Sequence[range],
    weights: Float[np.ndarray, " n_members"],
) -> list[Int[np.ndarray, " n_states"]]:
    """Give states of residues numbers so that the same number occurs in the same members.

    Maximises the population of members that have the same number at neighbouring residues,
    the next ones counting full and those further along the chain less, by assignment
    (Hungarian) of one residue at a time to all others: permutation synchronisation by
    coordinate ascent, which never makes it worse.

    Parameters
    ----------
    states
        For each residue ``(n_members,)`` state of every member, −1 where it has none.
    runs
        Residues that are bonded one to the next.
    weights
        Of the members.

    Returns
    -------
    labels
        For each residue ``(n_states,)`` number of each state, from 0, each once.
    """
    counts = [int(mine.max(initial=-1)) + 1 for mine in states]
    n_labels = max(counts, default=0)
    labels = [np.arange(count) for count in counts]
    for run in runs:
        several = [number for number in run if counts[number] > 1]
        for sweep in range(_SWEEPS):
            changed = False
            order = several if sweep % 2 == 0 else several[::-1]
            for number in order:
                place = several.index(number) if sweep == 0 else order.index(number)
                near = _neighbours(order, place, first=sweep == 0)
                if not near:
                    continue
                gain = _gain(states, labels, number, near, weights, n_labels)
                # Of equal ones, low numbers, and then the one that is there.
                gain -= 1e-9 * np.arange(n_labels)
                gain[np.arange(counts[number]), labels[number]] += 1e-8
                found = linear_sum_assignment(gain, maximize=True)[1]
                changed = changed or not np.array_equal(found, labels[number])
                labels[number] = found
            if not changed:
                break
    return labels


def _neighbours(order: list[int], place: int, *, first: bool) -> list[tuple[int, float]]:
    """Residues to agree with, and how much each counts; at first only those done already."""
    found = []
    for step in range(1, _REACH + 1):
        weight = 0.25 ** (step - 1)
        if place - step >= 0:
            found.append((order[place - step], weight))
        if not first and place + step < len(order):
            found.append((order[place + step], weight))
    return found


def _gain(
    states: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    number: int,
    near: list[tuple[int, float]],
    weights: np.ndarray,
    n_labels: int,
) -> np.ndarray:
    """Return the population of every state together with every label of the neighbours."""
    mine = states[number]
    gain = np.zeros((int(mine.max()) + 1, n_labels))
    for other, factor in near:
        both = (mine >= 0) & (states[other] >= 0)
        np.add.at(
            gain,
            (mine[both], labels[other][states[other][both]]),
            factor * weights[both],
        )
    return gain
