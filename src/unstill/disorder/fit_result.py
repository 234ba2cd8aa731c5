"""What a fit found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.disorder.model import Theta
from unstill.maps.compare import Comparison
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.reindex import Candidate
from unstill.shapes import Float

_UNITS = {"s": "Å", "g": "Å", "l": "°", "U": "Å²", "T": "Å²", "L": "°²", "S": "Å°"}
"""By first letter: sigma, gamma, libration, and the entries of tensors."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """Parameters of a disorder model, how well they are known, and how well it fits.

    Parameters
    ----------
    model
        Name of the model.
    theta
        Free parameters at the optimum.
    parameters
        The same in the field's words and units.
    stderr
        Standard errors from the Gauss–Newton Hessian; NaN where the data do
        not determine a value.
    intervals
        95 % intervals from the block bootstrap; empty if none was asked for.
    scale
        k.
    curve_s, curve
        Isotropic part b(s) at 200 values of s = 1/d (Å⁻¹).
    cost
        Weighted sum of squares left, over that without a model: 0 is perfect,
        1 is useless.
    comparison
        Agreement of ``model_map`` with the data. Its total correlation is that
        of k I alone, without the free curve.
    operator
        Indexing of the data that was used.
    candidates
        Indexings that were tried, best first.
    d_min, d_max
        Resolution range of the fit (Å).
    n_points
        Laue-unique points that were fitted.
    n_evaluations
        Evaluations of the model.
    weighting
        ``"sigma"``, ``"shell"`` or ``"equal"``.
    converged
        Whether the optimiser says so.
    at_bounds, undetermined
        Parameters that ended at a bound; values that the data do not determine.
    observed, model_map, residual
        The data in the indexing used; k I; data − k I − b. Masked outside the
        resolution range.
    """

    model: str
    theta: Theta
    parameters: dict[str, float]
    stderr: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    scale: float
    curve_s: Float[np.ndarray, " samples"]
    curve: Float[np.ndarray, " samples"]
    cost: float
    comparison: Comparison
    operator: str
    candidates: tuple[Candidate, ...]
    d_min: float
    d_max: float
    n_points: int
    n_evaluations: int
    weighting: str
    converged: bool
    at_bounds: tuple[str, ...]
    undetermined: tuple[str, ...]
    observed: IntensityMap
    model_map: IntensityMap
    residual: IntensityMap

    @property
    def cc_total(self) -> float:
        """Correlation of the intensities."""
        return self.comparison.cc_total

    @property
    def cc_aniso(self) -> float:
        """Correlation of the anisotropic parts; the figure to judge by."""
        return self.comparison.cc_aniso

    @property
    def n_voxels(self) -> int:
        """Voxels compared."""
        return self.comparison.n_voxels

    @property
    def units(self) -> dict[str, str]:
        """Unit of each of ``parameters``."""
        return {name: _UNITS[name[0]] for name in self.parameters}

    @property
    def margin(self) -> float | None:
        """Lead of the indexing used over the next best; None if there was no choice."""
        if len(self.candidates) < 2:
            return None
        return self.candidates[0].cc_aniso - self.candidates[1].cc_aniso

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of ``unstill fit --json``; NaN becomes null when it is written."""
        return {
            **self.comparison.as_dict(),
            "operator": self.operator,
            "candidates": [
                {"operator": one.operator.name, "cc_aniso": one.cc_aniso}
                for one in self.candidates or self.comparison.candidates
            ],
            "model": self.model,
            "parameters": self.parameters,
            "stderr": self.stderr,
        }

    def details(self) -> dict[str, Any]:
        """Return all numbers: :meth:`as_dict`, intervals, scale, range and remarks."""
        return {
            **self.as_dict(),
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "margin": self.margin,
            "scale": self.scale,
            "cost": self.cost,
            "d_min": self.d_min,
            "d_max": self.d_max,
            "n_points": self.n_points,
            "n_evaluations": self.n_evaluations,
            "weighting": self.weighting,
            "converged": self.converged,
            "at_bounds": list(self.at_bounds),
            "undetermined": list(self.undetermined),
            "curve": {"s": self.curve_s, "intensity": self.curve},
        }
