"""The search for the best parameters: several starts, Gauss–Newton steps, L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from unstill.disorder.model import DisorderModel, PreparedModel, Theta, bounds
from unstill.disorder.projection import Projection

_MOST_ITERATIONS = 300
_FEW_PARAMETERS = 3
_MOST_STEPS = 40

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where the search ended.

    Parameters
    ----------
    theta
        Parameters with the least cost.
    n_evaluations
        Evaluations of the model on the way.
    converged, message
        What the optimiser says.
    """

    theta: Theta
    n_evaluations: int
    converged: bool
    message: str


def find_optimum(
    model: DisorderModel,
    prepared: PreparedModel,
    projection: Projection,
    *,
    start: Theta | None = None,
    progress: ProgressCallback | None = None,
) -> Optimum:
    """Find the parameters that explain most of the anisotropic part.

    Parameters
    ----------
    model
        What is fitted.
    prepared
        It at the points of the data.
    projection
        The data.
    start
        Where to begin; by default the best of the model's own starts.
    progress
        Called with (evaluations done, most evaluations).
    """
    counted = _Counted(prepared, progress)

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        intensity, jacobian = counted.with_jacobian(theta)
        solution = projection.solve(intensity)
        return solution.cost, projection.gradient(solution, jacobian)

    starts = model.starts() if start is None else (start,)
    if len(starts[0]) > _FEW_PARAMETERS:
        # From each start a little way, from where the best of them leads to the end.
        starts = tuple(
            _approach(model, counted, projection, theta, least_gain=1e-4) for theta in starts
        )
    best = starts[0]
    if len(starts) > 1:
        best = min(starts, key=lambda theta: projection.solve(counted.intensity(theta)).cost)
    if len(best) > _FEW_PARAMETERS:
        best = _approach(model, counted, projection, best, least_gain=1e-7)
    found: OptimizeResult = minimize(
        cost,
        best,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds(model.parameters),
        options={"maxiter": _MOST_ITERATIONS, "ftol": 1e-10, "gtol": 1e-6},
    )
    return Optimum(
        np.asarray(found.x), counted.n_evaluations, bool(found.success), str(found.message)
    )


def _approach(
    model: DisorderModel,
    prepared: PreparedModel,
    projection: Projection,
    theta: Theta,
    *,
    least_gain: float,
) -> Theta:
    """Come near the minimum by damped Gauss–Newton steps (Levenberg, Marquardt).

    L-BFGS needs hundreds of evaluations to learn the curvature of 21 entries of
    a tensor; the residuals give it away.
    """
    low, high = np.array(bounds(model.parameters)).T
    damping = 1e-2
    intensity, jacobian = prepared.with_jacobian(theta)
    solution = projection.solve(intensity)
    for _ in range(_MOST_STEPS):
        weighted = np.vstack([solution.scale * jacobian, intensity]) * projection.root_weight
        j = projection.without_curve(weighted)
        normal, right = j @ j.T, j @ solution.residual
        diagonal = np.diag(normal) + 1e-12 * np.trace(normal)
        step = np.linalg.solve(normal + damping * np.diag(diagonal), right)[:-1]
        trial = np.clip(theta + np.clip(step, -1, 1), low, high)
        tried, slopes = prepared.with_jacobian(trial)
        better = projection.solve(tried)
        if better.cost > solution.cost:
            damping *= 10
            continue
        gain = solution.cost - better.cost
        theta, intensity, jacobian, solution = trial, tried, slopes, better
        damping = max(damping / 5, 1e-9)
        if gain < least_gain:
            break
    return theta


class _Counted:
    """A prepared model that counts its evaluations and tells them."""

    def __init__(self, prepared: PreparedModel, progress: ProgressCallback | None) -> None:
        self._prepared, self._progress, self.n_evaluations = prepared, progress, 0

    def intensity(self, theta: Theta) -> np.ndarray:
        self._count()
        return self._prepared.intensity(theta)

    def with_jacobian(self, theta: Theta) -> tuple[np.ndarray, np.ndarray]:
        self._count()
        return self._prepared.with_jacobian(theta)

    def at(self, numbers: np.ndarray) -> PreparedModel:
        return _Counted(self._prepared.at(numbers), self._progress)

    def _count(self) -> None:
        self.n_evaluations += 1
        if self._progress is not None:
            self._progress(self.n_evaluations, max(_MOST_ITERATIONS, self.n_evaluations))
