"""Liquid-like motions against the sum over atoms, and their limits."""

from __future__ import annotations

import numpy as np
import pytest

from unstill.crystal.half_space import friedel_half
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.scattering.form_factors import form_factors

DIVISIONS = (2, 2, 2)


def points(structure: Ensemble, *, n: int, d_min: float = 2.0) -> np.ndarray:
    index = friedel_half(structure.crystal, d_min, DIVISIONS)
    chosen = np.random.default_rng(0).permutation(len(index))[:n]
    return index[chosen]


def sum_over_pairs(
    atoms: ModelAtoms, index: np.ndarray, sigma: float, gamma: float, *, confined: bool
) -> np.ndarray:
    """Σ f f e^{iqr} e^{−q²(σ² + (U+U')/2)} (e^{q²σ²C} − 1) + what each U_j adds, term by term."""
    crystal = atoms.crystal
    hkl = index / np.array(DIVISIONS)
    q_squared = 4 * np.pi**2 * crystal.s_squared(hkl)
    x = q_squared * sigma**2
    damping = np.exp(-q_squared * atoms.u_iso[:, None] / 2)
    factors = form_factors(atoms.element, crystal.s_squared(hkl)) * atoms.occupancy[:, None]
    frac = crystal.fractional(atoms.coord)
    operations = [
        (np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN)
        for op in crystal.group.operations()
    ]
    mates = np.array([frac @ r.T + t for r, t in operations])
    n_operations, n_atoms = mates.shape[:2]
    flat = mates.reshape(-1, 3)
    molecule = np.repeat(np.arange(n_operations), n_atoms)
    f = np.tile(factors * damping, (n_operations, 1))
    total = n_operations * (factors**2 * (1 - damping**2)).sum(axis=0)
    reach = 0 if confined else int(np.ceil(11 * gamma / 12))
    for cell in np.ndindex(2 * reach + 1, 2 * reach + 1, 2 * reach + 1):
        vectors = flat[:, None] - flat[None] - (np.array(cell) - reach)
        correlation = np.exp(-np.linalg.norm(crystal.cartesian(vectors), axis=-1) / gamma)
        if confined:
            correlation = correlation * (molecule[:, None] == molecule[None])
        j, k = np.nonzero(correlation > 2e-5)
        for point in range(len(index)) if len(j) else ():
            wave = np.cos(2 * np.pi * (vectors[j, k] @ hkl[point]))
            excess = np.exp(-x[point]) * np.expm1(x[point] * correlation[j, k])
            total[point] += np.sum(f[j, point] * f[k, point] * wave * excess)
    return total


@pytest.mark.parametrize("confined", [False, True])
@pytest.mark.parametrize("with_adp", [False, True])
def test_the_folded_transform_equals_the_sum_over_atoms(
    monoclinic: Ensemble, confined: bool, with_adp: bool
) -> None:
    rng = np.random.default_rng(3)
    b_factor = rng.uniform(5, 20, monoclinic.n_atoms) * with_adp
    structure = monoclinic.replace(b_factor=b_factor)
    atoms = ModelAtoms.of(structure)
    index = points(structure, n=150)
    model = LiquidLike(atoms, confined=confined, origin=True)
    found = model.prepare(index, DIVISIONS).intensity(model.theta(sigma=0.45, gamma=3.0))
    exact = sum_over_pairs(atoms, index, 0.45, 3.0, confined=confined)
    assert np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)) < 0.01
    assert np.mean(found) == pytest.approx(np.mean(exact), rel=3e-3)


def test_the_textbook_convolution_misses_the_sum_over_atoms(triclinic: Ensemble) -> None:
    # Why form factors are divided out and the self term is added in closed form.
    atoms = ModelAtoms.of(triclinic)
    index = points(triclinic, n=100)
    sigma, gamma = 0.3, 3.0
    hkl = index / np.array(DIVISIONS)
    x = 4 * np.pi**2 * atoms.crystal.s_squared(hkl) * sigma**2
    exact = sum_over_pairs(atoms, index, sigma, gamma, confined=False)
    half = friedel_half(atoms.crystal, 0.9)
    bragg = np.concatenate([half, -half[~np.all(half == 0, axis=1)]])
    power = np.abs(atoms.cell_transform(bragg)) ** 2
    textbook = np.zeros(len(index))
    for n in range(1, 9):
        length = gamma / n
        q_squared = 4 * np.pi**2 * atoms.crystal.s_squared(hkl[:, None] - bragg[None])
        kernel = 8 * np.pi * length**3 / (1 + length**2 * q_squared) ** 2 / atoms.crystal.volume
        weight = x**n / np.prod(np.arange(1, n + 1)) * np.exp(-x)
        textbook += weight * (kernel @ power)
    model = LiquidLike(atoms, origin=True)
    ours = model.prepare(index, DIVISIONS).intensity(model.theta(sigma=sigma, gamma=gamma))
    outer = atoms.crystal.d(hkl) < 2.3
    assert textbook[outer].mean() / exact[outer].mean() < 0.85
    assert ours[outer].mean() / exact[outer].mean() == pytest.approx(1, abs=0.01)


def test_long_correlation_in_confined_molecules_is_rigid_translation(
    monoclinic: Ensemble,
) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index = points(monoclinic, n=500)
    liquid = LiquidLike(atoms, confined=True)
    rigid = RigidTranslation(atoms)
    found = liquid.prepare(index, DIVISIONS).intensity(liquid.theta(sigma=0.5, gamma=1000.0))
    # At γ = 1000 Å correlation over the 11 Å of the molecule is still 1 % short of perfect.
    longer = liquid.prepare(index, DIVISIONS).intensity(np.log([0.5, 1e6]))
    limit = rigid.prepare(index, DIVISIONS).intensity(rigid.theta(0.5))
    scale = np.sqrt(np.mean(limit**2))
    assert np.sqrt(np.mean((longer - limit) ** 2)) < 1e-3 * scale
    assert np.sqrt(np.mean((found - limit) ** 2)) < 2e-2 * scale


@pytest.mark.parametrize("confined", [False, True])
def test_no_displacement_scatters_nothing(monoclinic: Ensemble, confined: bool) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index = points(monoclinic, n=100)
    model = LiquidLike(atoms, confined=confined)
    prepared = model.prepare(index, DIVISIONS)
    still = prepared.intensity(np.log([1e-4, 5.0]))
    moving = prepared.intensity(np.log([0.5, 5.0]))
    assert np.abs(still).max() < 1e-3 * moving.mean()


def test_short_correlation_leaves_every_atom_alone(monoclinic: Ensemble) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index = points(monoclinic, n=100)
    model = LiquidLike(atoms)
    found = model.prepare(index, DIVISIONS).intensity(np.log([0.4, 0.01]))
    s_squared = atoms.crystal.s_squared(index / np.array(DIVISIONS))
    alone = atoms.self_scattering(s_squared) * -np.expm1(-4 * np.pi**2 * s_squared * 0.4**2)
    # The transform ends at 1.2 Å, so interference does not vanish quite at distance zero.
    np.testing.assert_allclose(found, alone, rtol=0.015)


@pytest.mark.parametrize("confined", [False, True])
@pytest.mark.parametrize("divisions", [(1, 1, 1), (1, 2, 3)])
def test_gradients_equal_central_differences(
    triclinic: Ensemble, confined: bool, divisions: tuple[int, int, int]
) -> None:
    model = LiquidLike(ModelAtoms.of(triclinic), confined=confined)
    index = friedel_half(triclinic.crystal, 3.0, divisions)
    prepared = model.prepare(index, divisions)
    theta = model.theta(sigma=0.4, gamma=6.0)
    _, jacobian = prepared.with_jacobian(theta)
    for number in range(2):
        step = np.zeros(2)
        step[number] = 1e-4
        numeric = (prepared.intensity(theta + step) - prepared.intensity(theta - step)) / 2e-4
        scale = np.abs(jacobian[number]).max()
        np.testing.assert_allclose(jacobian[number], numeric, atol=1e-6 * scale)


def test_few_orders_with_remainder_equal_many(monoclinic: Ensemble) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index = points(monoclinic, n=300)
    intensities = {}
    for orders in (6, 20):
        model = LiquidLike(atoms, orders=orders)
        prepared = model.prepare(index, DIVISIONS)
        intensities[orders] = prepared.intensity(model.theta(sigma=0.5, gamma=4.0))
    difference = intensities[6] - intensities[20]
    assert np.sqrt(np.mean(difference**2)) < 1e-3 * intensities[20].mean()
