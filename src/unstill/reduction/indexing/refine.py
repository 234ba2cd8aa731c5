"""Least squares on pixel and angle: geometry, orientation and cell, constant or drifting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from unstill.experiment import Experiment
from unstill.reduction.indexing.crystal_motion import CrystalMotion
from unstill.reduction.indexing.geometry_model import (
    STRAIN_PRIOR,
    Free,
    free_names,
    moved,
    priors,
    strains,
)
from unstill.reduction.indexing.prediction import (
    crossing,
    flat_positions,
    geometry_of,
    rotating,
    standing,
)
from unstill.reduction.indexing.spots import Spots
from unstill.reduction.indexing.turning import NEAR_AXIS, angles, crossing_rates, turns_during

_CHUNK = 4096
_HUBER = 2.0
_TURN_PRIOR = 20.0
_SMOOTH_TURN, _SMOOTH_STRAIN = 0.1, 1e-3
_SMALLEST_SIGMA = np.array([0.02, 0.02, 0.0])
_UNDETERMINED = 0.7


@dataclass(frozen=True, eq=False)
class Refined:
    """A refined experiment.

    Parameters
    ----------
    experiment
        Geometry moved; the lattice is :attr:`motion`'s.
    motion
        The crystal.
    residuals
        ``(n, 3)`` calculated minus observed: fast, slow (pixels), angle (degrees); NaN where a
        reflection is not expected at all.
    sigma
        ``(3,)`` robust spread of the residuals, angles times the crossing rate.
    values, errors
        Moves of the geometry by name and their standard uncertainties (mm, degrees).
    cell_errors
        ``(6,)`` standard uncertainties of the mean cell (Å, degrees); 0 where symmetry fixes it.
    undetermined
        Names that the data do not determine: their priors hold them.
    """

    experiment: Experiment
    motion: CrystalMotion
    residuals: np.ndarray
    sigma: np.ndarray
    values: dict[str, float]
    errors: dict[str, float]
    cell_errors: np.ndarray
    undetermined: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Data:
    """What the residuals need; the start of the geometry is kept, moves are counted from it."""

    start: Experiment
    spots: Spots
    hkl: np.ndarray
    phi: np.ndarray
    rate: np.ndarray
    turns: bool

    @classmethod
    def of(cls, start: Experiment, spots: Spots, hkl: np.ndarray) -> _Data:
        rate = np.maximum(crossing_rates(start, spots), NEAR_AXIS)
        return cls(start, spots, hkl, angles(start, spots), rate, turns_during(start))


@dataclass(frozen=True, eq=False)
class _State:
    names: tuple[str, ...]
    values: np.ndarray
    motion: CrystalMotion
    free_cell: bool

    def stepped(self, step: np.ndarray) -> _State:
        n, knots = len(self.names), self.motion.n_knots
        turn = step[n : n + 3 * knots].reshape(knots, 3)
        strain = step[n + 3 * knots :].reshape(knots, -1)
        motion = replace(self.motion, turns=self.motion.turns + turn)
        if self.free_cell:
            motion = replace(motion, strain=motion.strain + strain)
        return replace(self, values=self.values + step[:n], motion=motion)


def refine(
    experiment: Experiment,
    motion: CrystalMotion,
    spots: Spots,
    hkl: np.ndarray,
    *,
    free: Free | None = None,
    values: dict[str, float] | None = None,
    max_steps: int = 12,
) -> Refined:
    """Refine geometry, orientation and cell against indexed spots.

    Gauss–Newton with Levenberg's damping and Huber's weights. Errors of
    centroids are those of the spots plus a common one, taken from the spread of
    the residuals.

    Parameters
    ----------
    experiment
        Starting geometry.
    motion
        Starting crystal; as many spline functions as it has are refined.
    spots
        Indexed spots.
    hkl
        ``(n, 3)`` their Miller indices.
    free
        What to refine beside the orientation.
    values
        Moves of the geometry to begin with, from an earlier round. Priors count from
        ``experiment``.
    max_steps
        Steps at most.
    """
    free = free or Free()
    names = free_names(free, experiment)
    begin = np.array([(values or {}).get(name, 0.0) for name in names])
    state = _State(names, begin, motion, free.cell)
    data = _Data.of(experiment, spots, hkl)
    damping = 1e-4
    residuals = _residuals(data, state)
    sigma = _spread(data, residuals)
    for _ in range(max_steps):
        weight = _weights(data, residuals, sigma)
        cost = _cost(data, state, residuals, sigma)
        normal, gradient = _normal_equations(data, state, residuals, weight)
        state_new, residuals_new, damping = _try_step(
            data, state, cost, sigma, normal, gradient, damping
        )
        if state_new is None or residuals_new is None:
            break
        gained = 1 - _cost(data, state_new, residuals_new, sigma) / cost
        state, residuals = state_new, residuals_new
        sigma_new = _spread(data, residuals)
        settled = np.allclose(sigma_new, sigma, rtol=1e-3)
        sigma = sigma_new
        if gained < 1e-4 and settled:
            break
    normal, _ = _normal_equations(data, state, residuals, _weights(data, residuals, sigma))
    return _result(data, state, residuals, sigma, normal)


def residuals_of(
    experiment: Experiment, motion: CrystalMotion, spots: Spots, hkl: np.ndarray
) -> np.ndarray:
    """``(n, 3)`` calculated minus observed fast, slow (pixels) and angle (degrees), or NaN."""
    data = _Data.of(experiment, spots, hkl)
    return _residuals(data, _State((), np.zeros(0), motion, free_cell=False))


def _residuals(
    data: _Data,
    state: _State,
    *,
    more_turn: np.ndarray | None = None,
    more_strain: np.ndarray | None = None,
    values: np.ndarray | None = None,
) -> np.ndarray:
    values = state.values if values is None else values
    experiment = moved(data.start, state.names, values)
    geometry = geometry_of(experiment)
    spots = data.spots
    matrices = state.motion.matrices(spots.frame, more_turn=more_turn, more_strain=more_strain)
    r = np.einsum("nij,nj->ni", matrices, data.hkl)
    diffract: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
    diffract = rotating if data.turns else standing
    s1, angle, crosses = diffract(geometry, r, data.phi)
    flat = flat_positions(experiment.detector, spots.panel, spots.fast, spots.slow)
    difference = crossing(geometry, spots.panel, s1) - flat
    residuals = np.concatenate([difference, angle[:, None]], axis=1)
    residuals[~crosses] = np.nan
    return residuals


def _spread(data: _Data, residuals: np.ndarray) -> np.ndarray:
    """Robust standard deviation of each kind of residual, about zero; angles times the rate."""
    scaled = residuals * np.stack([np.ones_like(data.rate)] * 2 + [data.rate], axis=1)
    seen = scaled[np.isfinite(scaled[:, 0])]
    if not len(seen):
        return np.ones(3)
    spread: np.ndarray = 1.4826 * np.median(np.abs(seen), axis=0)
    floored: np.ndarray = np.maximum(spread, np.maximum(_SMALLEST_SIGMA, 1e-6))
    return floored


def _variance(data: _Data, sigma: np.ndarray) -> np.ndarray:
    """Variance of each residual: the spot's own, at least what the spread of all shows."""
    own = data.spots.variance.copy()
    scan = data.start.scan
    width = abs(float(scan.phi_width or 0.0)) if scan is not None else 0.0
    own[:, 2] *= width * width
    # Centroids of strong spots are not as good as their counts; weak ones are worse than most.
    usual = np.median(own, axis=0)
    extra = np.tile(np.maximum(sigma**2 - usual, (0.3 * sigma) ** 2), (len(own), 1))
    extra[:, 2] /= data.rate**2
    variance: np.ndarray = own + extra
    return variance


def _weights(data: _Data, residuals: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Inverse variances with Huber's factor; 0 for reflections that are not expected."""
    variance = _variance(data, sigma)
    safe = np.nan_to_num(residuals)
    scaled = np.abs(safe) / np.sqrt(variance)
    weight = np.minimum(1, _HUBER / np.maximum(scaled, 1e-12)) / variance
    weight[~np.isfinite(residuals[:, 0])] = 0
    weights: np.ndarray = weight
    return weights


def _cost(data: _Data, state: _State, residuals: np.ndarray, sigma: np.ndarray) -> float:
    scaled = np.abs(residuals) / np.sqrt(_variance(data, sigma))
    # A reflection that is lost costs as much as a bad one, so that none is driven away.
    scaled = np.nan_to_num(scaled, nan=5.0)
    loss = np.where(scaled < _HUBER, scaled**2, 2 * _HUBER * scaled - _HUBER**2)
    _, _, cost = _prior(state)
    return float(loss.sum()) + cost


def _normal_equations(
    data: _Data, state: _State, residuals: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    local = _derivatives(data, state, residuals)
    basis = state.motion.basis(data.spots.frame)
    n, knots = len(state.names), state.motion.n_knots
    n_strain = state.motion.strain.shape[1] if state.free_cell else 0
    size = n + knots * (3 + n_strain)
    normal, gradient = np.zeros((size, size)), np.zeros(size)
    known = np.nan_to_num(residuals)
    for start in range(0, len(residuals), _CHUNK):
        part = slice(start, start + _CHUNK)
        one, weights = local[part], weight[part]
        spread = basis[part][:, None, :, None]
        turn = one[:, :, None, n : n + 3] * spread
        strain = one[:, :, None, n + 3 :] * spread
        rows = len(one)
        full = np.concatenate(
            [one[:, :, :n], turn.reshape(rows, 3, -1), strain.reshape(rows, 3, -1)], axis=2
        ).reshape(3 * rows, size)
        flat = weights.ravel()
        normal += (full * flat[:, None]).T @ full
        gradient += full.T @ (flat * known[part].ravel())
    held, pull, _ = _prior(state)
    return normal + held, gradient + pull


def _derivatives(data: _Data, state: _State, residuals: np.ndarray) -> np.ndarray:
    """``(n, 3, n_names + 3 + n_strain)`` by steps of the geometry, the turn and the strain."""
    columns = []
    for k in range(len(state.names)):
        step = np.zeros(len(state.names))
        step[k] = 1e-3
        columns.append((_residuals(data, state, values=state.values + step) - residuals) / 1e-3)
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-3
        columns.append((_residuals(data, state, more_turn=step) - residuals) / 1e-3)
    for k in range(state.motion.strain.shape[1] if state.free_cell else 0):
        step = np.zeros(state.motion.strain.shape[1])
        step[k] = 1e-5
        columns.append((_residuals(data, state, more_strain=step) - residuals) / 1e-5)
    derivatives: np.ndarray = np.nan_to_num(np.stack(columns, axis=2))
    return derivatives


def _prior(state: _State) -> tuple[np.ndarray, np.ndarray, float]:
    """Curvature, gradient and cost of what is expected before any data."""
    n, knots = len(state.names), state.motion.n_knots
    geometry = 1 / priors(state.names) ** 2
    n_strain = state.motion.strain.shape[1] if state.free_cell else 0
    size = n + knots * (3 + n_strain)
    curvature = np.zeros((size, size))
    curvature[np.arange(n), np.arange(n)] = geometry
    second = np.diff(np.eye(knots), 2, axis=0) if knots > 2 else np.zeros((0, knots))
    smooth = second.T @ second
    eye = np.eye(knots)
    turn = eye / _TURN_PRIOR**2 + smooth / _SMOOTH_TURN**2
    strain = eye / STRAIN_PRIOR**2 + smooth / _SMOOTH_STRAIN**2
    curvature[n : n + 3 * knots, n : n + 3 * knots] = np.kron(turn, np.eye(3))
    curvature[n + 3 * knots :, n + 3 * knots :] = np.kron(strain, np.eye(n_strain))
    at = np.concatenate(
        [
            state.values,
            state.motion.turns.ravel(),
            state.motion.strain.ravel() if state.free_cell else np.zeros(0),
        ]
    )
    pull = curvature @ at
    return curvature, pull, float(at @ pull)


def _try_step(
    data: _Data,
    state: _State,
    cost: float,
    sigma: np.ndarray,
    normal: np.ndarray,
    gradient: np.ndarray,
    damping: float,
) -> tuple[_State | None, np.ndarray | None, float]:
    """Shorten the step until the cost falls; nothing if it never does."""
    for _ in range(8):
        damped = normal + damping * np.diag(np.diag(normal))
        trial = state.stepped(-np.linalg.solve(damped, gradient))
        residuals = _residuals(data, trial)
        if _cost(data, trial, residuals, sigma) < cost:
            return trial, residuals, max(damping / 10, 1e-9)
        damping *= 10
    return None, None, damping


def _result(
    data: _Data, state: _State, residuals: np.ndarray, sigma: np.ndarray, normal: np.ndarray
) -> Refined:
    covariance = np.linalg.inv(normal)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    n = len(state.names)
    held = errors[:n] > _UNDETERMINED * priors(state.names)
    undetermined = [name for name, is_held in zip(state.names, held, strict=True) if is_held]
    motion = state.motion
    cell_errors = np.zeros(6)
    if state.free_cell:
        knots, n_strain = motion.n_knots, motion.strain.shape[1]
        mean = motion.basis(np.linspace(0, motion.n_frames, 50)).mean(axis=0)
        part = covariance[n + 3 * knots :, n + 3 * knots :].reshape(
            knots, n_strain, knots, n_strain
        )
        of_mean = np.einsum("k,kilj,l->ij", mean, part, mean)
        cell_errors = _cell_errors(motion, of_mean)
        if np.sqrt(np.diag(of_mean)).max() > _UNDETERMINED * STRAIN_PRIOR:
            undetermined.append("unit_cell")
    return Refined(
        experiment=moved(data.start, state.names, state.values),
        motion=motion,
        residuals=residuals,
        sigma=sigma,
        values={k: float(v) for k, v in zip(state.names, state.values, strict=True)},
        errors={k: float(v) for k, v in zip(state.names, errors[:n], strict=True)},
        cell_errors=cell_errors,
        undetermined=tuple(undetermined),
    )


def _cell_errors(motion: CrystalMotion, covariance: np.ndarray) -> np.ndarray:
    """Propagate the covariance of the strains to the cell."""
    from unstill.experiment.lattice import cell_of

    base = motion.crystal.fractionalization_matrix.T
    before = np.array(cell_of(np.linalg.inv(base)))
    step = 1e-5
    slopes = [
        (np.array(cell_of(np.linalg.inv((np.eye(3) + step * tensor) @ base))) - before) / step
        for tensor in strains(motion.crystal)
    ]
    jacobian = np.array(slopes).T
    variances = np.einsum("ci,ij,cj->c", jacobian, covariance, jacobian)
    errors: np.ndarray = np.sqrt(np.maximum(variances, 0))
    errors[errors < 1e-9] = 0
    return errors
