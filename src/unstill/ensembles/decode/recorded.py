"""Copies taken from recorded members, where nothing better can be found."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.decode.factors import TiedGroups
from unstill.ensembles.decode.groups import Groups
from unstill.ensembles.multiconformer.tree import shortened
from unstill.errors import InputError
from unstill.shapes import Float, Int


def take_recorded(
    groups: Groups,
    part: TiedGroups,
    n_members: int,
    counts: Int[np.ndarray, " n_states"],
    values: Int[np.ndarray, "n_groups n_members"],
) -> float:
    """Give copies the states that recorded members have in a component, as they have them.

    How often each member is taken is such that no exchange of two brings the sums nearer to the
    populations.

    Parameters
    ----------
    groups, part
        Whose values to set.
    n_members
        Number of copies.
    counts
        Copies wanted in each state; changed, in place, to those of the members taken.
    values
        Value of each group in each copy; those of the component are set.

    Returns
    -------
    float
        Largest difference of a population from the one wanted.

    Raises
    ------
    InputError
        If the model records no members.
    """
    states = np.array([s for group in part.scope for s in groups.groups[group].states])
    members = groups.model.members
    if members is None:
        raise InputError(
            "states exclude each other in too many ways for an exact search",
            found=f"{len(part.scope)} groups of states tied to each other, such as "
            f"{shortened((groups.model.states[s].id for s in states.tolist()), 4)}",
            fix="remove rules, decode parts of the model, or restore recorded members",
        )
    wanted = groups.target[states] * n_members
    held = members.in_state[:, states].astype(float).T
    times = _times(held, members.weights, wanted, n_members)
    in_state = np.repeat(members.in_state, times, axis=0)
    for group in part.scope:
        own = in_state[:, list(groups.groups[group].states)]
        values[group] = np.where(own.any(axis=1), own.argmax(axis=1), own.shape[1])
    counts[states] = in_state[:, states].sum(axis=0)
    return float(np.abs(counts[states] - wanted).max()) / n_members


def _times(
    held: Float[np.ndarray, "n_states n_recorded"],
    weights: Float[np.ndarray, " n_recorded"],
    wanted: Float[np.ndarray, " n_states"],
    n_members: int,
) -> Int[np.ndarray, " n_recorded"]:
    """How often to take each recorded member.

    Largest remainder of the weights; then one member takes the place of another
    as long as that lowers the sum of squared differences from what is wanted.
    """
    times = np.floor(weights * n_members + 1e-9).astype(int)
    order = np.argsort(times - weights * n_members, kind="stable")
    times[order[: n_members - times.sum()]] += 1
    overlap = held.T @ held
    own = np.diagonal(overlap)
    while True:
        slope = held.T @ (held @ times - wanted)
        # Change of half the sum if the second of each pair takes the place of the first.
        change = slope[None] - slope[:, None] + (own[None] + own[:, None]) / 2 - overlap
        change[times == 0] = np.inf
        out, into = np.unravel_index(int(change.argmin()), change.shape)
        if change[out, into] > -1e-9:
            return times
        times[out] -= 1
        times[into] += 1
