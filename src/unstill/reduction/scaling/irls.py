r"""Fit of all surfaces together: weighted least squares, reweighted, intensities eliminated.

The Poisson quasi-likelihood of :math:`\mu = e (b I + c)\,a d + B` is maximised
by Fisher scoring. Weights come from *expected* counts (the intensity drawn to
the mean of its resolution), so that rows that counted little by chance are not
thought to be better. The intensity of each voxel is eliminated exactly within
each step (a Schur complement that is never formed):

.. math:: S\,\delta = J^T W (1 - P)\,r - \Lambda\theta, \qquad
          S = J^T W (1 - P) J + \Lambda

with P the projection on the intensities. S is applied row by row, and the
system solved by conjugate gradients with one sparse factorisation a component.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unstill.errors import InputError
from unstill.reduction.scaling.component import Component, design_matrix
from unstill.reduction.scaling.gauge import Gauge, gauge_of
from unstill.reduction.scaling.intensities import Intensities, Prediction, merge_weighted
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.penalty import Roughness, roughness_terms
from unstill.reduction.scaling.rows import VoxelRows
from unstill.shapes import Float

if TYPE_CHECKING:
    from scipy import sparse

Vector = Float[np.ndarray, " n_knots"]
Factors = Mapping[str, Float[np.ndarray, " n"]]
"""Change of the expected counts of each row with each surface."""

Alphas = tuple[tuple[float, ...], ...]
"""Strength of each term of the penalty of each component."""

_ORDER = "badc"
_HALVINGS = 6
_LARGEST_STEP = 1.5


@dataclass(frozen=True, eq=False)
class Design:
    """The surfaces at the rows, as sparse matrices, with their penalties and gauges.

    Parameters
    ----------
    components
        In the order b, a, d, c; their values lie behind each other in θ.
    matrices
        ``(n, n_knots)`` hat functions at the rows.
    roughness
        Terms of the penalty.
    gauges
        Conditions on the values.
    """

    components: tuple[Component, ...]
    matrices: tuple[sparse.csr_array, ...]
    roughness: tuple[tuple[Roughness, ...], ...]
    gauges: tuple[Gauge, ...]

    @property
    def slices(self) -> list[slice]:
        """Where the values of each component are."""
        ends = np.cumsum([part.n_knots for part in self.components])
        return [
            slice(int(end) - part.n_knots, int(end))
            for end, part in zip(ends, self.components, strict=True)
        ]

    def surface(self, names: str, theta: Vector) -> Float[np.ndarray, " n"] | float:
        """Sum of some surfaces at the rows; 0 where none of them is used."""
        total: np.ndarray | float = 0.0
        for part, where, matrix in zip(self.components, self.slices, self.matrices, strict=True):
            if part.name in names:
                total = total + matrix @ theta[where]
        return total

    def project(self, theta: Vector) -> Vector:
        """Bring values into the gauge."""
        parts = zip(self.gauges, self.slices, strict=True)
        return np.concatenate([gauge.project(theta[where]) for gauge, where in parts])

    def apply(self, factors: Factors, step: Vector) -> Float[np.ndarray, " n"]:
        """Change of expected counts for a step: J δ."""
        change = np.zeros(self.matrices[0].shape[0])
        for part, where, matrix in zip(self.components, self.slices, self.matrices, strict=True):
            change += factors[part.name] * (matrix @ step[where])
        return change

    def transpose(self, factors: Factors, values: Float[np.ndarray, " n"]) -> Vector:
        """Return Jᵀ times values of the rows."""
        parts = zip(self.components, self.matrices, strict=True)
        return np.concatenate([matrix.T @ (factors[part.name] * values) for part, matrix in parts])


@dataclass(frozen=True, eq=False)
class Block:
    """Second derivative of one component, couplings left out.

    Parameters
    ----------
    normal
        ``(n_knots, n_knots)`` JᵀWJ, with what the intensities take left out on average.
    units
        Terms of the penalty for α = 1.
    penalty
        Λ, their sum with the present α.
    """

    normal: sparse.csr_array
    units: tuple[sparse.csr_array, ...]
    penalty: sparse.csr_array

    def solver(self) -> Callable[[Vector], Vector]:
        """Return what solves with JᵀWJ + Λ."""
        return positive_solver(self.normal + self.penalty)


def positive_solver(matrix: sparse.csr_array) -> Callable[[Vector], Vector]:
    """Factorise a symmetric positive matrix: no pivots, an ordering that keeps factors thin."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    factorised = splu(
        sparse.csc_array(matrix),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    solve: Callable[[Vector], Vector] = factorised.solve
    return solve


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
    curvature
        ``(n_knots,)`` diagonal of the second derivative, penalty included.
    blocks
        The second derivative, component by component.
    """

    theta: Vector
    change: float
    iterations: int
    curvature: Vector
    blocks: tuple[Block, ...]


def make_design(
    components: Mapping[str, Component], rows: VoxelRows, options: ScaleOptions
) -> Design:
    """Evaluate hat functions at the rows."""
    parts = tuple(components[name] for name in _ORDER if name in components)
    matrices = tuple(design_matrix(part, rows.observations) for part in parts)
    gauges = tuple(
        gauge_of(part, matrix.T @ np.ones(len(rows)), with_detector="d" in components)
        for part, matrix in zip(parts, matrices, strict=True)
    )
    roughness = tuple(tuple(roughness_terms(part, options)) for part in parts)
    return Design(parts, matrices, roughness, gauges)


def predict(
    design: Design, rows: VoxelRows, theta: Vector
) -> tuple[Prediction, Float[np.ndarray, " n"]]:
    """Return what the scales say of the rows, and exposure · a · d."""
    table = rows.observations
    bare = table.exposure * np.exp(design.surface("ad", theta))
    effective = bare * np.exp(design.surface("b", theta))
    return Prediction(effective, table.background + bare * design.surface("c", theta)), bare


def fit_step(
    design: Design,
    rows: VoxelRows,
    theta: Vector,
    shrunk: Float[np.ndarray, " v"],
    merged: Intensities,
    alphas: Alphas,
    *,
    cg_tolerance: float = 1e-2,
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
    cg_tolerance, most_iterations
        When conjugate gradients stop.

    Raises
    ------
    InputError
        If the step is not finite.
    """
    from scipy import sparse

    predicted, bare = predict(design, rows, theta)
    weight, e = merged.weight, predicted.effective
    signal = e * shrunk[rows.voxel]
    seen = signal + predicted.flat - rows.observations.background
    factors = {"b": signal, "a": seen, "d": seen, "c": bare}
    known = np.maximum(merged.information, 1e-300)
    # Of the information of a row the part that its own intensity does not take.
    spare = 1 - np.minimum(weight * e**2 / known[rows.voxel], 1.0)
    blocks = _penalties(design, factors, weight * spare, alphas)
    penalty = sparse.csr_array(sparse.block_diag([block.penalty for block in blocks]))
    residual = rows.observations.counts - predicted.flat - e * merged.intensity[rows.voxel]
    gradient = design.transpose(factors, weight * residual) - penalty @ theta

    def curvature(step: Vector) -> Vector:
        change = design.apply(factors, step)
        change -= e * (rows.sums(weight * e * change) / known)[rows.voxel]
        bent: np.ndarray = design.transpose(factors, weight * change) + penalty @ step
        return bent

    step, iterations = _conjugate_gradients(
        curvature,
        design.project(gradient),
        _preconditioner(design, blocks),
        design.project,
        cg_tolerance,
        most_iterations,
    )
    if not np.all(np.isfinite(step)):
        raise InputError(
            "the scales do not converge",
            found="a step that is not finite",
            fix="check exposures and backgrounds, or switch off absorption, offset and detector",
        )
    theta, taken = _line_search(design, rows, theta, step, merged, penalty)
    change = float(np.sqrt(np.mean(np.square(design.surface("bad", taken)))))
    curvatures = [block.normal.diagonal() + block.penalty.diagonal() for block in blocks]
    return Step(theta, change, iterations, np.concatenate(curvatures), blocks)


def _penalties(
    design: Design, factors: Factors, weight: np.ndarray, alphas: Alphas
) -> tuple[Block, ...]:
    """Make normal matrix, terms of the penalty and their sum, for each component."""
    from scipy import sparse

    blocks = []
    for part, matrix, terms, strengths in zip(
        design.components, design.matrices, design.roughness, alphas, strict=True
    ):
        square = weight * factors[part.name] ** 2
        normal = (matrix.T @ (sparse.diags_array(square) @ matrix)).tocsr()
        own = normal.diagonal()
        units = tuple(term.unit(own) for term in terms)
        # Knots without rows must not make the system singular.
        least = max(1e-9 * float(own.max(initial=0)), 1e-30)
        total = least * sparse.eye_array(part.n_knots, format="csr")
        for strength, unit in zip(strengths, units, strict=True):
            total = total + strength * unit
        blocks.append(Block(normal, units, sparse.csr_array(total)))
    return tuple(blocks)


def _preconditioner(design: Design, blocks: tuple[Block, ...]) -> Callable[[Vector], Vector]:
    """Factorise JᵀWJ + Λ of each component, couplings and intensities left out."""
    solvers = [(where, block.solver()) for where, block in zip(design.slices, blocks, strict=True)]

    def solve(residual: Vector) -> Vector:
        result = np.empty_like(residual)
        for where, solver in solvers:
            result[where] = solver(residual[where])
        return result

    return solve


def _conjugate_gradients(
    apply: Callable[[Vector], Vector],
    target: Vector,
    precondition: Callable[[Vector], Vector],
    project: Callable[[Vector], Vector],
    tolerance: float,
    most: int,
) -> tuple[Vector, int]:
    """Solve within the gauge; stops when the residual is small in the preconditioner's norm."""
    solution = np.zeros_like(target)
    residual = target.copy()
    direction = preconditioned = project(precondition(residual))
    size = first = float(residual @ preconditioned)
    for iteration in range(most):
        if not size > tolerance**2 * first or size <= 0:
            return solution, iteration
        image = project(apply(direction))
        bend = float(direction @ image)
        if bend <= 0:
            return solution, iteration
        length = size / bend
        solution = solution + length * direction
        residual = residual - length * image
        preconditioned = project(precondition(residual))
        size, before = float(residual @ preconditioned), size
        direction = preconditioned + (size / before) * direction
    return solution, most


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
        return float(merged.weight @ residual**2 + at @ (penalty @ at))

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
