"""Copies taken from recorded members, where nothing better can be found."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.sparse

from unstill.ensembles.decode.factors import TiedGroups
from unstill.ensembles.decode.groups import Groups
from unstill.ensembles.multiconformer.tree import shortened
from unstill.errors import InputError
from unstill.shapes import Int

_SECONDS = 10.0


def take_recorded(
    groups: Groups,
    part: TiedGroups,
    n_members: int,
    counts: Int[np.ndarray, " n_states"],
    values: Int[np.ndarray, "n_groups n_members"],
    *,
    seconds: float,
) -> float:
    """Give copies the states that recorded members have in a component, as they have them.

    How often each member is taken is an integer programme: the largest difference from
    the counts is the least, and then the sum of differences.

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
    seconds
        Time allowed.

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
    times = _times(members.in_state[:, states].astype(float).T, wanted, n_members, seconds)
    in_state = np.repeat(members.in_state, times, axis=0)
    for group in part.scope:
        held = in_state[:, list(groups.groups[group].states)]
        values[group] = np.where(held.any(axis=1), held.argmax(axis=1), held.shape[1])
    counts[states] = in_state[:, states].sum(axis=0)
    return float(np.abs(counts[states] - wanted).max()) / n_members


def _times(
    held: np.ndarray, wanted: np.ndarray, n_members: int, seconds: float
) -> Int[np.ndarray, " n_recorded"]:
    """How often to take each recorded member, so that sums are near to what is wanted."""
    k, n = held.shape
    eye, none = scipy.sparse.identity(k, format="csr"), scipy.sparse.csr_matrix((k, 1))
    sums, all_ones = scipy.sparse.csr_matrix(held), scipy.sparse.csr_matrix(np.ones((k, 1)))
    # deviation ≥ ±(sum − wanted), largest ≥ deviation; the members taken are n_members.
    matrix = scipy.sparse.vstack(
        [
            scipy.sparse.hstack([sums, eye, none]),
            scipy.sparse.hstack([-sums, eye, none]),
            scipy.sparse.hstack([scipy.sparse.csr_matrix((k, n)), -eye, all_ones]),
            scipy.sparse.csr_matrix(np.append(np.ones(n), np.zeros(k + 1))[None]),
        ],
        format="csc",
    )
    low = np.concatenate([wanted, -wanted, np.zeros(k), [n_members]])
    high = np.concatenate([np.full(3 * k, np.inf), [n_members]])
    found = scipy.optimize.milp(
        np.concatenate([np.zeros(n), np.full(k, 1 / k), [float(k)]]),
        integrality=np.concatenate([np.ones(n), np.zeros(k + 1)]),
        bounds=scipy.optimize.Bounds(0, np.inf),
        constraints=scipy.optimize.LinearConstraint(matrix, low, high),
        options={"time_limit": min(seconds, _SECONDS), "mip_rel_gap": 0.01},
    )
    if found.x is None:
        raise InputError(
            "recorded members near to the populations were not found in the time allowed",
            found=f"{n} members, {k} states",
            fix="restore the recorded members themselves",
        )
    return np.asarray(np.rint(found.x[:n]), dtype=int)
