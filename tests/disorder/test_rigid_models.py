"""Rigid translation and rigid-body motion: closed forms, limits, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unstill.crystal.half_space import friedel_half
from unstill.disorder.rigid_body import RigidBody
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.scattering.form_factors import form_factors

DIVISIONS = (2, 1, 2)


def molecules(atoms: ModelAtoms) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cartesian rotation and coordinates of every molecule of the unit cell."""
    crystal = atoms.crystal
    matrix, inverse = crystal.orthogonalization_matrix, crystal.fractionalization_matrix
    found = []
    for op in crystal.group.operations():
        rotation = matrix @ (np.array(op.rot) / op.DEN) @ inverse
        shift = matrix @ (np.array(op.tran) / op.DEN)
        found.append((rotation, atoms.coord @ rotation.T + shift))
    return found


def setting(structure: Ensemble, d_min: float = 2.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index = friedel_half(structure.crystal, d_min, DIVISIONS)
    q = structure.crystal.q(index / np.array(DIVISIONS))
    s_squared = np.sum(q**2, axis=1) / (4 * np.pi**2)
    return index, q, s_squared


def test_translation_equals_its_closed_form_with_turned_tensors(monoclinic: Ensemble) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index, q, s_squared = setting(monoclinic)
    u = np.array([[0.30, 0.05, -0.02], [0.05, 0.10, 0.04], [-0.02, 0.04, 0.20]])
    model = RigidTranslation(atoms, anisotropic=True)
    found = model.prepare(index, DIVISIONS).intensity(model.theta(u=u))
    factors = form_factors(atoms.element, s_squared)
    expected = np.zeros(len(index))
    for rotation, coord in molecules(atoms):
        f = np.sum(factors * np.exp(1j * coord @ q.T), axis=0)
        turned = rotation @ u @ rotation.T
        expected += np.abs(f) ** 2 * -np.expm1(-np.einsum("pi,ij,pj->p", q, turned, q))
    np.testing.assert_allclose(found, expected, atol=2e-4 * expected.max())


def test_isotropic_tensor_equals_the_one_parameter_model(monoclinic: Ensemble) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index, _, _ = setting(monoclinic)
    plain = RigidTranslation(atoms)
    tensor = RigidTranslation(atoms, anisotropic=True)
    np.testing.assert_allclose(
        tensor.prepare(index, DIVISIONS).intensity(tensor.theta(0.4)),
        plain.prepare(index, DIVISIONS).intensity(plain.theta(0.4)),
        rtol=1e-6,
    )


def test_rigid_body_equals_its_closed_form(monoclinic: Ensemble) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index, q, s_squared = setting(monoclinic)
    model = RigidBody(atoms)
    theta = model.theta(sigma=0.2, libration=4.0, screw=0.3 * np.eye(3)[[1, 0, 2]])
    found = model.prepare(index, DIVISIONS).intensity(theta)
    covariance = model.covariance(theta)
    factors = form_factors(atoms.element, s_squared)
    weights = atoms.electrons() / atoms.electrons().sum()
    expected = np.zeros(len(index))
    for rotation, coord in molecules(atoms):
        centre = weights @ coord
        # 6 × 3: what (t, ω) does to an atom, in the turned frame.
        levers = np.array([np.hstack([np.eye(3), -cross(r)]) for r in coord - centre])
        turn = np.kron(np.eye(2), rotation)
        turned = turn @ covariance @ turn.T
        g = np.einsum("jp,jab,pa->bp", factors * np.exp(1j * coord @ q.T), levers, q)
        mean_u = np.einsum("j,jai,ik,jbk->ab", weights, levers, turned, levers)
        damping = np.exp(-np.einsum("pa,ab,pb->p", q, mean_u, q))
        expected += np.real(np.einsum("ap,ab,bp->p", g.conj(), turned, g)) * damping
    np.testing.assert_allclose(found, expected, atol=2e-4 * expected.max())


def test_rigid_body_without_turning_is_first_order_translation(monoclinic: Ensemble) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index, _, _ = setting(monoclinic)
    u = np.diag([0.10, 0.20, 0.05])
    body = RigidBody(atoms)
    still = np.zeros((3, 3))
    shifting = body.theta(translation=u, libration_tensor=still)
    translation = RigidTranslation(atoms, anisotropic=True, first_order=True)
    limit = translation.prepare(index, DIVISIONS).intensity(translation.theta(u=u))
    found = body.prepare(index, DIVISIONS).intensity(shifting)
    assert np.abs(found - limit).max() < 1e-3 * limit.max()


def test_small_translation_is_first_order(monoclinic: Ensemble) -> None:
    atoms = ModelAtoms.of(monoclinic)
    index, _, _ = setting(monoclinic)
    full, first = RigidTranslation(atoms), RigidTranslation(atoms, first_order=True)
    theta = full.theta(0.01)
    found = full.prepare(index, DIVISIONS).intensity(theta)
    limit = first.prepare(index, DIVISIONS).intensity(theta)
    assert np.abs(found - limit).max() < 1e-3 * limit.max()
    assert np.abs(found).max() < 1e-3 * full.prepare(index, DIVISIONS).intensity(np.zeros(1)).max()


@pytest.mark.parametrize(
    "options",
    [
        {"model": RigidTranslation},
        {"model": RigidTranslation, "first_order": True},
        {"model": RigidTranslation, "anisotropic": True},
        {"model": RigidTranslation, "anisotropic": True, "first_order": True},
        {"model": RigidBody},
        {"model": RigidBody, "debye_waller": False},
    ],
)
def test_gradients_equal_central_differences(monoclinic: Ensemble, options: Any) -> None:
    options = dict(options)
    model = options.pop("model")(ModelAtoms.of(monoclinic), **options)
    index, _, _ = setting(monoclinic, 4.0)
    prepared = model.prepare(index, DIVISIONS)
    theta = model.starts()[-1] + 0.1 * np.random.default_rng(0).normal(size=len(model.parameters))
    _, jacobian = prepared.with_jacobian(theta)
    for number in range(len(theta)):
        step = np.zeros(len(theta))
        step[number] = 1e-5
        numeric = (prepared.intensity(theta + step) - prepared.intensity(theta - step)) / 2e-5
        scale = np.abs(jacobian).max()
        np.testing.assert_allclose(jacobian[number], numeric, atol=1e-6 * scale)


def test_tensors_come_back_from_the_parameters(monoclinic: Ensemble) -> None:
    model = RigidBody(ModelAtoms.of(monoclinic))
    t = np.array([[0.2, 0.03, 0.0], [0.03, 0.1, 0.01], [0.0, 0.01, 0.15]])
    found = model.report(model.theta(translation=t, libration=2.0))
    assert found["T12"] == pytest.approx(0.03)
    assert found["T33"] == pytest.approx(0.15)
    assert found["L11"] == pytest.approx(4.0)
    assert found["libration"] == pytest.approx(2.0)
    assert found["S11"] + found["S22"] + found["S33"] == pytest.approx(0.0, abs=1e-12)


def test_chains_that_move_alone_add_without_interference(monoclinic: Ensemble) -> None:
    chains = np.where(np.arange(monoclinic.n_atoms) < 15, "A", "B")
    atoms = monoclinic.atoms.copy()
    atoms.chain_id = chains
    both = monoclinic.replace(atoms=atoms)
    index, _, _ = setting(monoclinic)

    def intensity(structure: Ensemble, bodies: str) -> np.ndarray:
        model = RigidTranslation(ModelAtoms.of(structure, bodies=bodies))
        return model.prepare(index, DIVISIONS).intensity(model.theta(0.3))

    together = intensity(both, "chain")
    apart = sum(intensity(both.select(chains == name), "asu") for name in "AB")
    np.testing.assert_allclose(together, apart, atol=1e-4 * together.max())
    assert np.abs(intensity(both, "asu") - together).max() > 0.1 * together.max()


def cross(r: np.ndarray) -> np.ndarray:
    return np.array([[0, -r[2], r[1]], [r[2], 0, -r[0]], [-r[1], r[0], 0]])
