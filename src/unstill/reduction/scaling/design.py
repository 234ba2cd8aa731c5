"""All surfaces at the rows: sparse matrices of hat functions, penalties, gauges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unstill.reduction.scaling.component import Component, design_matrix
from unstill.reduction.scaling.gauge import Gauge, gauge_of
from unstill.reduction.scaling.intensities import Prediction
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


def make_design(
    components: Mapping[str, Component], rows: VoxelRows, options: ScaleOptions
) -> Design:
    """Evaluate hat functions at the rows."""
    parts = tuple(components[name] for name in _ORDER if name in components)
    matrices = tuple(design_matrix(part, rows.observations) for part in parts)
    gauges = tuple(
        gauge_of(
            part,
            matrix.T @ np.ones(len(rows)),
            with_detector="d" in components,
            s=_resolution(part, matrix, rows),
        )
        for part, matrix in zip(parts, matrices, strict=True)
    )
    roughness = tuple(tuple(roughness_terms(part, options)) for part in parts)
    return Design(parts, matrices, roughness, gauges)


def _resolution(
    part: Component, matrix: sparse.csr_array, rows: VoxelRows
) -> Float[np.ndarray, " n_static"] | None:
    """1/d (Å⁻¹) of the rows around each knot on the detector, on average."""
    if part.plane is None:
        return None
    mass = (matrix.T @ np.ones(len(rows))).reshape(part.shape).sum(axis=1)
    total = (matrix.T @ rows.observations.s).reshape(part.shape).sum(axis=1)
    resolution: np.ndarray = total / np.where(mass > 0, mass, 1.0)
    return resolution


def predict(
    design: Design, rows: VoxelRows, theta: Vector
) -> tuple[Prediction, Float[np.ndarray, " n"]]:
    """Return what the scales say of the rows, and exposure · a · d."""
    table = rows.observations
    bare = table.exposure * np.exp(design.surface("ad", theta))
    effective = bare * np.exp(design.surface("b", theta))
    return Prediction(effective, table.background + bare * design.surface("c", theta)), bare
