"""The generator of the embedded map: coordinates and a seed in, a diffuse map out."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.scattering.form_factors import form_factors
from unstill.units import u_from_b


@dataclass(frozen=True)
class SimulationRecipe:
    """Everything that decides the simulated map.

    Parameters
    ----------
    sigma
        Root-mean-square displacement of an atom along one axis (Å).
    gamma
        Correlation length of the displacements (Å).
    ordered_share
        Share of the atoms, those with the lowest B, that move with the field
        only; the others have an independent displacement besides.
    d_min, d_max
        Resolution limits (Å); voxels beyond them are unmeasured.
    divisions
        Voxels a reciprocal-lattice vector.
    background
        Height of the solvent-like ring, in units of the mean diffuse
        intensity of the molecule.
    noise
        Standard deviation over mean, for a voxel of mean intensity with a full
        Laue orbit of observations.
    blind_cusp
        Half opening angle (degrees) of the cone around a*, the spindle, in
        which nothing was measured.
    orders
        Phonon orders summed; 12 leaves out less than 1e-7 at qσ = 1.3.
    d_core
        Limit (Å) to which the transform of the molecule is summed before it is
        blurred.
    seed
        Seed of the noise.
    """

    sigma: float = 0.4
    gamma: float = 8.0
    ordered_share: float = 0.25
    d_min: float = 2.0
    d_max: float = 30.0
    divisions: Triple = (2, 2, 2)
    background: float = 0.8
    noise: float = 0.03
    blind_cusp: float = 8.0
    orders: int = 12
    d_core: float = 1.0
    seed: int = 1984


def simulate_map(model: Ensemble, recipe: SimulationRecipe | None = None) -> IntensityMap:
    r"""Simulate what a diffuse experiment on an orthorhombic crystal would give.

    Atoms move with a Gaussian field of displacements whose covariance is
    :math:`\sigma^2 e^{-r/\gamma}` between atoms a distance r apart, in all
    cells of an infinite crystal; and each on its own by
    :math:`U_j = \max((B_j - B_{ref})/8\pi^2, 0)`, with :math:`B_{ref}` the
    quantile of the B factors at ``ordered_share``. Averaged exactly over both,

    .. math::

        I(\mathbf q) = \sum_j f_j^2 (1 - e^{-q^2 U_j})
        + e^{-q^2\sigma^2} \sum_{n \ge 1} \frac{(q^2\sigma^2)^n}{n!}
        \sum_{ij} f_i f_j e^{-q^2 (U_i + U_j)/2}
        e^{i\mathbf q \cdot \mathbf r_{ij}} e^{-n r_{ij}/\gamma}

    per unit cell, with j over all cells. To that come a solvent-like isotropic
    background and Gaussian noise of variance proportional to the intensity.

    Parameters
    ----------
    model
        Coordinates of the asymmetric unit, one member, in an orthorhombic crystal.
    recipe
        Parameters; the defaults made the embedded map.

    Returns
    -------
    IntensityMap
        The unique octant h, k, l ≥ 0, in e² per unit cell, rounded to whole e²
        (which is far below the noise and makes the file small and the same
        everywhere); σ rounded likewise, ``n_obs`` the size of the Laue orbit.

    Raises
    ------
    InputError
        If the crystal is missing or not of Laue class mmm, or there are several members.
    """
    recipe = SimulationRecipe() if recipe is None else recipe
    crystal = _orthorhombic(model)
    box = HklGrid.covering(crystal, recipe.d_min, recipe.divisions)
    grid = HklGrid((0, 0, 0), tuple(n // 2 + 1 for n in box.shape), recipe.divisions)  # type: ignore[arg-type]
    signal = liquid_like_intensity(model, grid, recipe)
    s_squared = crystal.s_squared(grid.hkl())
    measured = _measured(crystal, grid, recipe)
    level = float(signal[measured].mean())
    expected = signal + level * recipe.background * solvent_ring(np.sqrt(s_squared))
    orbit = _orbit_size(grid)
    sigma = recipe.noise * np.sqrt(expected * level * 8 / orbit)
    # The noise is drawn for every voxel of the octant, so that the mask does not change it.
    noise = np.random.default_rng(recipe.seed).standard_normal(grid.shape)
    return IntensityMap(
        crystal,
        grid,
        _whole(expected + sigma * noise, measured),
        sigma=_whole(sigma, measured),
        n_obs=np.where(measured, orbit, 0).astype(np.int16),
        provenance={"command": "unstill.datasets.simulate_map", "parameters": asdict(recipe)},
    )


def liquid_like_intensity(model: Ensemble, grid: HklGrid, recipe: SimulationRecipe) -> np.ndarray:
    """Noise-free diffuse intensity (e² per unit cell) at every voxel of a box with h, k, l ≥ 0.

    The Patterson function of the crystal is multiplied by :math:`e^{-nr/γ}` on
    a grid over one period of the voxels and transformed back, order by order.
    The peak of each atom with itself (and its translates) is taken out first
    and added in closed form: it is sharp, a grid would blur it, and without it
    the transform falls off fast enough to be cut at ``d_core``.
    """
    crystal = _orthorhombic(model)
    u_own = _own_displacement(model, recipe.ordered_share)
    sharp, self_grid = _interference(model, u_own, recipe.d_core)
    shape = [_even(4 * n // 3) for n in self_grid.shape]
    patterson = _to_real_space(sharp, self_grid, shape)
    tiled = np.tile(patterson, recipe.divisions)
    distance_sums = _LatticeSum(crystal, recipe.divisions, tiled.shape)
    s_squared = crystal.s_squared(grid.hkl())
    atoms = _sum_of_squares(model, grid, u_own)
    at_rest = _sum_of_squares(model, grid, 0 * u_own)
    exponent = 4 * np.pi**2 * s_squared * recipe.sigma**2
    total = np.zeros(grid.shape)
    for order in range(1, recipe.orders + 1):
        decay = distance_sums.kernel(order / recipe.gamma)
        blurred = _at_octant(tiled * decay, grid)
        images = distance_sums.lattice_points(order / recipe.gamma, grid)
        total += exponent**order / math.factorial(order) * (blurred + atoms * images)
    intensity: np.ndarray = at_rest - atoms + np.exp(-exponent) * total
    return intensity


def solvent_ring(s: np.ndarray) -> np.ndarray:
    """Shape of the background: a water-like ring at 3.2 Å on a slowly rising foot; 1 at the ring.

    Parameters
    ----------
    s
        1/d (Å⁻¹).
    """
    ring: np.ndarray = 0.7 * np.exp(-0.5 * ((s - 1 / 3.2) / 0.055) ** 2)
    return ring + 0.3 * (s * 3.2) / np.sqrt(1 + (s * 3.2) ** 2) * math.sqrt(2)


def _whole(values: np.ndarray, measured: np.ndarray) -> np.ndarray:
    # Whole numbers below 2^24 are exact in single precision.
    rounded: np.ndarray = np.where(measured, np.rint(values), np.nan).astype(np.float32)
    return rounded


def _orthorhombic(model: Ensemble) -> Crystal:
    if model.crystal is None or model.crystal.laue_group != "mmm" or model.n_members != 1:
        raise InputError(
            "the generator needs one structure in an orthorhombic crystal",
            found=f"{model.n_members} members in {model.crystal}",
            fix="give the coordinates of one asymmetric unit, Laue class mmm",
        )
    return model.crystal


def _measured(crystal: Crystal, grid: HklGrid, recipe: SimulationRecipe) -> np.ndarray:
    s = crystal.s(grid.hkl())
    length = np.linalg.norm(s, axis=-1)
    off_spindle = np.hypot(s[..., 1], s[..., 2])
    cusp = off_spindle < np.tan(np.radians(recipe.blind_cusp)) * np.abs(s[..., 0])
    inside: np.ndarray = (length <= 1 / recipe.d_min) & (length >= 1 / recipe.d_max) & ~cusp
    return inside


def _orbit_size(grid: HklGrid) -> np.ndarray:
    # Laue class mmm: every index that is zero halves the orbit of eight.
    zeros = np.count_nonzero(grid.index() == 0, axis=-1)
    size: np.ndarray = 8 // 2**zeros
    return size


def _own_displacement(model: Ensemble, ordered_share: float) -> np.ndarray:
    """U_j (Å²) of each atom beyond what the better-ordered atoms have in common."""
    b_factor = np.broadcast_to(model.b_factor, (1, model.n_atoms))[0]
    reference = np.quantile(b_factor, ordered_share)
    u_own: np.ndarray = u_from_b(np.maximum(b_factor - reference, 0.0))
    return u_own


def _interference(model: Ensemble, u_own: np.ndarray, d_core: float) -> tuple[np.ndarray, HklGrid]:
    """|F|² − Σf² of the crystal at integer hkl, e² per unit cell, zero beyond d_core."""
    crystal = _orthorhombic(model)
    grid = HklGrid.covering(crystal, d_core)
    s_squared = crystal.s_squared(grid.hkl())
    frac = crystal.fractional(model.coord[0])
    occupancy = _occupancy(model)
    f = np.zeros(grid.shape, dtype=complex)
    for chosen, factor in _elements(model, s_squared):
        mates = _all_mates(crystal, frac[chosen])
        copies = crystal.n_operations
        f += factor * _damped_sum(
            crystal,
            grid,
            mates,
            np.tile(occupancy[chosen], copies),
            np.tile(u_own[chosen], copies),
        )
    sharp = np.abs(f) ** 2 - _sum_of_squares(model, grid, u_own)
    return np.where(s_squared <= 1 / d_core**2, sharp, 0.0), grid


def _sum_of_squares(model: Ensemble, grid: HklGrid, u_own: np.ndarray) -> np.ndarray:
    """Σ (occupancy × f)² e^{−q²U} of the unit cell."""
    crystal = _orthorhombic(model)
    total = np.zeros(grid.shape)
    for chosen, factor in _elements(model, crystal.s_squared(grid.hkl())):
        at_origin = np.zeros((int(chosen.sum()), 3))
        squared = _occupancy(model)[chosen] ** 2
        damped = _damped_sum(crystal, grid, at_origin, squared, 2 * u_own[chosen])
        total += factor**2 * damped.real
    return total * crystal.n_operations


def _occupancy(model: Ensemble) -> np.ndarray:
    occupancy: np.ndarray = np.broadcast_to(model.occupancy, (1, model.n_atoms))[0]
    return occupancy


def _elements(model: Ensemble, s_squared: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    names = np.unique(model.element)
    factors = np.real(form_factors(names.tolist(), s_squared))
    return [(model.element == name, factor) for name, factor in zip(names, factors, strict=True)]


def _all_mates(crystal: Crystal, frac: np.ndarray) -> np.ndarray:
    mates = [
        frac @ (np.array(op.rot) / op.DEN).T + np.array(op.tran) / op.DEN
        for op in crystal.group.operations()
    ]
    return np.concatenate(mates)


def _damped_sum(
    crystal: Crystal, grid: HklGrid, frac: np.ndarray, weight: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """Σ weight e^{−q²U/2} e^{2πi h·x} on a box, as one product of matrices.

    In an orthorhombic crystal the phase and the damping are products of
    factors for h, k and l.
    """
    h, k, l = (
        np.exp(2j * np.pi * axis[:, None] * x - 2 * np.pi**2 * (axis[:, None] / edge) ** 2 * u)
        for axis, x, edge in zip(grid.axes(), frac.T, crystal.unit_cell[:3], strict=True)
    )
    plane = (k[:, None, :] * l[None, :, :]).reshape(-1, len(frac))
    total: np.ndarray = ((h * weight) @ plane.T).reshape(grid.shape)
    return total


def _to_real_space(values: np.ndarray, grid: HklGrid, shape: list[int]) -> np.ndarray:
    """Σ_h A(h) exp(−2πi h·x) on a grid over the unit cell; A is centrosymmetric, so it is real."""
    padded = np.zeros(shape)
    i, j, k = (np.arange(a, b) % n for a, b, n in zip(grid.start, grid.stop, shape, strict=True))
    padded[np.ix_(i, j, k)] = values
    real: np.ndarray = np.fft.fftn(padded).real / np.prod(shape)
    return real


def _at_octant(values: np.ndarray, grid: HklGrid) -> np.ndarray:
    h, k, l = grid.shape
    transform: np.ndarray = np.fft.rfftn(values).real[:h, :k, :l]
    return transform


def _even(n: int) -> int:
    """Next even number without prime factors above 5, which is what an FFT likes."""
    n += n % 2
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 2


class _LatticeSum:
    """Sums of exp(−r × rate) over the translates by one period of the voxels."""

    reach = 10.0
    """Translates are summed until exp(−reach)."""

    def __init__(self, crystal: Crystal, divisions: Triple, shape: tuple[int, ...]) -> None:
        self._edges = np.array(crystal.unit_cell[:3])
        self._period = self._edges * np.array(divisions)
        self._shape = shape
        self._divisions = divisions

    def kernel(self, rate: float) -> np.ndarray:
        """Periodic Σ_T exp(−|r + T| × rate) on the grid over one period."""
        # Even along every axis: one octant is summed and mirrored.
        half = [n // 2 + 1 for n in self._shape]
        offsets = [
            np.arange(m) / n * length
            for m, n, length in zip(half, self._shape, self._period, strict=True)
        ]
        octant = np.zeros(half)
        for steps in self._steps(self._period, rate, self._period / 2):
            x, y, z = (
                (o + step * edge) ** 2
                for o, step, edge in zip(offsets, steps, self._period, strict=True)
            )
            octant += np.exp(-rate * np.sqrt(x[:, None, None] + y[None, :, None] + z))
        mirror = [
            np.minimum(i, n - i)
            for i, n in zip(map(np.arange, self._shape), self._shape, strict=True)
        ]
        periodic: np.ndarray = octant[np.ix_(*mirror)]
        return periodic

    def lattice_points(self, rate: float, grid: HklGrid) -> np.ndarray:
        """Σ_T exp(−|T| × rate) cos(2π h·T) over the translations of the unit cell."""
        total = np.zeros(grid.shape)
        for steps in self._steps(self._edges, rate, np.zeros(3)):
            weight = math.exp(-rate * float(np.linalg.norm(steps * self._edges)))
            h, k, l = (
                np.exp(2j * np.pi * axis * step)
                for axis, step in zip(grid.axes(), steps, strict=True)
            )
            total += weight * np.einsum("h,k,l->hkl", h, k, l).real
        return total

    def _steps(self, edges: np.ndarray, rate: float, margin: np.ndarray) -> list[np.ndarray]:
        far = np.ceil((self.reach / rate + margin) / edges).astype(int)
        steps = np.stack(
            np.meshgrid(*[np.arange(-n, n + 1) for n in far], indexing="ij"), axis=-1
        ).reshape(-1, 3)
        gap = np.maximum(np.abs(steps) * edges - margin, 0)
        return list(steps[np.linalg.norm(gap, axis=1) * rate <= self.reach])
