"""One optimiser for all disorder models."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.reindexing import IDENTITY, parse_operator
from unstill.crystal.same_lattice import same_lattice
from unstill.disorder.fit_data import Weighting, fit_data
from unstill.disorder.fit_result import FitResult
from unstill.disorder.intervals import (
    block_numbers,
    bootstrap_intervals,
    bootstrap_thetas,
    curvature,
    standard_errors,
)
from unstill.disorder.model import (
    DisorderModel,
    ModelGrid,
    PreparedModel,
    Theta,
    bounds,
)
from unstill.disorder.projection import Isotropic, Projection, Solution
from unstill.errors import InputError, UnstillWarning
from unstill.maps.common_split import outside_limits
from unstill.maps.compare import compare
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.overlap import CELL_TOLERANCE
from unstill.maps.reindex import Candidate, choose_indexing
from unstill.maps.reindex import reindex as reindex_map

D_MIN, D_MAX = 1.6, 20.0
"""Default resolution range of a fit (Å)."""

_MOST_ITERATIONS = 300
_FEW_PARAMETERS = 3
_MOST_STEPS = 40

ProgressCallback = Callable[[int, int], None]


def fit(
    observed: IntensityMap,
    model: DisorderModel,
    *,
    d_min: float | None = None,
    d_max: float = D_MAX,
    reindex: str = "auto",
    weighting: Weighting = "auto",
    isotropic: Isotropic = "spline",
    start: Theta | None = None,
    n_bootstrap: int = 200,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> FitResult:
    r"""Fit a disorder model to a measured diffuse map.

    Minimises

    .. math:: \sum w\,(I_\mathrm{obs} - k\, I(\theta) - b(s))^2

    over θ by L-BFGS; k ≥ 0 and the free isotropic spline b(s) are eliminated
    analytically, so only the anisotropic part of the map decides.

    Parameters
    ----------
    observed
        Measured map.
    model
        What to fit, for example ``LiquidLike(ModelAtoms.of(structure))``.
    d_min, d_max
        Resolution range (Å); by default 1.6 (or where the map ends) to 20.
    reindex
        ``"auto"`` chooses the indexing of the map by its anisotropic
        correlation with the model at its start; ``"none"`` keeps it; or an
        operator such as ``"k,h,-l"``.
    weighting
        See :func:`~unstill.disorder.fit_data.fit_data`.
    isotropic
        ``"constant"`` replaces b(s) by one number. With
        ``weighting="equal"`` that is plain least squares on the total
        intensity, kept to show that it goes wrong.
    start
        θ to start from; by default the best of the model's own starts.
    n_bootstrap
        Draws of the block bootstrap; 0 leaves it out.
    seed
        Of the bootstrap.
    progress
        Called with (evaluations done, most evaluations).

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        If the cells differ by more than 1 %, or nothing is measured between
        the limits.
    """
    _check_lattice(observed, model)
    d_min = max(D_MIN, observed.d_min) if d_min is None else d_min
    covering = HklGrid.covering(model.atoms.crystal, d_min, observed.grid.divisions)
    calculated = ModelGrid(model, covering, d_min=d_min)
    moved, operator, candidates = _indexed(
        observed, calculated.map(model.starts()[0]), reindex, d_min, d_max
    )
    # One cell decides which voxel lies in which shell.
    moved = moved.replace(
        crystal=Crystal(model.atoms.crystal.unit_cell, moved.crystal.space_group)
    )
    data = fit_data(moved, model.atoms.crystal, d_min=d_min, d_max=d_max, weighting=weighting)
    projection = Projection(data, isotropic)
    prepared = _Counted(calculated.prepared.at(calculated.numbers(data.index)), progress)
    found = _minimised(model, prepared, projection, start)
    intensity, jacobian = prepared.with_jacobian(found.theta)
    solution = projection.solve(intensity)
    stderr = standard_errors(
        model, found.theta, curvature(projection, solution, intensity, jacobian)
    )
    intervals: dict[str, tuple[float, float]] = {}
    if n_bootstrap > 0:
        blocks = block_numbers(data, model.atoms.crystal)
        changes = bootstrap_thetas(
            projection, solution, intensity, jacobian, blocks, n_draws=n_bootstrap, seed=seed
        )
        intervals = bootstrap_intervals(model, found.theta, changes)
    beta = projection.coefficients(solution, intensity)
    model_map, residual = _maps(
        moved,
        calculated.map(found.theta, moved.grid),
        solution.scale,
        lambda s: projection.curve(beta, s),
        (d_min, d_max),
    )
    at_bounds = _at_bounds(model, found.theta)
    undetermined = tuple(name for name, error in stderr.items() if not np.isfinite(error))
    _warn(solution, found, at_bounds, undetermined)
    curve_s = np.linspace(float(data.s.min()), float(data.s.max()), 200)
    return FitResult(
        model=model.name,
        theta=found.theta,
        parameters=model.report(found.theta),
        stderr=stderr,
        intervals=intervals,
        scale=solution.scale,
        curve_s=curve_s,
        curve=projection.curve(beta, curve_s),
        cost=solution.cost,
        comparison=compare(model_map, moved, reindex="none", d_min=d_min, d_max=d_max),
        operator=operator,
        candidates=candidates,
        d_min=d_min,
        d_max=d_max,
        n_points=data.n_points,
        n_evaluations=found.n_evaluations,
        weighting=data.weighting,
        converged=found.converged,
        at_bounds=at_bounds,
        undetermined=undetermined,
        observed=moved,
        model_map=model_map,
        residual=residual,
    )


@dataclass(frozen=True, eq=False)
class _Optimum:
    theta: Theta
    n_evaluations: int
    converged: bool
    message: str


def _check_lattice(observed: IntensityMap, model: DisorderModel) -> None:
    if not same_lattice(observed.crystal, model.atoms.crystal, tolerance=CELL_TOLERANCE):
        raise InputError(
            "wrong cell: map and model differ by more than 1 %",
            found=f"{observed.crystal.unit_cell} and {model.atoms.crystal.unit_cell}",
            fix="use coordinates of this crystal form",
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


def _indexed(
    observed: IntensityMap, calculated: IntensityMap, reindex: str, d_min: float, d_max: float
) -> tuple[IntensityMap, str, tuple[Candidate, ...]]:
    if reindex != "auto":
        operator = IDENTITY if reindex == "none" else parse_operator(reindex)
        return reindex_map(observed, operator), operator.name, ()
    choice = choose_indexing(calculated, observed, d_min=d_min, d_max=d_max)
    return choice.reindexed, choice.operator.name, choice.candidates


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


def _minimised(
    model: DisorderModel,
    prepared: _Counted,
    projection: Projection,
    start: Theta | None,
) -> _Optimum:
    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        intensity, jacobian = prepared.with_jacobian(theta)
        solution = projection.solve(intensity)
        return solution.cost, projection.gradient(solution, jacobian)

    starts = model.starts() if start is None else (start,)
    if len(starts[0]) > _FEW_PARAMETERS:
        # From each start a little way, from where the best of them leads to the end.
        starts = tuple(
            _approach(model, prepared, projection, theta, least_gain=1e-4) for theta in starts
        )
    best = starts[0]
    if len(starts) > 1:
        best = min(starts, key=lambda theta: projection.solve(prepared.intensity(theta)).cost)
    if len(best) > _FEW_PARAMETERS:
        best = _approach(model, prepared, projection, best, least_gain=1e-7)
    found: OptimizeResult = minimize(
        cost,
        best,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds(model.parameters),
        options={"maxiter": _MOST_ITERATIONS, "ftol": 1e-10, "gtol": 1e-6},
    )
    return _Optimum(
        np.asarray(found.x), prepared.n_evaluations, bool(found.success), str(found.message)
    )


def _maps(
    moved: IntensityMap,
    calculated: IntensityMap,
    scale: float,
    curve: Callable[[np.ndarray], np.ndarray],
    limits: tuple[float, float],
) -> tuple[IntensityMap, IntensityMap]:
    s = np.sqrt(calculated.s_squared())
    outside = outside_limits(s, d_min=limits[0], d_max=limits[1])
    model_map = calculated.replace(
        intensity=scale * calculated.intensity,
        mask=calculated.mask | outside,
        provenance={**calculated.provenance, "scale": scale},
    )
    residual = moved.replace(
        intensity=moved.intensity - model_map.intensity - curve(s),
        mask=moved.mask | model_map.mask,
    )
    return model_map, residual


def _at_bounds(model: DisorderModel, theta: Theta) -> tuple[str, ...]:
    return tuple(
        parameter.name
        for parameter, value, (low, high) in zip(
            model.parameters, theta, bounds(model.parameters), strict=True
        )
        if (value <= low + 1e-9 and not parameter.zero_is_fine) or value >= high - 1e-9
    )


def _warn(
    solution: Solution,
    found: _Optimum,
    at_bounds: tuple[str, ...],
    undetermined: tuple[str, ...],
) -> None:
    notes = []
    if solution.scale == 0:
        notes.append("the model explains nothing of the anisotropic part of the map")
    if at_bounds:
        notes.append(f"parameters ended at a bound: {', '.join(at_bounds)}")
    if undetermined:
        notes.append(f"the data do not determine: {', '.join(undetermined)}")
    if not found.converged:
        notes.append(f"the fit has not converged: {found.message}")
    for note in notes:
        warnings.warn(note, UnstillWarning, stacklevel=3)
