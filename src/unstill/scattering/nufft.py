r"""Structure factors by a low-rank non-uniform FFT: exact form factors, no smoothing.

.. math::
   F(H) = \sum_m \varphi_m(s_H) \sum_j o_j c_{mj}\, e^{2\pi i H\cdot x_j}

Each inner sum is one type-1 transform of real strengths. Two of them travel in
one complex transform P = T(w_a + i w_b), and Hermitian symmetry parts them:
:math:`\varphi_a T(w_a) + \varphi_b T(w_b) = \alpha P(H) + \beta \overline{P(-H)}`
with α = (φ_a − iφ_b)/2 and β = (φ_a + iφ_b)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.scattering.backends import Backend, backend
from unstill.scattering.gradients import Gradients, checked_cotangent, gradients_from_pull
from unstill.scattering.low_rank import LowRank, low_rank
from unstill.scattering.namespace import array_namespace
from unstill.scattering.points import Points, checked_frac
from unstill.scattering.scatterers import Scatterers

# Shares of the tolerance, found by measuring the total against direct sums.
_RANK_SHARE = 0.5
_EPS_SHARE = 0.5
_SINGLE_FROM = 5e-5


class NufftEngine:
    """Structure factors by non-uniform FFT; see the module for the equation.

    Made by :func:`unstill.scattering.engine.make_engine`. Picklable: plans
    are made anew where it is loaded.

    Parameters
    ----------
    points
        Where F is wanted.
    scatterers
        Isotropic atoms.
    factors
        Their low-rank form factors at the points.
    tolerance
        Relative error of F, shared by rank, transform and precision.
    device
        ``"cpu"`` or ``"gpu"``.
    """

    name = "nufft"

    def __init__(
        self,
        points: Points,
        scatterers: Scatterers,
        factors: LowRank,
        *,
        tolerance: float,
        device: str = "cpu",
    ) -> None:
        self.points, self.scatterers, self.tolerance = points, scatterers, tolerance
        self.device = device
        self.factors = factors
        self.real = np.dtype(np.float32 if _single_is_enough(points, tolerance) else np.float64)
        self.modes = _Modes.around(points.index, factors.n_channels)
        self._running: _Running | None = None

    @classmethod
    def make(
        cls,
        points: Points,
        scatterers: Scatterers,
        *,
        table: Any,
        energy: float | None,
        tolerance: float,
        device: str = "cpu",
    ) -> NufftEngine:
        """Build the engine, choosing the rank for the tolerance.

        Raises
        ------
        InputError
            If atoms have displacement tensors; the density engine takes those.
        MissingExtraError
            If the device is a GPU and ``unstill[gpu]`` is not installed.
        """
        if scatterers.anisotropic.any():
            raise InputError(
                "the nufft engine takes isotropic atoms only",
                found=f"{int(scatterers.anisotropic.sum())} atoms with a displacement tensor",
                fix="use engine='density' (or 'auto'), or drop u_aniso",
            )
        backend(device)  # a missing package is reported here, not at the first frame
        factors = low_rank(
            scatterers.element,
            scatterers.b_factor,
            points.s_squared,
            table=table,
            energy=energy,
            tolerance=_RANK_SHARE * tolerance,
        )
        return cls(points, scatterers, factors, tolerance=tolerance, device=device)

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
        running = self._start()
        if self._is_empty:
            return array_namespace(frac).zeros(self.n_points, dtype=running.complex)
        xp = running.backend.xp
        transformed = running.transform(xp.asarray(frac))
        return self._home(transformed, like=frac)

    def adjoint(self, frac: Any, cotangent: Any) -> Gradients:
        """Gradients of a real loss with dL = Re Σ_H conj(cotangent) dF."""
        checked_frac(frac, self.n_atoms)
        checked_cotangent(cotangent, self.n_points)
        running = self._start()
        if self._is_empty:
            nothing = np.zeros(self.n_atoms)
            return Gradients(np.zeros((self.n_atoms, 3)), nothing, nothing)
        xp = running.backend.xp
        pull = running.transpose(xp.asarray(frac))
        gradients = gradients_from_pull(
            self.points,
            xp.asarray(cotangent, dtype=running.complex),
            xp.asarray(self.scatterers.occupancy),
            pull,
        )
        return Gradients(
            coord=self._home(gradients.coord, like=frac),
            occupancy=self._home(gradients.occupancy, like=frac),
            b_factor=self._home(gradients.b_factor, like=frac),
        )

    @property
    def _is_empty(self) -> bool:
        return self.n_atoms == 0 or self.n_points == 0

    def _start(self) -> _Running:
        if self._running is None:
            # Below 1e-6 the wide kernels that little upsampling needs cost more than they save.
            upsampling = 1.25 if self.real == np.float32 else 2.0
            where = backend(self.device, upsampling=upsampling)
            self._running = _Running(
                where,
                self.modes,
                self.factors,
                self.scatterers.occupancy,
                _EPS_SHARE * self.tolerance,
                self.real,
            )
        return self._running

    def _home(self, array: Any, *, like: Any) -> Any:
        """Bring the result back to where the coordinates came from."""
        if array_namespace(like) is np:
            return self._start().backend.to_host(array)
        return array

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": None}


@dataclass(frozen=True, eq=False)
class _Modes:
    """Which box of modes a transform fills, and where the points lie in it.

    ``paired``: the box is centred on the origin and holds −H of every H, so two
    real strengths share a transform. Otherwise the box is centred on ``centre``
    (points far from the origin), and each strength has its own.
    """

    shape: tuple[int, int, int]
    centre: np.ndarray
    paired: bool
    plus: np.ndarray
    minus: np.ndarray

    @classmethod
    def around(cls, index: np.ndarray, n_channels: int) -> _Modes:
        if len(index) == 0:
            index = np.zeros((1, 3), dtype=np.int64)
        largest = np.abs(index).max(axis=0)
        low, high = index.min(axis=0), index.max(axis=0)
        both, own = np.prod(2.0 * largest + 1), np.prod(high - low + 1.0)
        # Twice the transforms also spread twice as often; a box of its own must pay for that.
        paired = bool(1.5 * own * n_channels >= both * ((n_channels + 1) // 2))
        centre = np.zeros(3, dtype=np.int64) if paired else low + (high - low + 1) // 2
        shape = 2 * largest + 1 if paired else high - low + 1
        a, b, c = (int(n) for n in shape)
        first = -(shape // 2)
        return cls(
            (a, b, c),
            centre,
            paired,
            _flat(index - centre - first, shape),
            _flat(-index - first, shape) if paired else np.zeros(0, dtype=np.int64),
        )


class _Running:
    """Plans and arrays on the device."""

    def __init__(
        self,
        where: Backend,
        modes: _Modes,
        factors: LowRank,
        occupancy: np.ndarray,
        eps: float,
        real: np.dtype[Any],
    ) -> None:
        xp = self.xp = where.xp
        self.backend, self.modes, self.eps, self.real = where, modes, eps, real
        self.complex = np.result_type(real, np.complex64)
        step = 2 if modes.paired else 1
        alpha, beta = _packed_profiles(factors.profile, step)
        self.alpha = xp.asarray(alpha, dtype=self.complex)
        self.beta = xp.asarray(beta, dtype=self.complex) if modes.paired else None
        self.coefficient = xp.asarray(_packed_strengths(factors.coefficient, step), self.complex)
        self.strength = self.coefficient * xp.asarray(occupancy, dtype=real)
        self.plus, self.minus = xp.asarray(modes.plus), xp.asarray(modes.minus)
        self._plans: dict[int, Any] = {}

    @property
    def n_trans(self) -> int:
        return len(self.alpha)

    def transform(self, frac: Any) -> Any:
        """F of coordinates: transform, gather ±H, combine with the profiles."""
        plan = self._plan(1, frac)
        strength = self.strength
        if not self.modes.paired:
            strength = strength * self._shift(frac)
        modes = plan.execute(strength).reshape(self.n_trans, -1)
        total = self.xp.zeros(self.plus.shape, dtype=self.complex)
        for number in range(self.n_trans):
            total += self.alpha[number] * modes[number][self.plus]
            if self.beta is not None:
                total += self.beta[number] * modes[number][self.minus].conj()
        return total

    def transpose(self, frac: Any) -> Any:
        """Return the function from a cotangent g to Re Σ_H conj(g) f_j exp(2πi H·x_j)."""
        plan = self._plan(2, frac)
        shift = None if self.modes.paired else self._shift(frac)

        def pull(cotangent: Any) -> Any:
            at_atoms = plan.execute(self._spread(cotangent)).reshape(self.n_trans, -1)
            if shift is not None:
                at_atoms = at_atoms * shift.conj()
            # Re(conj(v) c), summed over the packed pairs.
            return self.xp.sum((at_atoms.conj() * self.coefficient).real, axis=0, dtype=float)

        return pull

    def _spread(self, cotangent: Any) -> Any:
        grid = self.xp.zeros((self.n_trans, *self.modes.shape), dtype=self.complex)
        flat = grid.reshape(self.n_trans, -1)
        for number in range(self.n_trans):
            # add.at: the list may name a point twice, and H = 0 is its own mate.
            self.xp.add.at(flat[number], self.plus, self.alpha[number].conj() * cotangent)
            if self.beta is not None:
                mate = self.beta[number] * cotangent.conj()
                self.xp.add.at(flat[number], self.minus, mate)
        return grid if self.n_trans > 1 else grid[0]

    def _plan(self, nufft_type: int, frac: Any) -> Any:
        if nufft_type not in self._plans:
            self._plans[nufft_type] = self.backend.plan(
                nufft_type, self.modes.shape, self.n_trans, self.eps, str(self.complex)
            )
        plan = self._plans[nufft_type]
        plan.setpts(*_angles(frac, self.real))
        return plan

    def _shift(self, frac: Any) -> Any:
        centre = self.xp.asarray(self.modes.centre, dtype=float)
        turns = frac @ centre
        phase = self.xp.exp(2j * np.pi * (turns - self.xp.round(turns)))
        return phase.astype(self.complex)


def _angles(frac: Any, real: np.dtype[Any]) -> tuple[Any, Any, Any]:
    """2πx folded into [−π, π], folded before rounding to the working precision."""
    xp = array_namespace(frac)
    x, y, z = (
        xp.ascontiguousarray((2 * np.pi * (part - xp.round(part))).astype(real))
        for part in (frac[:, 0], frac[:, 1], frac[:, 2])
    )
    return x, y, z


def _packed_profiles(profile: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """α and β of the module's equation; with one strength a transform, α is the profile."""
    if step == 1:
        return profile, np.zeros((0, 0))
    first, second = _pairs(profile)
    return (first - 1j * second) / 2, (first + 1j * second) / 2


def _packed_strengths(coefficient: np.ndarray, step: int) -> np.ndarray:
    if step == 1:
        return coefficient
    first, second = _pairs(coefficient)
    packed: np.ndarray = first + 1j * second
    return packed


def _pairs(channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Even and odd channels; a missing partner is zero."""
    first = channels[0::2]
    second = np.zeros_like(first)
    second[: len(channels) // 2] = channels[1::2]
    return first, second


def _flat(offset: np.ndarray, shape: np.ndarray) -> np.ndarray:
    flat: np.ndarray = (offset[:, 0] * shape[1] + offset[:, 1]) * shape[2] + offset[:, 2]
    return flat


def _single_is_enough(points: Points, tolerance: float) -> bool:
    # Rounding x to single precision turns the phase of index h by about 1.2e-7 h.
    return tolerance >= _SINGLE_FROM and 1.2e-7 * points.largest_index <= 0.3 * tolerance
