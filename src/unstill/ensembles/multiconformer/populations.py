"""Populations of the combinations of states: exact, or as far as occupancies tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from unstill.ensembles.multiconformer.macrostates import LocalMacrostates, enumerate_macrostates
from unstill.ensembles.multiconformer.members import Members
from unstill.ensembles.multiconformer.model import Multiconformer
from unstill.shapes import Bool, Float

_RIDGE = 1e-8
"""Weight of the square of the multipliers: it keeps them finite where a population is zero."""

_EXACT = 1e-6
"""A population whose bounds are this close is fixed by the occupancies."""


@dataclass(frozen=True, eq=False)
class MacrostatePopulations:
    """The combinations of the states of one component, the most frequent first.

    Parameters
    ----------
    states
        Indices of the states in the model, parents before children.
    present
        ``(n_macrostates, n_states)`` which of them are there.
    population
        ``(n_macrostates,)`` share of all copies; NaN where it is not known.
    low, high
        ``(n_macrostates,)`` what the occupancies allow; equal where they fix it, NaN where it was
        not looked at.
    known
        ``members`` (recorded), ``occupancies`` (fixed by them), ``entropy`` (the most random
        distribution with these occupancies) or ``unknown`` (too many to look at).
    all_found
        Whether there are no more than these.
    misfit
        What the occupancies differ, at least, from those of any set of allowed copies.
    """

    states: tuple[int, ...]
    present: Bool[np.ndarray, "n_macrostates n_states"]
    population: Float[np.ndarray, " n_macrostates"]
    low: Float[np.ndarray, " n_macrostates"]
    high: Float[np.ndarray, " n_macrostates"]
    known: str
    all_found: bool = True
    misfit: float = 0.0


def macrostate_populations(
    model: Multiconformer, limit: int = 1000, bounds: int = 64
) -> Iterator[MacrostatePopulations]:
    r"""Yield the populations of the allowed combinations of states, component by component.

    Recorded members say them. Otherwise occupancies :math:`\mu_s` bound them,
    and of all distributions that have these occupancies the one of maximum entropy is

    .. math:: p_m \propto \exp \sum_{s \in m} \lambda_s,

    the least that one can assume (Jaynes 1957, doi:10.1103/PhysRev.106.620).

    Parameters
    ----------
    model
        The states.
    limit
        Combinations of one component at most.
    bounds
        Components with at most so many combinations get bounds, by linear programming.

    Notes
    -----
    Components are independent as far as rules and positions go; where members are recorded,
    what they say of several components together is in the members.
    """
    for part in enumerate_macrostates(model, limit, complete=True).components:
        if not part.states:
            continue
        if model.members is not None:
            yield _of_members(part, model.members)
        elif not part.all_found or not len(part.present):
            nothing = np.full(len(part.present), np.nan)
            yield MacrostatePopulations(
                part.states, part.present, nothing, nothing, nothing, "unknown", part.all_found
            )
        else:
            yield _of_occupancies(part, model.populations[list(part.states)], bounds)


def _of_members(part: LocalMacrostates, members: Members) -> MacrostatePopulations:
    held = members.in_state[:, list(part.states)]
    present, inverse = np.unique(held, axis=0, return_inverse=True)
    population = np.bincount(inverse.reshape(-1), weights=members.weights, minlength=len(present))
    order = np.argsort(-population, kind="stable")
    population = population[order]
    return MacrostatePopulations(
        part.states, present[order], population, population, population, "members"
    )


def _of_occupancies(
    part: LocalMacrostates, occupancy: np.ndarray, bounds: int
) -> MacrostatePopulations:
    present = part.present.astype(float)
    n = len(present)
    misfit, first = _nearest(present, occupancy)
    target = occupancy if misfit <= _EXACT else first @ present
    population = _most_random(present, target)
    low = high = np.full(n, np.nan)
    known = "entropy"
    if np.linalg.matrix_rank(np.column_stack([present, np.ones(n)])) == n:
        population = low = high = first
        known = "occupancies"
    elif n <= bounds:
        low, high = _bounds(present, target)
    order = np.argsort(-np.round(population, 9), kind="stable")
    return MacrostatePopulations(
        part.states,
        part.present[order],
        population[order],
        low[order],
        high[order],
        known,
        misfit=misfit,
    )


def _nearest(present: np.ndarray, occupancy: np.ndarray) -> tuple[float, np.ndarray]:
    """Least maximum difference between the occupancies and those of a distribution, and that."""
    n, n_states = present.shape
    ones = np.ones((n_states, 1))
    found = scipy.optimize.linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.block([[present.T, -ones], [-present.T, -ones]]),
        b_ub=np.concatenate([occupancy, -occupancy]),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        method="highs",
    )
    # Any distribution satisfies it for a difference of one, so there is a solution.
    share = np.clip(np.asarray(found.x)[:n], 0, None)
    return max(float(np.asarray(found.x)[n]), 0.0), share / share.sum()


def _most_random(present: np.ndarray, occupancy: np.ndarray) -> np.ndarray:
    """Maximum entropy, by its convex dual."""

    def dual(fields: np.ndarray) -> tuple[float, np.ndarray]:
        logs = present @ fields
        top = float(logs.max())
        share = np.exp(logs - top)
        total = float(share.sum())
        share /= total
        value = top + np.log(total) - fields @ occupancy + _RIDGE / 2 * (fields @ fields)
        return float(value), share @ present - occupancy + _RIDGE * fields

    begin = np.zeros(present.shape[1])
    found = scipy.optimize.minimize(
        dual, begin, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-14}
    )
    logs = present @ found.x
    share = np.exp(logs - logs.max())
    return np.asarray(share / share.sum())


def _bounds(present: np.ndarray, occupancy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, n_states = present.shape
    slack = 1e-9 * np.ones(n_states)
    ends = np.zeros((2, n))
    for number, sign in enumerate((1.0, -1.0)):
        for place in range(n):
            cost = np.zeros(n)
            cost[place] = sign
            found = scipy.optimize.linprog(
                cost,
                A_ub=np.vstack([present.T, -present.T]),
                b_ub=np.concatenate([occupancy + slack, slack - occupancy]),
                A_eq=np.ones((1, n)),
                b_eq=[1.0],
                method="highs",
            )
            # Rounding may make it infeasible by a hair; then nothing is claimed.
            ends[number, place] = float(sign < 0) if found.x is None else found.x[place]
    return np.clip(ends[0], 0, 1), np.clip(ends[1], 0, 1)
