"""L-BFGS for many problems at a time.

Each problem has its own direction, step and end; they share only the
evaluations, which cost hardly more for many than for one. The method is that of
Liu, D. C. & Nocedal, J. (1989). *Math. Program.* 45, 503–528,
https://doi.org/10.1007/BF01589116, with a backtracking line search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.shapes import Bool, Float, Int

Evaluate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(points ``(n, k)``, problem of each ``(n,)``) → values ``(n,)``, gradients ``(n, k)``."""

_MEMORY = 10
_ARMIJO = 1e-4
_MOST_TRIALS = 12


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the search ended, problem by problem.

    Parameters
    ----------
    point, value
        ``(n_problems, k)`` and ``(n_problems,)``.
    iterations
        ``(n_problems,)`` steps that were taken.
    converged
        ``(n_problems,)`` True where no step promised more.
    """

    point: Float[np.ndarray, "problems parameters"]
    value: Float[np.ndarray, " problems"]
    iterations: Int[np.ndarray, " problems"]
    converged: Bool[np.ndarray, " problems"]

    def take(self, which: slice) -> Minimum:
        """Return some of the problems."""
        return Minimum(
            self.point[which], self.value[which], self.iterations[which], self.converged[which]
        )


def minimise(
    evaluate: Evaluate,
    start: Float[np.ndarray, "problems parameters"],
    *,
    max_iterations: int = 50,
    tolerance: float = 1e-7,
    first_step: float = 1.0,
    metric: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Minimum:
    """Minimise every problem from its own start.

    Parameters
    ----------
    evaluate
        Values and gradients of some problems.
    start
        ``(n_problems, k)``.
    max_iterations
        Steps at most.
    tolerance
        A problem is done when the decrease that its gradient promises, or its
        last step brought, is below this times (1e-3 + |value|).
    first_step
        Largest change of a parameter in the first step.
    metric
        From points to a positive diagonal ``(n, k)`` that scales gradients to
        steps, where parameters have scales of their own; ones by default.
    """
    state = _State(evaluate, start, tolerance, first_step, metric or np.ones_like)
    for _ in range(max_iterations * _MOST_TRIALS):
        active = np.flatnonzero(~state.done & (state.iterations < max_iterations))
        if not len(active):
            break
        state.advance(active)
    return Minimum(state.x, state.f, state.iterations, state.converged)


class _State:
    """Points, gradients and histories of all problems."""

    def __init__(
        self,
        evaluate: Evaluate,
        start: np.ndarray,
        tolerance: float,
        first_step: float,
        metric: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        n, k = start.shape
        self._evaluate, self._tolerance, self._metric = evaluate, tolerance, metric
        self.x = np.array(start, dtype=float)
        self.f, self.g = evaluate(self.x, np.arange(n))
        self.iterations = np.zeros(n, dtype=np.int64)
        self.done, self.converged = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self._s, self._y = np.zeros((n, _MEMORY, k)), np.zeros((n, _MEMORY, k))
        self._rho = np.zeros((n, _MEMORY))
        largest = np.abs(self.g * metric(self.x)).max(axis=1)
        self._gamma = np.where(largest > 0, first_step / np.where(largest > 0, largest, 1), 1.0)
        self._direction, self._slope = np.zeros((n, k)), np.zeros(n)
        self._step, self._trials = np.ones(n), np.zeros(n, dtype=np.int64)
        self._restart(np.arange(n))

    def advance(self, active: np.ndarray) -> None:
        """Try one step of every active problem."""
        trial = self.x[active] + self._step[active, None] * self._direction[active]
        f, g = self._evaluate(trial, active)
        limit = self.f[active] + _ARMIJO * self._step[active] * self._slope[active]
        # Rounding: where nothing more can be gained, values differ in their last digits.
        noise = 1e-14 * np.abs(self.f[active])
        good = np.isfinite(f) & np.isfinite(g).all(axis=1) & (f <= limit + noise)
        self._accept(active[good], trial[good], f[good], g[good])
        self._shorten(active[~good], f[~good])

    def _accept(self, which: np.ndarray, x: np.ndarray, f: np.ndarray, g: np.ndarray) -> None:
        if not len(which):
            return
        s, y = x - self.x[which], g - self.g[which]
        gain = self.f[which] - f
        self.x[which], self.f[which], self.g[which] = x, f, g
        self.iterations[which] += 1
        curvature = np.sum(s * y, axis=1)
        size = np.sum(y * y * self._metric(x), axis=1)
        convex = curvature > 1e-12 * np.sqrt(np.sum(s * s, axis=1) * np.sum(y * y, axis=1))
        kept = which[convex]
        for history, new in ((self._s, s), (self._y, y)):
            history[kept] = np.roll(history[kept], 1, axis=1)
            history[kept, 0] = new[convex]
        self._rho[kept] = np.roll(self._rho[kept], 1, axis=1)
        self._rho[kept, 0] = 1 / curvature[convex]
        self._gamma[kept] = curvature[convex] / size[convex]
        self._finish(which[gain <= self._tolerance * (1e-3 + np.abs(f))])
        self._restart(which[~self.done[which]])

    def _shorten(self, which: np.ndarray, f: np.ndarray) -> None:
        if not len(which):
            return
        step, slope = self._step[which], self._slope[which]
        # Minimum of the parabola through what is known, within bounds.
        rise = f - self.f[which] - step * slope
        with np.errstate(divide="ignore", invalid="ignore"):
            parabola = -slope * step**2 / (2 * rise)
        safe = np.where(np.isfinite(parabola), parabola, 0.0)
        self._step[which] = np.clip(safe, 0.1 * step, 0.5 * step)
        self._trials[which] += 1
        tired = which[self._trials[which] >= _MOST_TRIALS]
        # A stale history can point nowhere; without any, the end has come.
        fresh = tired[self._rho[tired].any(axis=1)]
        self._rho[fresh] = 0.0
        self._restart(fresh)
        self._finish(np.setdiff1d(tired, fresh))

    def _restart(self, which: np.ndarray) -> None:
        """Choose the next direction (two-loop recursion)."""
        if not len(which):
            return
        q = self.g[which].copy()
        alphas = np.zeros((_MEMORY, len(which)))
        s, y, rho = self._s[which], self._y[which], self._rho[which]
        for i in range(_MEMORY):
            alphas[i] = rho[:, i] * np.sum(s[:, i] * q, axis=1)
            q -= alphas[i][:, None] * y[:, i]
        q *= self._gamma[which][:, None] * self._metric(self.x[which])
        for i in reversed(range(_MEMORY)):
            beta = rho[:, i] * np.sum(y[:, i] * q, axis=1)
            q += (alphas[i] - beta)[:, None] * s[:, i]
        slope = -np.sum(q * self.g[which], axis=1)
        self._direction[which], self._slope[which] = -q, slope
        self._step[which], self._trials[which] = 1.0, 0
        promised = -slope / 2
        self._finish(which[promised <= 0.1 * self._tolerance * (1e-3 + np.abs(self.f[which]))])

    def _finish(self, which: np.ndarray) -> None:
        self.done[which] = True
        self.converged[which] = True
