"""What an adjoint returns, and how it is put together from one transform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.scattering.namespace import array_namespace
from unstill.scattering.points import Points
from unstill.shapes import Float


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradient of a real loss L to the atoms.

    Parameters
    ----------
    coord
        ``(n_atoms, 3)`` ∂L/∂x, Cartesian (per Å).
    occupancy
        ``(n_atoms,)`` ∂L/∂occupancy.
    b_factor
        ``(n_atoms,)`` ∂L/∂B (per Å²); zero where a displacement tensor
        replaces B.
    u_aniso
        ``(n_atoms, 6)`` ∂L/∂U11, U22, U33, U12, U13, U23 (per Å²), where an
        off-diagonal element stands for both of its places; zero for atoms
        without a tensor. ``None`` if no atom has one.
    """

    coord: Float[np.ndarray, "n_atoms 3"]
    occupancy: Float[np.ndarray, " n_atoms"]
    b_factor: Float[np.ndarray, " n_atoms"]
    u_aniso: Float[np.ndarray, "n_atoms 6"] | None = None


Pull = Callable[[Any], Any]
"""From a cotangent g to Re Σ_H conj(g) f_j exp(2πi H·x_j), one number an atom."""


def gradients_from_pull(points: Points, cotangent: Any, occupancy: Any, pull: Pull) -> Gradients:
    r"""Gradients of isotropic atoms from the transposed transform alone.

    With :math:`F = \sum_j o_j f_j e^{2\pi i H\cdot x_j}` every derivative is
    the same sum with the cotangent multiplied by something of H only:
    −2πi H for the coordinates, 1 for the occupancy, −s²/4 for B.
    """
    xp = array_namespace(cotangent)
    # A precision of its own would promote single to double; follow the cotangent.
    real = cotangent.real.dtype
    by_frac = xp.stack(
        [
            pull(cotangent * (-2j * np.pi * xp.asarray(points.index[:, axis], dtype=real)))
            for axis in range(3)
        ],
        axis=-1,
    )
    to_cartesian = xp.asarray(points.crystal.fractionalization_matrix)
    by_occupancy = pull(cotangent)
    by_b = pull(cotangent * xp.asarray(points.s_squared / -4, dtype=real))
    return Gradients(
        coord=occupancy[:, None] * (by_frac @ to_cartesian),
        occupancy=by_occupancy,
        b_factor=occupancy * by_b,
    )


def checked_cotangent(cotangent: Any, n_points: int) -> None:
    """Refuse a cotangent that does not fit the points.

    Raises
    ------
    InputError
        If its shape is not ``(n_points,)``.
    """
    if cotangent.shape != (n_points,):
        raise InputError(
            "the cotangent does not fit the points",
            found=f"shape {tuple(cotangent.shape)}",
            fix=f"give one complex number a point, shape ({n_points},)",
        )
