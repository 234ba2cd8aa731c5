"""Geometry at the borders of states, repaired by least squares inside the bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles.encode.least_squares import Balls, meet_distances
from unstill.ensembles.encode.placing import Placement
from unstill.ensembles.encode.restraints import Restraints
from unstill.shapes import Bool, Float, Int

_TETHER = 0.3
_INSIDE = 0.97
_BOUND_WEIGHT = 400.0
_MARGIN = 0.4


@dataclass(frozen=True, eq=False)
class ResidueBound:
    """The bound on every residue of every member.

    Parameters
    ----------
    coord, present
        Of the members, ``(n_members, n_atoms, 3)`` and ``(n_members, n_atoms)``.
    residue
        ``(n_atoms,)`` number of the residue of each atom.
    eps
        In Å.
    """

    coord: Float[np.ndarray, "n_members n_atoms 3"]
    present: Bool[np.ndarray, "n_members n_atoms"]
    residue: Int[np.ndarray, " n_atoms"]
    eps: float

    def squared(
        self, placement: Placement, rows: Float[np.ndarray, "n_rows 3"]
    ) -> Float[np.ndarray, "n_members n_residues"]:
        """Mean squared distance between the rebuilt residues and the given ones, in Å²."""
        n = int(self.residue.max()) + 1
        found = np.zeros((len(self.coord), n))
        for member, row in enumerate(placement.row):
            squared = ((rows[row] - self.coord[member]) ** 2).sum(axis=1) * self.present[member]
            count = np.bincount(self.residue, self.present[member], minlength=n)
            found[member] = np.bincount(self.residue, squared, minlength=n) / np.maximum(count, 1)
        return found


def repair_geometry(
    placement: Placement,
    mean: Float[np.ndarray, "n_rows 3"],
    restraints: Restraints,
    bound: ResidueBound,
    first: Float[np.ndarray, "n_rows 3"] | None = None,
) -> Float[np.ndarray, "n_rows 3"]:
    r"""Move rows so that bonds and angles across states are those of the members.

    .. math::

        \min_x \sum_{ij} \Bigl(\frac{|x_i - x_j| - d_{ij}}{\sigma_{ij}}\Bigr)^2
        + \sum_i \Bigl(\frac{x_i - \bar x_i}{0.3}\Bigr)^2
        + k \sum_{mr} \max\Bigl(0, \frac{\mathrm{msd}_{mr}}{(0.97 \epsilon)^2} - 1\Bigr)^2

    from the means (:func:`meet_distances`); the last sum keeps each residue of each member
    within the bound. A residue that is still beyond it goes back towards the means, which
    are within, just as far as needed.

    Parameters
    ----------
    placement
        Rows and who is in them.
    mean
        Mean places, within the bound.
    restraints
        Distances to be met.
    bound
        Members and the largest RMSD.
    first
        Places to begin with; ``mean`` by default.

    Returns
    -------
    coord
        ``(n_rows, 3)`` within the bound wherever ``mean`` is.
    """
    if not len(restraints.a):
        return mean.copy()
    balls = _near_bound(placement, mean, bound)
    moved = meet_distances(mean, restraints, balls, _TETHER, first)
    return pulled_back(placement, mean, moved, bound)


def pulled_back(
    placement: Placement,
    inside: Float[np.ndarray, "n_rows 3"],
    moved: Float[np.ndarray, "n_rows 3"],
    bound: ResidueBound,
) -> Float[np.ndarray, "n_rows 3"]:
    """Return each residue's rows on the way from ``moved`` to ``inside``, once within the bound.

    The places within the bound are convex, so every step further is allowed as well.
    Rows of one residue and one state of its backbone go together.
    """
    limit = bound.eps**2
    # Joined by members: rows of a residue that meet in some member share a factor.
    factor = np.ones(len(inside))
    low = bound.squared(placement, inside)
    for _ in range(60):
        at = inside + factor[:, None] * (moved - inside)
        beyond = bound.squared(placement, at) > np.maximum(limit, low + 1e-12)
        if not beyond.any():
            return np.asarray(at)
        too_far = np.zeros(len(inside), dtype=bool)
        for member, residues in enumerate(beyond):
            rows = placement.row[member, residues[bound.residue]]
            too_far[rows[rows >= 0]] = True
        factor[too_far] *= 0.9
    factor[too_far] = 0.0
    return np.asarray(inside + factor[:, None] * (moved - inside))


def _near_bound(
    placement: Placement, mean: Float[np.ndarray, "n_rows 3"], bound: ResidueBound
) -> Balls:
    """List the atoms of those residues of members that are near the bound."""
    root = np.sqrt(bound.squared(placement, mean))
    near = root > bound.eps - min(_MARGIN, 0.5 * bound.eps)
    rows, places, sizes = [], [], []
    for member, residues in enumerate(near):
        atoms = np.flatnonzero(residues[bound.residue] & bound.present[member])
        atoms = atoms[np.argsort(bound.residue[atoms], kind="stable")]
        rows.append(placement.row[member, atoms])
        places.append(bound.coord[member, atoms])
        sizes.append(np.unique(bound.residue[atoms], return_counts=True)[1])
    start = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
    return Balls(
        start,
        np.concatenate(rows).astype(np.int64),
        np.concatenate(places).astype(float),
        (_INSIDE * bound.eps) ** 2,
        _BOUND_WEIGHT,
    )
