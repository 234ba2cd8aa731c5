"""What members differ inside a state goes into displacement parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unstill.ensembles.encode.placing import Placement, per_row
from unstill.shapes import Float
from unstill.units import EIGHT_PI_SQUARED

_COMPONENTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


class Displacements(NamedTuple):
    """Displacement parameters of rows.

    ``squared`` ``(n_rows,)`` mean square displacement in the state, all directions together,
    in Å²; ``b_factor`` ``(n_rows,)`` in Å²; ``u_aniso`` ``(n_rows, 6)`` in Å², or ``None``.
    """

    squared: Float[np.ndarray, " n_rows"]
    b_factor: Float[np.ndarray, " n_rows"]
    u_aniso: Float[np.ndarray, "n_rows 6"] | None


def move_spread_to_b(
    placement: Placement,
    rows: Float[np.ndarray, "n_rows 3"],
    coord: Float[np.ndarray, "n_members n_atoms 3"],
    b_factor: Float[np.ndarray, "n_members n_atoms"],
    u_aniso: Float[np.ndarray, "n_members n_atoms 6"] | None,
    weights: Float[np.ndarray, " n_members"],
    *,
    anisotropic: bool = False,
) -> Displacements:
    r"""Add the spread of members about their row to the B factor that they have themselves.

    .. math:: B = \langle B_m \rangle + \tfrac{8 \pi^2}{3} \langle |x_m - x|^2 \rangle

    and :math:`U_{ij} = \langle U_{m,ij} \rangle + \langle (x_m-x)_i (x_m-x)_j \rangle`,
    averages being over the weighted members in the row.

    Parameters
    ----------
    placement
        Rows and who is in them.
    rows
        Their places, after any repair.
    coord, b_factor, u_aniso
        Of the members.
    weights
        Of the members.
    anisotropic
        Give every row a tensor; otherwise only rows whose members have one.
    """
    away = rows[placement.row] - coord
    b0 = per_row(placement, b_factor, weights)
    squared = per_row(placement, (away**2).sum(axis=2), weights)
    b_iso = b0 + EIGHT_PI_SQUARED / 3 * squared
    if u_aniso is None and not anisotropic:
        return Displacements(squared, b_iso, None)
    spread = np.stack(
        [per_row(placement, away[..., i] * away[..., j], weights) for i, j in _COMPONENTS], axis=1
    )
    isotropic = (b0 / EIGHT_PI_SQUARED)[:, None] * np.array([1, 1, 1, 0, 0, 0])
    own = np.full_like(isotropic, np.nan)
    if u_aniso is not None:
        own = per_row(placement, u_aniso, weights)
    known = np.isfinite(own).all(axis=1)
    total = np.where(known[:, None], own, isotropic if anisotropic else np.nan) + spread
    whole = np.isfinite(total).all(axis=1)
    trace = EIGHT_PI_SQUARED * total[:, :3].sum(axis=1) / 3
    return Displacements(squared, np.where(whole, trace, b_iso), total)
