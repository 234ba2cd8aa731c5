"""What the same search finds in permuted data."""

from __future__ import annotations

import numpy as np

from unstill.shapes import Float
from unstill.weighting.data import Observed
from unstill.weighting.entropy_price import Path
from unstill.weighting.forward import weighted_intensity
from unstill.weighting.holdout import HoldOut
from unstill.weighting.judged import AtTheta
from unstill.weighting.objective import Objective, lbfgs
from unstill.weighting.problems import Problems
from unstill.weighting.softmax import softmax

_N_STARTS = 15
"""Random weights that a search in noise may begin at, beside the prior."""


def null_weights_of(
    objective: Objective,
    permuted: list[Observed],
    held: HoldOut,
    theta: np.ndarray,
    paths: list[Path],
) -> Float[np.ndarray, "permutations members"]:
    """Weights of every permutation: from its own path, or at the θ that was given."""
    if not permuted:
        return np.zeros((0, objective.table.n_members))
    if paths:
        return np.array([path.weights[path.chosen] for path in paths[1:]])
    return _weights_at(objective, permuted, held, theta)


def _weights_at(
    objective: Objective,
    permuted: list[Observed],
    held: HoldOut,
    theta: np.ndarray,
) -> Float[np.ndarray, "permutations members"]:
    work = held.work.astype(float)
    return objective.solve(
        Problems.of(permuted, [work] * len(permuted)),
        theta,
        _best_starts(objective, permuted, held),
        permutations=np.arange(1, len(permuted) + 1),
        search=lbfgs(),
    ).weights


def weights_at_theta(
    objective: Objective, permuted: list[Observed], held: HoldOut, theta: float
) -> AtTheta | None:
    """Weights of every permutation at the θ of the data; ``None`` where that is infinite."""
    if not permuted or np.isinf(theta):
        return None
    same = np.full(len(permuted), theta)
    weights = _weights_at(objective, permuted, held, same)
    return AtTheta(intensities_of(objective, weights), weights, same)


def _best_starts(
    objective: Objective, permuted: list[Observed], held: HoldOut
) -> Float[np.ndarray, "permutations members"]:
    """For each permutation, of the prior and some weights around it, those that fit best.

    Where the prior happens to disagree with noise, the scale is zero there and
    nothing tells a search where to go; noise shall gain what it can.
    """
    n, prior = len(permuted), objective.table.prior
    spread = np.random.default_rng(0).normal(size=(_N_STARTS, len(prior)))
    starts = softmax(np.concatenate([np.log(prior)[None], np.log(prior) + spread]))
    problems = Problems.of(permuted, [held.work.astype(float)] * n)
    order = np.arange(1, n + 1)
    values = [
        objective.at(problems, np.repeat(one[None], n, axis=0), permutations=order).value
        for one in starts
    ]
    best: np.ndarray = starts[np.argmin(values, axis=0)]
    return best


def intensities_of(objective: Objective, weights: np.ndarray) -> Float[np.ndarray, "sets orbits"]:
    """Diffuse intensity of several sets of weights, as numpy."""
    backend = objective.table.backend
    with backend.scope():
        x, _ = weighted_intensity(objective.table, weights, workers=objective.workers)
        return backend.to_host(x).astype(float)
