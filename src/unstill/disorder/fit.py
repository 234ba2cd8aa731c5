"""A disorder model fitted to a measured map."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.reindexing import IDENTITY, parse_operator
from unstill.crystal.same_lattice import same_lattice
from unstill.crystal.symmetry import has_symmetry_of
from unstill.disorder.fit_data import FitData, Weighting, fit_data
from unstill.disorder.fit_result import FitResult
from unstill.disorder.intervals import (
    block_numbers,
    bootstrap_intervals,
    bootstrap_thetas,
    curvature,
    standard_errors,
)
from unstill.disorder.model import DisorderModel, ModelGrid, Theta, bounds
from unstill.disorder.optimum import Optimum, find_optimum
from unstill.disorder.projection import Isotropic, Projection, Solution
from unstill.errors import InputError, UnstillWarning
from unstill.maps.common_split import outside_limits
from unstill.maps.compare import compare
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.reindex import Candidate, choose_indexing
from unstill.maps.reindex import reindex as reindex_map

D_MIN, D_MAX = 1.6, 20.0
"""Default resolution range of a fit (Å)."""

_NO_SIGNAL = 1e-12


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
    progress: Callable[[int, int], None] | None = None,
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
        If the cells differ by more than 1 %, nothing is measured between the
        limits, fewer points are than free numbers, or the map has no
        anisotropic part.
    """
    _check_lattice(observed.crystal, model)
    _compare_laue_classes(observed.crystal, model.atoms.crystal)
    d_min = max(D_MIN, observed.d_min) if d_min is None else d_min
    covering = HklGrid.covering(model.atoms.crystal, d_min, observed.grid.divisions)
    calculated = ModelGrid(model, covering, d_min=d_min)
    moved, operator, candidates = _indexed(
        observed, calculated.map(model.starts()[0]), reindex, d_min, d_max
    )
    # An operator that the user names may take the axes elsewhere.
    _check_lattice(moved.crystal, model)
    # One cell decides which voxel lies in which shell.
    moved = moved.replace(
        crystal=Crystal(model.atoms.crystal.unit_cell, moved.crystal.space_group)
    )
    data = fit_data(moved, model.atoms.crystal, d_min=d_min, d_max=d_max, weighting=weighting)
    projection = Projection(data, isotropic)
    _check_substance(data, projection, model)
    prepared = calculated.prepared.at(calculated.numbers(data.index))
    found = find_optimum(model, prepared, projection, start=start, progress=progress)
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


def _check_lattice(crystal: Crystal, model: DisorderModel) -> None:
    if not same_lattice(crystal, model.atoms.crystal):
        raise InputError(
            "wrong cell: map and model differ by more than 1 %",
            found=f"{crystal.unit_cell} and {model.atoms.crystal.unit_cell}",
            fix="use coordinates of this crystal form, and an operator that the lattice allows",
        )


def _compare_laue_classes(observed: Crystal, model: Crystal) -> None:
    if not has_symmetry_of(model, observed):
        warnings.warn(
            f"the model is in {model.space_group}, which has less symmetry than the map in "
            f"{observed.space_group}: only the atoms of the model and their mates in "
            f"{model.space_group} scatter",
            UnstillWarning,
            stacklevel=3,
        )


def _check_substance(data: FitData, projection: Projection, model: DisorderModel) -> None:
    n_free = projection.n_curve + 1 + len(model.parameters)
    if data.n_points <= n_free:
        raise InputError(
            "too few points for a fit",
            found=f"{data.n_points} Laue-unique points for {n_free} free numbers",
            fix="widen d_min and d_max, or unmask more of the map",
        )
    # Relative to the data, rounding leaves some 1e-30; measured maps have 1e-3 or more.
    if projection.total <= _NO_SIGNAL * float(data.weight @ data.intensity**2):
        raise InputError(
            "the map has no anisotropic part to fit",
            found="intensities that are a smooth function of the resolution",
            fix="check that this is the diffuse map, and that it is not flattened",
        )


def _indexed(
    observed: IntensityMap, calculated: IntensityMap, reindex: str, d_min: float, d_max: float
) -> tuple[IntensityMap, str, tuple[Candidate, ...]]:
    if reindex != "auto":
        operator = IDENTITY if reindex == "none" else parse_operator(reindex)
        return reindex_map(observed, operator), operator.name, ()
    choice = choose_indexing(calculated, observed, d_min=d_min, d_max=d_max)
    return choice.reindexed, choice.operator.name, choice.candidates


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
    found: Optimum,
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
