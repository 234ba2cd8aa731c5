"""Planes of a map: h, k or l constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Float

Axis = Literal["h", "k", "l"]


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of a map.

    Parameters
    ----------
    normal, value
        The index that is constant, and its value.
    axes
        Names of the two that run, for example ``("h", "k")``.
    x, y
        ``(n_x,)`` and ``(n_y,)`` fractional values of the two.
    intensity
        ``(n_x, n_y)``; NaN where masked.
    basis
        ``(2, 2)`` cartesian components (Å⁻¹) of the two reciprocal axes in
        the plane, one a row; the first lies along the first component.
        A point is ``x * basis[0] + y * basis[1]``.
    """

    normal: Axis
    value: float
    axes: tuple[str, str]
    x: Float[np.ndarray, " x"]
    y: Float[np.ndarray, " y"]
    intensity: Float[np.ndarray, "x y"]
    basis: Float[np.ndarray, "2 2"]

    @property
    def angle(self) -> float:
        """Angle (degrees) between the two reciprocal axes."""
        return float(np.degrees(np.arctan2(self.basis[1, 1], self.basis[1, 0])))


def extract_plane(full: IntensityMap, normal: Axis, value: float) -> Plane:
    """Cut the plane where one Miller index is constant.

    Raises
    ------
    InputError
        If the axis is none of h, k, l, or no voxels lie at the value.

    Examples
    --------
    >>> from unstill.crystal import Crystal, HklGrid
    >>> grid = HklGrid((-2, -2, -2), (5, 5, 5), (2, 2, 2))
    >>> crystal = Crystal((30.0, 30.0, 40.0, 90.0, 90.0, 120.0))
    >>> plane = extract_plane(IntensityMap(crystal, grid, np.ones(grid.shape)), "l", 0.5)
    >>> plane.axes, plane.intensity.shape, round(plane.angle)
    (('h', 'k'), (5, 5), 60)
    """
    if normal not in ("h", "k", "l"):
        raise InputError("a plane is normal to h, k or l", found=repr(normal), fix="give one")
    axis = "hkl".index(normal)
    division, start = full.grid.divisions[axis], full.grid.start[axis]
    position = value * division
    if abs(position - round(position)) > 1e-3 or not (
        start <= round(position) < full.grid.stop[axis]
    ):
        ends = full.grid.axes()[axis][[0, -1]]
        raise InputError(
            f"no voxels lie at {normal} = {value:g}",
            found=f"{normal} from {ends[0]:g} to {ends[1]:g} in steps of 1/{division}",
            fix="give a value on the grid",
        )
    first, second = [other for other in range(3) if other != axis]
    values = np.where(full.mask, np.nan, full.intensity).take(round(position) - start, axis=axis)
    axes = full.grid.axes()
    return Plane(
        normal=normal,
        value=round(position) / division,
        axes=("hkl"[first], "hkl"[second]),
        x=axes[first],
        y=axes[second],
        intensity=values,
        basis=_plane_basis(full.crystal.fractionalization_matrix[[first, second]]),
    )


def _plane_basis(vectors: np.ndarray) -> np.ndarray:
    along = float(np.linalg.norm(vectors[0]))
    unit = vectors[0] / along
    parallel = float(vectors[1] @ unit)
    across = float(np.linalg.norm(vectors[1] - parallel * unit))
    return np.array([[along, 0.0], [parallel, across]])
