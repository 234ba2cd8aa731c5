"""Fit of all surfaces together: weighted least squares, reweighted.

The Poisson quasi-likelihood of e (b I + c) a d + B is maximised by Fisher
scoring. Weights come from *expected* counts (the intensity drawn to the mean of
its resolution), so that rows that counted little by chance are not thought to
be better known. The intensity of each voxel is eliminated exactly in each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unstill.errors import InputError
from unstill.reduction.scaling.design import Alphas, Design, Vector, predict
from unstill.reduction.scaling.intensities import Intensities, merge_weighted
from unstill.reduction.scaling.rows import VoxelRows
from unstill.reduction.scaling.system import Block, make_system
from unstill.shapes import Float

if TYPE_CHECKING:
    from scipy import sparse

_HALVINGS = 6
_LARGEST_STEP = 1.5
_NOISE_PROBES = 6


@dataclass(frozen=True, eq=False)
class Step:
    """What a round of the fit made.

    Parameters
    ----------
    theta
        Values of all components.
    change
        Root mean square change of the logarithm of the scale of the rows.
    iterations
        Of conjugate gradients.
    blocks
        The second derivative, component by component.
    """

    theta: Vector
    change: float
    iterations: int
    blocks: tuple[Block, ...]


def fit_step(
    design: Design,
    rows: VoxelRows,
    theta: Vector,
    shrunk: Float[np.ndarray, " v"],
    merged: Intensities,
    alphas: Alphas,
    *,
    before: tuple[Block, ...] = (),
    cg_tolerance: float = 3e-2,
    most_iterations: int = 200,
) -> Step:
    """Take one step of Fisher scoring from ``theta`` with given weights.

    Parameters
    ----------
    design, rows, theta
        The surfaces at the rows and their values.
    shrunk
        ``(v,)`` positive intensities, for the derivatives.
    merged
        Merged with the present scales; carries the weights.
    alphas
        Strength of each term of the penalty of each component.
    before
        Blocks of a step nearby, to be used again.
    cg_tolerance, most_iterations
        When conjugate gradients stop.

    Raises
    ------
    InputError
        If the step is not finite.
    """
    system = make_system(design, rows, theta, shrunk, merged, alphas, before=before)
    predicted, _ = predict(design, rows, theta)
    residual = rows.observations.counts - predicted.flat
    target = system.pull(residual) - system.penalty @ theta
    step, iterations = system.solve(target, tolerance=cg_tolerance, most=most_iterations)
    if not np.all(np.isfinite(step)):
        raise InputError(
            "the scales do not converge",
            found="a step that is not finite",
            fix="check exposures and backgrounds, or switch off absorption, offset and detector",
        )
    theta, taken = _line_search(design, rows, theta, step, merged, system.penalty)
    change = float(np.sqrt(np.mean(np.square(design.surface("bad", taken)))))
    return Step(theta, change, iterations, system.blocks)


def noise_of_values(
    design: Design,
    rows: VoxelRows,
    theta: Vector,
    shrunk: Float[np.ndarray, " v"],
    merged: Intensities,
    alphas: Alphas,
    *,
    before: tuple[Block, ...] = (),
    seed: int = 0,
) -> Float[np.ndarray, "probes n_knots"]:
    """Solve for counts that are noise alone: how far values err, couplings included.

    Returns
    -------
    values
        ``(6, n_knots)`` independent draws of the errors of all values.
    """
    system = make_system(design, rows, theta, shrunk, merged, alphas, before=before)
    weight = merged.weight
    sigma = np.where(weight > 0, 1 / np.sqrt(np.where(weight > 0, weight, 1.0)), 0.0)
    random = np.random.default_rng([seed, 41])
    draws = [
        system.solve(
            system.pull(sigma * random.standard_normal(len(rows))), tolerance=2e-2, most=100
        )[0]
        for _ in range(_NOISE_PROBES)
    ]
    return np.stack(draws)


def _line_search(
    design: Design,
    rows: VoxelRows,
    theta: Vector,
    step: Vector,
    merged: Intensities,
    penalty: sparse.csr_array,
) -> tuple[Vector, Vector]:
    """Shorten the step until the weighted squares, intensities refitted, do not grow."""

    def objective(at: Vector) -> float:
        predicted, _ = predict(design, rows, at)
        again = merge_weighted(rows, predicted, merged.weight, merged.variance)
        residual = (
            rows.observations.counts
            - predicted.flat
            - predicted.effective * again.intensity[rows.voxel]
        )
        return float(np.sum(merged.weight * residual**2) + np.sum(at * (penalty @ at)))

    logs = [
        np.abs(step[where]).max(initial=0)
        for part, where in zip(design.components, design.slices, strict=True)
        if part.name != "c"
    ]
    largest = float(max(logs))
    if largest > _LARGEST_STEP:
        step = step * (_LARGEST_STEP / largest)
    start = objective(theta)
    for _ in range(_HALVINGS):
        if objective(theta + step) <= start * (1 + 1e-6):
            return theta + step, step
        step = step / 2
    return theta, np.zeros_like(step)
