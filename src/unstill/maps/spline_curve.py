"""A free smooth curve in |s|: cubic B-splines, one interval a resolution shell."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline

from unstill.shapes import Float

_MOST_INTERVALS = 24


def spline_basis(
    s: Float[np.ndarray, " points"], step: float
) -> tuple[Float[np.ndarray, " knots"], Float[np.ndarray, "points n_basis"]]:
    """Knots and values of the cubic B-splines, one interval a shell, 24 at most.

    The same freedom as the isotropic curve that a comparison subtracts.

    Parameters
    ----------
    s
        ``(n,)`` 1/d of the points (Å⁻¹).
    step
        Width of a shell (Å⁻¹).

    Returns
    -------
    knots, design
        For :func:`spline_curve`; ``design @ beta`` is the curve at the points.
    """
    low, high = float(s.min()), float(s.max())
    n_shells = (high - low) / step
    n_intervals = int(np.clip(round(n_shells), 4, _MOST_INTERVALS))
    inner = np.linspace(low, high * (1 + 1e-12), n_intervals + 1)
    knots = np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])
    return knots, BSpline.design_matrix(s, knots, 3).toarray()


def spline_curve(
    knots: Float[np.ndarray, " knots"],
    beta: Float[np.ndarray, " n_basis"],
    s: Float[np.ndarray, "*points"],
) -> Float[np.ndarray, "*points"]:
    """Evaluate the curve at any s; beyond the knots it keeps the value at its edge."""
    inside = np.clip(s, knots[0], knots[-1])
    values: np.ndarray = np.asarray(BSpline(knots, beta, 3)(inside))
    return values
