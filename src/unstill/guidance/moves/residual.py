r"""What moving a few atoms does to the loss of a density, without a new transform.

With r = kρ_calc + c − ρ_obs and δ the change of kρ_calc, the loss of
:mod:`unstill.guidance.observables.density` changes by

.. math::
   \Delta L = w \sum_x r(x)\,\delta(x) + \tfrac{w}{2} \sum_x \delta(x)^2 .

The first sum is linear in δ, so that every atom has its share: the gradient of the
loss to its occupancy, which short Gaussians around it read from one grid, mates
by symmetry and the mask in it (:class:`unstill.scattering.grid_scattering.GridProbe`).
The second is a sum over pairs of atoms that moved, by Parseval over the sphere to d_min:

.. math::
   \sum_x \rho_i \rho_j = \frac{n}{V} C_{ij}(r), \qquad
   C_{ij}(r) = \int_0^{1/d} f_i f_j e^{-(B_i+B_j)s^2/4}\,
   \frac{\sin 2\pi s r}{2\pi s r}\, 4\pi s^2\, ds .

What was accepted before counts as pairs as well, so that the grid is made once a round.
Approximate are the pairs alone: they end at 4 Å, feel the mask by how much of an atom lies in
it, and leave out atoms that meet the mates of others. k and c stay as fitted; at their optimum
that changes the loss in second order only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unstill.compiled import kernel
from unstill.guidance.observables.density import DensityObservable, DensityResidual
from unstill.guidance.protocols import EnsembleState
from unstill.scattering import form_factors

_TAIL = 1e-3
"""Share of its height at which the profile of an atom ends."""
_PER_SQUARE = 24.0
"""Entries of a profile to one Å² of squared radius."""
_PAIR_REACH = 4.0
_PER_RADIUS = 20.0
_N_B = 16
_COVERAGE_B = 20.0
"""Å² of the Gaussian that smooths the mask into the share of an atom that counts."""


class LocalDensity(NamedTuple):
    """Arrays from which kernels read how the loss answers to an atom.

    ``values`` grid of the linear part; ``to_grid`` Cartesian rows to grid units; ``squares``
    nested squares of the metric; ``profile`` of every atom over r²; ``reach`` r² (Å²) where it
    ends; ``table`` C by kinds, B and r; ``kind``, ``b_place`` rows of it; ``amount``
    ``(n_members, n_atoms)`` weight × occupancy; ``coverage`` how many copies of an atom the
    mask holds; ``strength`` w k² n/V.
    """

    values: np.ndarray
    to_grid: np.ndarray
    squares: np.ndarray
    profile: np.ndarray
    reach: np.ndarray
    table: np.ndarray
    kind: np.ndarray
    b_place: np.ndarray
    amount: np.ndarray
    coverage: np.ndarray
    strength: float


def local_density(
    observable: DensityObservable,
    state: EnsembleState,
    resolution: float,
    *,
    strength: float = 1.0,
) -> LocalDensity:
    """Prepare the local score of an ensemble: one density, one transform.

    Parameters
    ----------
    observable
        The map.
    state
        Members, weights and B.
    resolution
        Å.
    strength
        Factor on the loss.
    """
    amount = np.ascontiguousarray(state.weights[:, None] * observable.occupancy)
    left = observable.residual(state, resolution)
    return of_residual(left, observable, state.b_factor, amount, strength)


def of_residual(
    left: DensityResidual,
    observable: DensityObservable,
    b_factor: np.ndarray,
    amount: np.ndarray,
    strength: float = 1.0,
) -> LocalDensity:
    """Prepare the local score from a residual that is at hand."""
    synthesis = left.synthesis
    cotangent = synthesis.density_adjoint(strength * left.weight * left.scale * left.values)
    probe = left.scattering.probe(b_factor, synthesis.of_cell_adjoint(cotangent))
    profile, reach = _profiles(probe.variance, probe.norm)
    kinds, kind = np.unique(observable.element, return_inverse=True)
    table, b_place = _pair_table(kinds, b_factor, synthesis.d_min, observable.electron)
    shape = np.array(synthesis.shape)
    return LocalDensity(
        values=probe.values,
        to_grid=np.ascontiguousarray(synthesis.crystal.fractionalization_matrix.T * shape),
        squares=probe.squares,
        profile=profile,
        reach=reach,
        table=table,
        kind=kind.astype(np.int64),
        b_place=b_place,
        amount=amount,
        coverage=_coverage(left),
        strength=strength
        * left.weight
        * left.scale**2
        * float(np.prod(shape) / synthesis.crystal.volume),
    )


def no_density(n_members: int, n_atoms: int) -> LocalDensity:
    """Return the local score of no data: nothing changes whatever moves."""
    one = np.zeros((1, 1, 1))
    return LocalDensity(
        values=one,
        to_grid=np.eye(3),
        squares=np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
        profile=np.zeros((n_atoms, 2)),
        reach=np.zeros(n_atoms),
        table=np.zeros((1, 1, 2, int(_PAIR_REACH * _PER_RADIUS) + 2)),
        kind=np.zeros(n_atoms, dtype=np.int64),
        b_place=np.zeros(n_atoms),
        amount=np.zeros((n_members, n_atoms)),
        coverage=one,
        strength=0.0,
    )


@kernel
def gradient_at(density: LocalDensity, atom: int, x: float, y: float, z: float) -> float:
    """∂L/∂occupancy of an atom if it stood at a place (Å), as of when the grid was made."""
    reach = density.reach[atom]
    if reach <= 0.0:
        return 0.0
    m = density.to_grid
    x1 = x * m[0, 0] + y * m[1, 0] + z * m[2, 0]
    x2 = x * m[0, 1] + y * m[1, 1] + z * m[2, 1]
    x3 = x * m[0, 2] + y * m[1, 2] + z * m[2, 2]
    values = density.values
    n1, n2, n3 = values.shape
    m1, m2, m3, p, q, r = density.squares
    profile = density.profile[atom]
    total = 0.0
    half1 = np.sqrt(reach / m1)
    for i in range(int(np.ceil(x1 - half1)), int(np.floor(x1 + half1)) + 1):
        d1 = i - x1
        left1 = reach - m1 * d1 * d1
        half2, centre2 = np.sqrt(max(left1, 0.0) / m2), x2 - p * d1
        for j in range(int(np.ceil(centre2 - half2)), int(np.floor(centre2 + half2)) + 1):
            left2 = left1 - m2 * (j - centre2) ** 2
            half3, centre3 = np.sqrt(max(left2, 0.0) / m3), x3 - q * d1 - r * (j - x2)
            first, last = int(np.ceil(centre3 - half3)), int(np.floor(centre3 + half3))
            line = values[i % n1, j % n2]
            k = first % n3
            aside = reach - left2
            for n in range(first, last + 1):
                place = (aside + m3 * (n - centre3) ** 2) * _PER_SQUARE
                entry = int(place)
                part = place - entry
                total += line[k] * (profile[entry] + part * (profile[entry + 1] - profile[entry]))
                k = k + 1 if k + 1 < n3 else 0
    return total


@kernel
def coverage_at(density: LocalDensity, x: float, y: float, z: float) -> float:
    """How many copies of an atom at a place (Å) the mask holds."""
    m = density.to_grid
    n1, n2, n3 = density.coverage.shape
    i = int(np.rint(x * m[0, 0] + y * m[1, 0] + z * m[2, 0])) % n1
    j = int(np.rint(x * m[0, 1] + y * m[1, 1] + z * m[2, 1])) % n2
    k = int(np.rint(x * m[0, 2] + y * m[1, 2] + z * m[2, 2])) % n3
    return float(max(density.coverage[i, j, k], 0.0))


@kernel
def pair_overlap(density: LocalDensity, one: int, other: int, square: float) -> float:
    """C of two atoms at a squared distance (Å²), both wholly in the mask once."""
    if square >= _PAIR_REACH * _PAIR_REACH:
        return 0.0
    at_r = np.sqrt(square) * _PER_RADIUS
    at_b = density.b_place[one] + density.b_place[other]
    k, b = int(at_r), min(int(at_b), density.table.shape[2] - 2)
    u, v = at_r - k, at_b - b
    t = density.table[density.kind[one], density.kind[other]]
    low = (1 - u) * t[b, k] + u * t[b, k + 1]
    high = (1 - u) * t[b + 1, k] + u * t[b + 1, k + 1]
    return float((1 - v) * low + v * high)


def _profiles(variance: np.ndarray, norm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ_t norm exp(−r²/2v) over r², of every atom, and where it has fallen off."""
    square = np.arange(0, 60.0, 1 / _PER_SQUARE)
    unique, back = np.unique(np.hstack([variance, norm]), axis=0, return_inverse=True)
    v, height = np.hsplit(unique, 2)
    profile = np.zeros((len(unique), len(square)))
    for term in range(v.shape[1]):
        profile += height[:, term, None] * np.exp(-square / (2 * v[:, term, None]))
    far = np.abs(profile) > _TAIL * np.abs(profile[:, :1])
    last = len(square) - 3 - np.argmax(far[:, ::-1], axis=1)
    longest = int(last.max(initial=0)) + 3
    back = back.reshape(-1)
    return np.ascontiguousarray(profile[:, :longest][back]), (last / _PER_SQUARE)[back]


def _pair_table(
    kinds: np.ndarray, b_factor: np.ndarray, d_min: float, electron: bool
) -> tuple[np.ndarray, np.ndarray]:
    """C over kinds, B and radius; and half of each atom's place along B."""
    nodes, shares = np.polynomial.legendre.leggauss(48)
    s = (nodes + 1) / (2 * d_min)
    shares = shares / (2 * d_min)
    f = form_factors(kinds, s**2, table="electron" if electron else "xray")
    low, high = 2 * float(b_factor.min()), 2 * float(b_factor.max())
    step = max(high - low, 1.0) / (_N_B - 1)
    sums = low + step * np.arange(_N_B)
    radius = np.arange(int(_PAIR_REACH * _PER_RADIUS) + 2) / _PER_RADIUS
    damping = np.exp(-sums[:, None] * s**2 / 4) * (shares * 4 * np.pi * s**2)
    wave = np.sinc(2 * s * radius[:, None])
    table = np.einsum("is,js,bs,rs->ijbr", f, f, damping, wave, optimize=True)
    return np.ascontiguousarray(table), (b_factor - low / 2) / step


def _coverage(left: DensityResidual) -> np.ndarray:
    synthesis = left.synthesis
    if left.mask.all():
        return np.full((1, 1, 1), float(synthesis.crystal.n_operations))
    f = synthesis.of_cell(synthesis.structure_factors(left.mask.astype(float)))
    return synthesis.density(f * np.exp(-_COVERAGE_B * synthesis.s_squared / 4))
