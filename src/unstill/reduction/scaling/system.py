r"""The linear system of one step, with the intensities eliminated and never formed.

.. math:: S\,\delta = J^T W (1 - P)\,r - \Lambda\theta, \qquad
          S = J^T W (1 - P) J + \Lambda

with P the projection on the intensities of the voxels (a Schur complement). S is
applied row by row; conjugate gradients solve it within the gauge, helped by one
sparse factorisation a component.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unstill.reduction.scaling.design import Alphas, Design, Factors, Vector, predict
from unstill.reduction.scaling.intensities import Intensities
from unstill.reduction.scaling.rows import VoxelRows
from unstill.shapes import Float

if TYPE_CHECKING:
    from scipy import sparse


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
    strengths
        The present α of the terms.
    solve
        Solves with JᵀWJ + Λ.
    """

    normal: sparse.csr_array
    units: tuple[sparse.csr_array, ...]
    penalty: sparse.csr_array
    strengths: tuple[float, ...]
    solve: Callable[[Vector], Vector]

    def with_strengths(self, strengths: tuple[float, ...]) -> Block:
        """Return the block for other α."""
        if strengths == self.strengths:
            return self
        return _block(self.normal, self.units, strengths)


def _block(
    normal: sparse.csr_array, units: tuple[sparse.csr_array, ...], strengths: tuple[float, ...]
) -> Block:
    from scipy import sparse

    # Knots without rows must not make the system singular.
    least = max(1e-9 * float(normal.diagonal().max(initial=0)), 1e-30)
    total = least * sparse.eye_array(normal.shape[0], format="csr")
    for strength, unit in zip(strengths, units, strict=True):
        total = total + strength * unit
    penalty = sparse.csr_array(total)
    return Block(normal, units, penalty, strengths, positive_solver(normal + penalty))


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
class System:
    """Second derivative of the objective at some values.

    Parameters
    ----------
    design, rows, factors
        J, row by row.
    effective
        ``(n,)`` change of the expected counts with the intensity.
    merged
        Carries the weights W.
    blocks
        Components on their own.
    penalty
        Λ of all.
    """

    design: Design
    rows: VoxelRows
    factors: Factors
    effective: Float[np.ndarray, " n"]
    merged: Intensities
    blocks: tuple[Block, ...]
    penalty: sparse.csr_array

    def pull(self, residual: Float[np.ndarray, " n"]) -> Vector:
        """Return JᵀW(1 − P) times residuals."""
        return self.design.transpose(self.factors, self.merged.weight * self._left(residual))

    def curvature(self, step: Vector) -> Vector:
        """Return S times a step."""
        bent: np.ndarray = self.pull(self.design.apply(self.factors, step)) + self.penalty @ step
        return bent

    def solve(self, target: Vector, *, tolerance: float, most: int) -> tuple[Vector, int]:
        """Solve S δ = target within the gauge; also returns the number of iterations."""
        return conjugate_gradients(
            self.curvature,
            self.design.project(target),
            self._precondition,
            self.design.project,
            tolerance,
            most,
        )

    def diagonal(self) -> Vector:
        """Diagonal of the blocks, penalty included."""
        parts = [block.normal.diagonal() + block.penalty.diagonal() for block in self.blocks]
        return np.concatenate(parts)

    def _left(self, values: np.ndarray) -> np.ndarray:
        """Take off what the intensities of the voxels take."""
        e = self.effective
        known = np.maximum(self.merged.information, 1e-300)
        taken = self.rows.sums(self.merged.weight * e * values) / known
        left: np.ndarray = values - e * taken[self.rows.voxel]
        return left

    def _precondition(self, residual: Vector) -> Vector:
        result = np.empty_like(residual)
        for where, block in zip(self.design.slices, self.blocks, strict=True):
            result[where] = block.solve(residual[where])
        return result


def make_system(
    design: Design,
    rows: VoxelRows,
    theta: Vector,
    shrunk: Float[np.ndarray, " v"],
    merged: Intensities,
    alphas: Alphas,
    *,
    before: tuple[Block, ...] = (),
) -> System:
    """Linearise at ``theta``; ``shrunk`` are positive intensities for the derivatives.

    Blocks help to solve and tell how smooth surfaces are; neither needs them
    to the last percent, so those of a step before will do.
    """
    from scipy import sparse

    predicted, bare = predict(design, rows, theta)
    weight, e = merged.weight, predicted.effective
    signal = e * shrunk[rows.voxel]
    seen = signal + predicted.flat - rows.observations.background
    factors = {"b": signal, "a": seen, "d": seen, "c": bare}
    if before:
        blocks = tuple(
            block.with_strengths(own) for block, own in zip(before, alphas, strict=True)
        )
    else:
        # Of the information of a row the part that its own intensity does not take.
        known = np.maximum(merged.information, 1e-300)
        spare = 1 - np.minimum(weight * e**2 / known[rows.voxel], 1.0)
        blocks = _blocks(design, factors, weight * spare, alphas)
    penalty = sparse.block_diag([block.penalty for block in blocks], format="csr")
    return System(design, rows, factors, e, merged, blocks, sparse.csr_array(penalty))


def _blocks(
    design: Design, factors: Factors, weight: np.ndarray, alphas: Alphas
) -> tuple[Block, ...]:
    """Make normal matrix, terms of the penalty and their sum, for each component."""
    from scipy import sparse

    blocks = []
    for part, matrix, terms, strengths in zip(
        design.components, design.matrices, design.roughness, alphas, strict=True
    ):
        square = weight * factors[part.name] ** 2
        # Every row of the matrix has equally many entries.
        weighted = (matrix.data.reshape(len(square), -1) * square[:, None]).ravel()
        right = sparse.csr_array((weighted, matrix.indices, matrix.indptr), matrix.shape)
        normal = (matrix.T.tocsr() @ right).tocsr()
        own = normal.diagonal()
        blocks.append(_block(normal, tuple(term.unit(own) for term in terms), strengths))
    return tuple(blocks)


def conjugate_gradients(
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
    # Sums of numpy and not of BLAS, whose last bit depends on its number of threads.
    size = first = float(np.sum(residual * preconditioned))
    for iteration in range(most):
        if not size > tolerance**2 * first or size <= 0:
            return solution, iteration
        image = project(apply(direction))
        bend = float(np.sum(direction * image))
        if bend <= 0:
            return solution, iteration
        length = size / bend
        solution = solution + length * direction
        residual = residual - length * image
        preconditioned = project(precondition(residual))
        size, before = float(np.sum(residual * preconditioned)), size
        direction = preconditioned + (size / before) * direction
    return solution, most
