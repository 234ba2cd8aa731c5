"""How well fitted parameters are known: Gauss–Newton Hessian and block bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.disorder.fit_data import FitData
from unstill.disorder.model import DisorderModel, Theta
from unstill.disorder.projection import Projection, Solution
from unstill.shapes import Float, Int

_SINGULAR = 1e-9
"""Eigenvalues of the scaled Hessian below this times the largest count as zero."""

_N_BLOCKS = 150
_LEVEL = 95.0


@dataclass(frozen=True, eq=False)
class Curvature:
    """Linearised problem at the optimum.

    Parameters
    ----------
    covariance
        Of θ; the null directions are left out.
    null
        ``(n_parameters, n_null)`` directions of θ that the data do not see.
    """

    covariance: Float[np.ndarray, "n_parameters n_parameters"]
    null: Float[np.ndarray, "n_parameters n_null"]


def curvature(
    projection: Projection,
    solution: Solution,
    intensity: Float[np.ndarray, " points"],
    jacobian: Float[np.ndarray, "n_parameters points"],
) -> Curvature:
    r"""Gauss–Newton covariance of θ with scale and curve free.

    :math:`\mathrm{cov} = \chi^2_\nu\,(J^T J)^{-1}`, J the weighted derivatives
    without their isotropic part. The reduced χ² stands for the unknown size of
    the errors: those of measurement, or of a model that does not fit.
    """
    weighted = np.vstack([solution.scale * jacobian, intensity]) * projection.root_weight
    j = projection.without_curve(weighted)
    norms = np.linalg.norm(j, axis=1)
    norms[norms == 0] = 1.0
    hessian = (j / norms[:, None]) @ (j / norms[:, None]).T
    values, vectors = np.linalg.eigh(hessian)
    seen = values > _SINGULAR * values[-1]
    freedom = max(len(solution.residual) - len(hessian) - projection.n_curve, 1)
    reduced = float(solution.residual @ solution.residual) / freedom
    inverse = (vectors[:, seen] / values[seen]) @ vectors[:, seen].T
    covariance = reduced * inverse / np.outer(norms, norms)
    null = vectors[:, ~seen] / norms[:, None]
    null = null / np.maximum(np.linalg.norm(null, axis=0), np.finfo(float).tiny)
    return Curvature(covariance[:-1, :-1], null[:-1])


def standard_errors(model: DisorderModel, theta: Theta, found: Curvature) -> dict[str, float]:
    """Propagate the covariance to every reported value (delta method).

    NaN where a value moves along a direction that the data do not see.
    """
    slopes = report_slopes(model, theta)
    errors = {}
    for name, slope in slopes.items():
        variance = float(slope @ found.covariance @ slope)
        blind = np.abs(slope @ found.null).max(initial=0.0)
        unseen = blind > 1e-3 * max(float(np.linalg.norm(slope)), np.finfo(float).tiny)
        errors[name] = float("nan") if unseen else float(np.sqrt(max(variance, 0.0)))
    return errors


def report_slopes(model: DisorderModel, theta: Theta) -> dict[str, np.ndarray]:
    """Differentiate every reported value with respect to θ, by central differences."""
    step = 1e-5
    slopes = {name: np.zeros(len(theta)) for name in model.report(theta)}
    for number in range(len(theta)):
        shift = np.zeros(len(theta))
        shift[number] = step
        above, below = model.report(theta + shift), model.report(theta - shift)
        for name, slope in slopes.items():
            slope[number] = (above[name] - below[name]) / (2 * step)
    return slopes


def block_numbers(data: FitData, crystal: Crystal) -> Int[np.ndarray, " points"]:
    """Cubic block of reciprocal space of each Laue-unique point, about 150 in all.

    Neighbouring voxels share the errors of a model and of a measurement, and
    Laue mates are one point already, so blocks are what is independent.
    """
    q = crystal.q(data.index / np.array(data.divisions))
    voxel = (2 * np.pi) ** 3 / crystal.volume / np.prod(data.divisions)
    edge = (data.n_points * voxel / _N_BLOCKS) ** (1 / 3)
    cubes = np.floor(q / edge).astype(np.int64)
    _, number = np.unique(cubes, axis=0, return_inverse=True)
    return number.ravel()


def bootstrap_thetas(
    projection: Projection,
    solution: Solution,
    intensity: Float[np.ndarray, " points"],
    jacobian: Float[np.ndarray, "n_parameters points"],
    block: Int[np.ndarray, " points"],
    *,
    n_draws: int,
    seed: int,
) -> Float[np.ndarray, "n_draws n_parameters"]:
    """Draw whole blocks again with replacement, and return how θ changes.

    One Gauss–Newton step of θ, scale and curve from the optimum for each draw:
    the normal equations are sums over blocks, so a draw costs one small solve.
    """
    columns = np.vstack(
        [
            np.vstack([solution.scale * jacobian, intensity]) * projection.root_weight,
            projection.weighted_basis.T,
        ]
    )
    norms = np.linalg.norm(columns, axis=1)
    columns = columns / np.where(norms > 0, norms, 1.0)[:, None]
    n_blocks = int(block.max()) + 1
    normal = np.empty((n_blocks, len(columns), len(columns)))
    right = np.empty((n_blocks, len(columns)))
    order = np.argsort(block, kind="stable")
    edges = np.searchsorted(block[order], np.arange(n_blocks + 1))
    for number in range(n_blocks):
        members = order[edges[number] : edges[number + 1]]
        part = columns[:, members]
        normal[number] = part @ part.T
        right[number] = part @ solution.residual[members]
    counts = np.random.default_rng(seed).multinomial(
        n_blocks, np.full(n_blocks, 1 / n_blocks), size=n_draws
    )
    n_parameters = len(jacobian)
    changes = np.empty((n_draws, n_parameters))
    for draw, count in enumerate(counts):
        step = np.linalg.lstsq(np.tensordot(count, normal, 1), count @ right, rcond=_SINGULAR)[0]
        changes[draw] = step[:n_parameters] / np.where(norms > 0, norms, 1.0)[:n_parameters]
    return changes


def bootstrap_intervals(
    model: DisorderModel, theta: Theta, changes: Float[np.ndarray, "n_draws n_parameters"]
) -> dict[str, tuple[float, float]]:
    """95 % interval of every reported value, percentiles over the draws.

    Values that are parameters themselves follow exactly, others to first order.
    """
    tails = ((100 - _LEVEL) / 2, (100 + _LEVEL) / 2)
    values, slopes = model.report(theta), report_slopes(model, theta)
    draws = {name: value + changes @ slopes[name] for name, value in values.items()}
    for parameter, free, change in zip(model.parameters, theta, changes.T, strict=True):
        if parameter.name in draws:
            draws[parameter.name] = np.array([parameter.decode(free + step) for step in change])
    intervals = {}
    for name, drawn in draws.items():
        low, high = np.percentile(drawn, tails)
        intervals[name] = (float(low), float(high))
    return intervals
