r"""Structure factors as the plain sum over atoms: slow, exact, the oracle.

.. math::
   F(H) = \sum_j o_j f_j(s)\, e^{-2\pi^2 s^T U_j s}\, e^{2\pi i H \cdot x_j}

Nothing is shared with the fast engines but the table of form factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unstill.compiled import kernel
from unstill.scattering.form_factors import Table, form_factors
from unstill.scattering.gradients import Gradients, checked_cotangent
from unstill.scattering.points import Points, checked_frac
from unstill.scattering.scatterers import Scatterers


class DirectEngine:
    """The plain sum in double precision; made by ``make_engine(engine="direct")``.

    Parameters
    ----------
    points
        Where F is wanted.
    scatterers
        Atoms, isotropic or not.
    table, energy
        As in :func:`unstill.scattering.form_factors.form_factors`.
    """

    name = "direct"
    tolerance = 1e-14

    def __init__(
        self,
        points: Points,
        scatterers: Scatterers,
        *,
        table: Table = "xray",
        energy: float | None = None,
    ) -> None:
        self.points, self.scatterers = points, scatterers
        names, self._kind = np.unique(scatterers.element, return_inverse=True)
        factors = form_factors(names, points.s_squared, table=table, energy=energy)
        self._factors = factors.astype(complex)
        self._tensor = scatterers.displacement
        # s^T U s as six products, so that one sum serves isotropic and anisotropic atoms.
        x, y, z = points.s.T
        self._products = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)

    @property
    def n_points(self) -> int:
        """Number of points."""
        return self.points.n_points

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return self.scatterers.n_atoms

    def structure_factors(self, frac: Any) -> Any:
        """F at every point, for fractional coordinates ``(n_atoms, 3)``."""
        checked_frac(frac, self.n_atoms)
        total = np.zeros(self.n_points, dtype=complex)
        _sum_atoms(*self._arguments(frac), self.scatterers.occupancy, total)
        return total

    def adjoint(self, frac: Any, cotangent: Any) -> Gradients:
        """Gradients of a real loss with dL = Re Σ_H conj(cotangent) dF."""
        checked_frac(frac, self.n_atoms)
        checked_cotangent(cotangent, self.n_points)
        # Columns: ∂/∂occupancy, ∂/∂x (fractional, 3), ∂/∂U (6), each for unit occupancy.
        columns = np.zeros((self.n_atoms, 10))
        _sum_points(*self._arguments(frac), np.asarray(cotangent, dtype=complex), columns)
        occupancy = self.scatterers.occupancy[:, None]
        by_u = occupancy * columns[:, 4:]
        is_tensor = self.scatterers.anisotropic
        return Gradients(
            coord=occupancy * (columns[:, 1:4] @ self.points.crystal.fractionalization_matrix),
            occupancy=columns[:, 0],
            b_factor=np.where(is_tensor, 0.0, by_u[:, :3].sum(axis=1) / (8 * np.pi**2)),
            u_aniso=np.where(is_tensor[:, None], by_u, 0.0) if is_tensor.any() else None,
        )

    def _arguments(self, frac: Any) -> tuple[np.ndarray, ...]:
        x = np.ascontiguousarray(frac, dtype=float)
        return self.points.index, self._products, self._factors, self._kind, self._tensor, x


@kernel
def _wave(
    index: np.ndarray, products: np.ndarray, factor: complex, tensor: np.ndarray, x: np.ndarray
) -> complex:
    """Scatter of one atom of unit occupancy to one point."""
    turns = index[0] * x[0] + index[1] * x[1] + index[2] * x[2]
    angle = 2 * np.pi * (turns - np.rint(turns))
    exponent = 0.0
    for part in range(6):
        exponent += products[part] * tensor[part]
    damping = np.exp(-2 * np.pi**2 * exponent) if exponent != 0.0 else 1.0
    scattered: complex = factor * damping * complex(np.cos(angle), np.sin(angle))
    return scattered


@kernel
def _sum_atoms(
    index: np.ndarray,
    products: np.ndarray,
    factors: np.ndarray,
    kind: np.ndarray,
    tensor: np.ndarray,
    frac: np.ndarray,
    occupancy: np.ndarray,
    total: np.ndarray,
) -> None:
    for atom in range(len(frac)):
        if occupancy[atom] == 0:
            continue
        for point in range(len(index)):
            total[point] += occupancy[atom] * _wave(
                index[point],
                products[point],
                factors[kind[atom], point],
                tensor[atom],
                frac[atom],
            )


@kernel
def _sum_points(
    index: np.ndarray,
    products: np.ndarray,
    factors: np.ndarray,
    kind: np.ndarray,
    tensor: np.ndarray,
    frac: np.ndarray,
    cotangent: np.ndarray,
    columns: np.ndarray,
) -> None:
    for atom in range(len(frac)):
        for point in range(len(index)):
            wave = _wave(
                index[point],
                products[point],
                factors[kind[atom], point],
                tensor[atom],
                frac[atom],
            )
            # Re(conj(g) w) and Re(conj(g) 2πi w).
            along = cotangent[point].real * wave.real + cotangent[point].imag * wave.imag
            across = cotangent[point].imag * wave.real - cotangent[point].real * wave.imag
            columns[atom, 0] += along
            for axis in range(3):
                columns[atom, 1 + axis] += 2 * np.pi * index[point, axis] * across
            for part in range(6):
                columns[atom, 4 + part] -= 2 * np.pi**2 * products[point, part] * along
