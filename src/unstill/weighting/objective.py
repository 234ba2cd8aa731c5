r"""What is minimised: target + θ KL(w‖w⁰) [+ λ Bragg], as a function of logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from unstill.shapes import Float, Int
from unstill.weighting.bragg import BraggTerm
from unstill.weighting.forward import pull_back, weighted_intensity
from unstill.weighting.lbfgs import Evaluate, Minimum, minimise
from unstill.weighting.problems import Problems
from unstill.weighting.softmax import (
    log_ratio,
    natural_metric,
    relative_entropy,
    softmax,
    to_logits,
)
from unstill.weighting.table import MemberTable
from unstill.weighting.targets.target import Target

Search = Callable[[Evaluate, np.ndarray], Minimum]
"""From what evaluates logits and a start to where the search ended."""


def lbfgs(*, tolerance: float = 1e-6, max_iterations: int = 50) -> Search:
    """Return the default search: L-BFGS in the natural metric of the weights."""
    return partial(
        minimise, metric=natural_metric, tolerance=tolerance, max_iterations=max_iterations
    )


def _batches(n: int, most: int, *, alike: bool) -> list[tuple[np.ndarray, int]]:
    """Problems that are solved at a time, and how many of them are no padding.

    ``alike`` pads each batch to a power of two with its last problem.
    """
    batches = []
    for begin in range(0, n, most):
        chosen = np.arange(begin, min(begin + most, n))
        n_own = len(chosen)
        if alike:
            size = 1 << (n_own - 1).bit_length()
            chosen = np.concatenate([chosen, np.full(size - n_own, chosen[-1])])
        batches.append((chosen, n_own))
    return batches


def _stay(evaluate: Evaluate, start: np.ndarray) -> Minimum:
    value, _ = evaluate(start, np.arange(len(start)))
    return Minimum(start, value, np.zeros(len(start), np.int64), np.ones(len(start), bool))


_WORK_BYTES = 1 << 28
"""Intensities and gradients of the problems that are evaluated at a time."""

_ARRAYS = 10


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights of every problem.

    Parameters
    ----------
    weights
        ``(n_problems, n_members)``.
    value
        ``(n_problems,)`` the objective.
    iterations, converged
        ``(n_problems,)`` how the search ended.
    """

    weights: Float[np.ndarray, "problems members"]
    value: Float[np.ndarray, " problems"]
    iterations: Int[np.ndarray, " problems"]
    converged: np.ndarray


class Objective:
    """Target, entropy and, if there is one, the Bragg term.

    Parameters
    ----------
    table
        The members, on the backend of choice.
    target
        What the diffuse intensity is held against.
    bragg
        What ⟨F⟩ is held against, with its weight λ.
    workers
        Threads.
    """

    def __init__(
        self,
        table: MemberTable,
        target: Target,
        bragg: BraggTerm | None = None,
        *,
        workers: int = 1,
    ) -> None:
        self.table, self.target, self.bragg, self.workers = table, target, bragg, workers

    def solve(
        self,
        problems: Problems,
        theta: Float[np.ndarray, " problems"],
        start: Float[np.ndarray, "problems members"] | None = None,
        *,
        permutations: np.ndarray | None = None,
        search: Search | None = None,
    ) -> Solution:
        """Find the weights of every problem.

        Parameters
        ----------
        problems
            The data.
        theta
            ``(n_problems,)`` weight of the entropy, ≥ 0.
        start
            Weights to start from; the prior by default.
        permutations
            ``(n_problems,)`` which permutation of the Bragg data each sees.
        search
            From a function and a start to a minimum; L-BFGS by default.
        """
        n = problems.n_problems
        first = self.starting_weights(n) if start is None else start
        per_batch = max(1, _WORK_BYTES // (8 * _ARRAYS * problems.work.shape[1]))
        parts = []
        for chosen, n_own in _batches(n, per_batch, alike=self.table.backend.compiles):
            evaluate = self.evaluation(
                problems.take(chosen),
                theta[chosen],
                None if permutations is None else permutations[chosen],
            )
            logits = log_ratio(first[chosen], np.ones(self.table.n_members))
            found = (search or lbfgs())(evaluate, logits)
            parts.append(found.take(slice(n_own)))
        return Solution(
            softmax(np.concatenate([part.point for part in parts])),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.iterations for part in parts]),
            np.concatenate([part.converged for part in parts]),
        )

    def at(
        self,
        problems: Problems,
        weights: Float[np.ndarray, "problems members"],
        *,
        permutations: np.ndarray | None = None,
    ) -> Solution:
        """Value at given weights, without entropy; nothing is searched."""
        return self.solve(
            problems, np.zeros(len(weights)), weights, permutations=permutations, search=_stay
        )

    def starting_weights(self, n: int) -> Float[np.ndarray, "problems members"]:
        """Prior weights, once for every problem."""
        return np.repeat(self.table.prior[None], n, axis=0)

    def evaluation(
        self,
        problems: Problems,
        theta: Float[np.ndarray, " problems"],
        permutations: np.ndarray | None = None,
    ) -> Evaluate:
        """Return the function of logits that a search calls, with its exact gradient."""
        backend, prior = self.table.backend, self.table.prior
        with backend.scope():
            prepared = self.target.prepare(problems, backend)

        def evaluate(logits: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            w = softmax(logits)
            value, by_w = slopes(w, which)
            total = value + theta[which] * relative_entropy(w, prior)
            by_w = by_w + theta[which, None] * log_ratio(w, prior)
            if self.bragg is not None:
                order = None if permutations is None else permutations[which]
                more, slope = self.bragg.value_and_gradient(w, order)
                total, by_w = total + more, by_w + slope
            return total, to_logits(w, by_w)

        def slopes(w: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Target and its gradient to the weights."""
            if not backend.compiles:
                return of_rows(w, which)
            # All problems every time, finished ones too, so that shapes stay the same.
            everything = np.repeat(prior[None], problems.n_problems, axis=0)
            everything[which] = w
            value, by_w = of_rows(everything, np.arange(problems.n_problems))
            return value[which], by_w[which]

        def of_rows(w: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            with backend.scope():
                x, means = weighted_intensity(self.table, w, workers=self.workers)
                value, by_x = prepared.value_and_gradient(x, which)
                by_w = pull_back(self.table, means, by_x, workers=self.workers)
                return backend.to_host(value).astype(float), backend.to_host(by_w).astype(float)

        return evaluate

    def sensitivity(self, problems: Problems) -> Float[np.ndarray, " problems"]:
        """Spread of ∂L/∂w over the members at the prior: the θ at which weights move e-fold."""
        evaluate = self.evaluation(problems, np.zeros(problems.n_problems))
        start = log_ratio(
            self.starting_weights(problems.n_problems), np.ones_like(self.table.prior)
        )
        _, by_logits = evaluate(start, np.arange(problems.n_problems))
        # The gradient to logits is w (G − Σ w G).
        spread: np.ndarray = np.sqrt(np.sum(by_logits**2 / self.table.prior, axis=1))
        return spread
