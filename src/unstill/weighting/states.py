"""Populations of states before and after weighting, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Float, Int
from unstill.weighting.softmax import n_effective
from unstill.weighting.statistical_inefficiency import statistical_inefficiency


@dataclass(frozen=True)
class StatePopulation:
    """How much of the ensemble is in one state.

    Parameters
    ----------
    label
        Name of the state.
    n_frames
        Frames that are in it.
    prior, prior_error
        Population with the prior weights, and its standard error from sampling.
    population
        With the weights.
    error_time
        Standard error from sampling in time: another simulation of this length.
    error_data
        Standard error from the data: other blocks of reciprocal space. NaN
        without draws.
    error
        The two in quadrature; ``error_time`` alone where there were no draws.
    inefficiency
        Members that stand for one independent visit, g.
    n_effective
        Independent members behind the population, 1/(g Σw²).
    """

    label: str
    n_frames: int
    prior: float
    prior_error: float
    population: float
    error_time: float
    error_data: float
    error: float
    inefficiency: float
    n_effective: float

    def as_dict(self) -> dict[str, str | float]:
        """Return the keys of the JSON; NaN becomes null when it is written."""
        return dict(self.__dict__)


def state_populations(
    labels: Sequence[str] | np.ndarray,
    weights: Float[np.ndarray, " members"],
    prior: Float[np.ndarray, " members"],
    n_frames: Int[np.ndarray, " members"],
    weight_draws: Float[np.ndarray, "draws members"] | None = None,
) -> tuple[StatePopulation, ...]:
    r"""Weigh the states of members that are frames or blocks of frames.

    With the share :math:`C_{ks}` of state s in member k,

    .. math:: p_s = \sum_k w_k C_{ks}, \qquad
              \sigma_s^2 = g_s \sum_k w_k^2 (C_{ks} - p_s)^2 ,

    where :math:`g_s` is the statistical inefficiency of the shares along time
    (Chodera et al. 2007, https://doi.org/10.1021/ct0502864). It is taken of the
    states and not of the weighted states, in which weights that follow a slow
    motion hide how seldom it was seen. The error is exact for weights that
    depend on the state only, and too large, by at most the root of
    :math:`n \sum_k w_k^2`, for weights that vary faster than the states.

    Parameters
    ----------
    labels
        The state of each frame, or of each member, in the order of time.
    weights, prior
        ``(n_members,)`` after and before the fit.
    n_frames
        ``(n_members,)`` frames behind each member; frames of one block count alike.
    weight_draws
        ``(n_draws, n_members)`` weights refitted to blocks of reciprocal space.

    Returns
    -------
    tuple of StatePopulation
        In the order of the numbers where all labels are numbers, else of the
        alphabet. A state that was never left has the time error 0, because
        nothing tells how often it would be.

    Raises
    ------
    InputError
        If the labels or the weights do not fit the members.

    Examples
    --------
    >>> equal = np.full(4, 0.25)
    >>> found = state_populations(["open", "shut", "open", "open"], equal, equal, np.ones(4, int))
    >>> [(one.label, one.population) for one in found]
    [('open', 0.75), ('shut', 0.25)]
    """
    names, shares = state_shares(labels, n_frames)
    after, before = (_normalised(one, shares) for one in (weights, prior))
    drawn = _population_draws(weight_draws, shares)
    found = []
    for number, name in enumerate(names):
        share = shares[:, number]
        inefficiency = statistical_inefficiency(share)
        prior_population, prior_error = _population(before, share, inefficiency)
        population, error_time = _population(after, share, inefficiency)
        error_data = float(drawn[:, number].std(ddof=1)) if len(drawn) > 1 else float("nan")
        found.append(
            StatePopulation(
                label=name,
                n_frames=round(float(share @ n_frames)),
                prior=prior_population,
                prior_error=prior_error,
                population=population,
                error_time=error_time,
                error_data=error_data,
                error=float(np.hypot(error_time, np.nan_to_num(error_data))),
                inefficiency=inefficiency,
                n_effective=n_effective(after) / inefficiency,
            )
        )
    return tuple(found)


def state_shares(
    labels: Sequence[str] | np.ndarray, n_frames: Int[np.ndarray, " members"]
) -> tuple[tuple[str, ...], Float[np.ndarray, "members states"]]:
    """Return the share of each state in each member.

    Parameters
    ----------
    labels
        The state of each frame, or of each member.
    n_frames
        ``(n_members,)`` frames behind each member.

    Returns
    -------
    names
        Of the states.
    shares
        ``(n_members, n_states)``; each row sums to one.

    Raises
    ------
    InputError
        If there are neither as many labels as frames nor as members, or a label is empty.
    """
    n_frames = np.asarray(n_frames)
    if len(n_frames) == 0 or n_frames.min() < 1:
        raise InputError(
            "every member needs at least one frame",
            found=f"{len(n_frames)} members, the smallest with {n_frames.min(initial=0)} frames",
            fix="give the number of frames behind each member",
        )
    n_members, total = len(n_frames), int(n_frames.sum())
    words = [str(label).strip() for label in labels]
    if not words or len(words) not in (total, n_members):
        raise InputError(
            "the labels of the states do not fit the frames",
            found=f"{len(words)} labels for {total} frames in {n_members} members",
            fix="give one label a frame, or one a member, in the order of the trajectory "
            "(and with its --stride)",
        )
    if "" in words:
        raise InputError(
            "a label of a state is empty",
            found=f"label {words.index('')} (counting from 0) of {len(words)}",
            fix="name every state, also that of frames that belong nowhere",
        )
    names = _in_order(set(words))
    number = {name: column for column, name in enumerate(names)}
    state = np.array([number[word] for word in words])
    member = np.arange(n_members)
    if len(words) == total:
        member = np.repeat(member, n_frames)
    counts = np.zeros((n_members, len(names)))
    np.add.at(counts, (member, state), 1.0)
    return names, counts / counts.sum(axis=1, keepdims=True)


def _in_order(names: set[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names))


def _normalised(weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    given = np.asarray(weights, dtype=float)
    total = float(given.sum())
    if given.shape != shares.shape[:1] or not np.isfinite(total) or total <= 0 or given.min() < 0:
        raise InputError(
            "weights must be non-negative, one a member, and not all zero",
            found=f"shape {given.shape} summing to {total:g} for {len(shares)} members",
            fix="pass one weight a member",
        )
    return given / total


def _population_draws(draws: np.ndarray | None, shares: np.ndarray) -> np.ndarray:
    """``(n_draws, n_states)``."""
    if draws is None:
        return np.zeros((0, shares.shape[1]))
    given = np.asarray(draws, dtype=float)
    if given.ndim != 2 or given.shape[1] != len(shares) or not np.isfinite(given).all():
        raise InputError(
            "the draws of the weights do not fit the members",
            found=f"shape {given.shape} for {len(shares)} members",
            fix="pass one row a draw, one column a member",
        )
    drawn: np.ndarray = given @ shares
    return drawn


def _population(
    weights: np.ndarray, share: np.ndarray, inefficiency: float
) -> tuple[float, float]:
    """Return the population of a state, and its standard error from sampling in time."""
    population = float(weights @ share)
    deviation = weights * (share - population)
    return population, float(np.sqrt(inefficiency * np.sum(deviation**2)))
