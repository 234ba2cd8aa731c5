"""Laue orbits: the places where observed and calculated intensity are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import check_metric, map_to_asu
from unstill.errors import InputError
from unstill.shapes import Float, Int, Integer


@dataclass(frozen=True, eq=False)
class Orbits:
    """Laue-unique points, those with equally many members side by side.

    Parameters
    ----------
    crystal
        The unit cell, and the space group that is averaged over.
    divisions
        Unit cells along a, b, c of the supercell; hkl = index / divisions.
    index
        ``(n_orbits, 3)`` representative of each orbit
        (:func:`unstill.crystal.symmetry.map_to_asu`).
    size
        ``(n_orbits,)`` members in one half of reciprocal space, ascending.
        The whole orbit, Friedel mates included, is twice as large.
    points
        ``(n_points,)`` position of every member among the points of the
        source, orbit after orbit.
    s
        ``(n_orbits,)`` 1/d (Å⁻¹).
    step
        Length of the (1,1,1) vector of the grid (Å⁻¹): the width of a shell.
    """

    crystal: Crystal
    divisions: Triple
    index: Integer[np.ndarray, "orbits 3"]
    size: Int[np.ndarray, " orbits"]
    points: Int[np.ndarray, " points"]
    s: Float[np.ndarray, " orbits"]
    step: float

    @property
    def n_orbits(self) -> int:
        """Number of orbits."""
        return len(self.size)

    @property
    def radius(self) -> Float[np.ndarray, " orbits"]:
        """|s| in units of the (1,1,1) vector of the grid."""
        return self.s / self.step

    @property
    def shell(self) -> Int[np.ndarray, " orbits"]:
        """Resolution shell of each orbit, round(s / step), as in a comparison of maps."""
        number: np.ndarray = np.floor(self.radius + 0.5).astype(np.int64)
        return number


def find_orbits(
    crystal: Crystal,
    divisions: Triple,
    index: Integer[np.ndarray, "n_index 3"],
    wanted: np.ndarray | None = None,
) -> Orbits:
    """Sort the points of one half of reciprocal space into Laue orbits.

    Parameters
    ----------
    crystal
        Its space group is averaged over.
    divisions
        Grid points a reciprocal-lattice vector.
    index
        ``(n, 3)`` grid indices, one of each Friedel pair; the origin, which is
        the direct beam, is left out.
    wanted
        ``(n,)`` bool; an orbit is kept if any of its members is wanted.

    Raises
    ------
    InputError
        If no point is left, or the cell or the divisions do not allow the
        Laue group.
    """
    check_metric(crystal)
    numbers = np.flatnonzero(np.any(index != 0, axis=1))
    representative = map_to_asu(crystal, index[numbers].astype(np.int64), divisions)
    unique, label, size = np.unique(
        representative, axis=0, return_inverse=True, return_counts=True
    )
    label = label.ravel()
    kept = np.ones(len(unique), dtype=bool)
    if wanted is not None:
        kept = np.bincount(label, weights=wanted[numbers], minlength=len(unique)) > 0
    if not kept.any():
        raise InputError(
            "the members and the observed map have no point in common",
            found=f"{len(index)} points of the members",
            fix="check the resolution limits, the divisions and the mask of the map",
        )
    # Orbits of one size stand together, so that their means are those of a rectangle.
    order = np.flatnonzero(kept)[np.argsort(size[kept], kind="stable")]
    place = np.full(len(unique), -1)
    place[order] = np.arange(len(order))
    of_point = place[label]
    inside = np.flatnonzero(of_point >= 0)
    points = numbers[inside[np.argsort(of_point[inside], kind="stable")]]
    hkl = unique[order] / np.array(divisions)
    return Orbits(
        crystal=crystal,
        divisions=divisions,
        index=unique[order],
        size=size[order],
        points=points,
        s=np.sqrt(crystal.s_squared(hkl)),
        step=float(np.sqrt(crystal.s_squared(1 / np.array([divisions]))[0])),
    )
