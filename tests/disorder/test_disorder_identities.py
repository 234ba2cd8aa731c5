"""Identities that hold for any parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.symmetry import laue_operations
from unstill.disorder import lattice_sum as sums
from unstill.disorder.cholesky import factor, free_entries
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.phonon_orders import order_weights
from unstill.disorder.rigid_body import RigidBody
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.errors import InputError


@given(st.floats(1e-6, 30.0), st.integers(1, 12), st.floats(0.0, 1.0))
def test_orders_sum_to_the_exact_factor(x: float, orders: int, correlation: float) -> None:
    weights, _ = order_weights(np.array([x]), orders, remainder=True)
    assert weights.sum() == pytest.approx(-np.expm1(-x))
    powers = correlation ** np.arange(1, orders + 1)
    exact = np.exp(-x) * np.expm1(x * correlation)
    neglected = weights[-1, 0] * correlation**orders
    assert exact - 1e-9 <= weights[:, 0] @ powers <= exact + neglected + 1e-9


@given(st.floats(1e-3, 20.0), st.integers(1, 10), st.booleans())
def test_slopes_of_orders_are_derivatives(x: float, orders: int, remainder: bool) -> None:
    step = 1e-6 * x
    _, slopes = order_weights(np.array([x]), orders, remainder=remainder)
    above, _ = order_weights(np.array([x + step]), orders, remainder=remainder)
    below, _ = order_weights(np.array([x - step]), orders, remainder=remainder)
    np.testing.assert_allclose(slopes, (above - below) / (2 * step), atol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 6))
def test_semidefinite_tensors_survive_their_parameters(seed: int, size: int, rank: int) -> None:
    root = np.random.default_rng(seed).normal(size=(size, rank))
    tensor = root @ root.T
    lower = factor(free_entries(tensor), size)
    np.testing.assert_allclose(lower @ lower.T, tensor, atol=2e-3 * (1 + np.abs(tensor).max()))


@settings(max_examples=10)
@given(st.floats(8.0, 25.0), st.floats(70.0, 110.0))
def test_both_ways_to_sum_over_the_lattice_agree(length: float, beta: float) -> None:
    crystal = Crystal((14.0, 16.0, 15.0, 90.0, beta, 95.0))
    hkl = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.5, 0.5]])
    direct = sums._direct(crystal, hkl, length, 20 * length)
    reciprocal = sums._reciprocal(crystal, hkl, length)
    for a, b in zip(direct, reciprocal, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


MODELS: dict[str, Any] = {
    "liquid-like": LiquidLike,
    "confined": lambda atoms: LiquidLike(atoms, confined=True),
    "tensor": lambda atoms: RigidTranslation(atoms, anisotropic=True),
    "rigid-body": RigidBody,
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("space_group", ["P 41", "P 3 2 1", "C 1 2 1", "I 2 2 2"])
def test_maps_have_the_symmetry_of_the_crystal(
    make_molecule: Any, kind: str, space_group: str
) -> None:
    cells = {"P 3 2 1": (24.0, 24.0, 16.0, 90.0, 90.0, 120.0)}
    cell = cells.get(space_group, (22.0, 22.0, 16.0, 90.0, 90.0, 90.0))
    crystal = Crystal(cell, space_group)
    model = MODELS[kind](ModelAtoms.of(make_molecule(crystal, n_atoms=15)))
    rng = np.random.default_rng(0)
    theta = model.starts()[-1] + 0.1 * rng.normal(size=len(model.parameters))
    half = friedel_half(crystal, 3.5, (2, 2, 2), d_max=20.0)
    index = half[rng.permutation(len(half))[:40]].astype(np.int64)
    mates = np.concatenate([index @ operation for operation in laue_operations(crystal)])
    found = model.prepare(mates, (2, 2, 2)).intensity(theta).reshape(-1, len(index))
    assert np.ptp(found, axis=0).max() < 2e-3 * found.max()
    assert np.std(found[0]) > 0.1 * np.mean(found[0])


def test_intensity_does_not_depend_on_the_origin(triclinic: Ensemble) -> None:
    index = friedel_half(triclinic.crystal, 3.0, (2, 2, 2))
    moved = triclinic.replace(coord=triclinic.coord + np.array([3.3, -20.0, 7.1]))
    for make in MODELS.values():
        here, there = (make(ModelAtoms.of(one)) for one in (triclinic, moved))
        theta = here.starts()[0]
        a = here.prepare(index, (2, 2, 2)).intensity(theta)
        b = there.prepare(index, (2, 2, 2)).intensity(theta)
        assert np.abs(a - b).max() < 1e-3 * a.max()


def test_what_stays_with_the_atom_follows_the_rule(triclinic: Ensemble) -> None:
    b_factor = np.linspace(10, 40, triclinic.n_atoms)
    structure = triclinic.replace(b_factor=b_factor)
    excess = ModelAtoms.of(structure).u_iso
    refined = b_factor / (8 * np.pi**2)
    quartile = np.quantile(refined, 0.25)
    np.testing.assert_allclose(excess, np.maximum(refined - quartile, 0))
    assert not ModelAtoms.of(structure, adp="none").u_iso.any()
    np.testing.assert_allclose(ModelAtoms.of(structure, adp="full").u_iso, refined)
    equal = triclinic.replace(b_factor=np.full(triclinic.n_atoms, 25.0))
    assert not ModelAtoms.of(equal).u_iso.any()


def test_members_become_one_average_structure(triclinic: Ensemble) -> None:
    shifted = triclinic.coord + np.array([0.3, 0.0, 0.0])
    both = triclinic.replace(
        coord=np.concatenate([triclinic.coord, shifted]), weights=np.array([3.0, 1.0])
    )
    bragg = friedel_half(triclinic.crystal, 2.0)
    f = [
        ModelAtoms.of(triclinic.replace(coord=one)).cell_transform(bragg)
        for one in (triclinic.coord, shifted)
    ]
    found = ModelAtoms.of(both).cell_transform(bragg)
    expected = 0.75 * f[0] + 0.25 * f[1]
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_waters_can_be_left_out(triclinic: Ensemble) -> None:
    atoms = triclinic.atoms.copy()
    atoms.res_name[-5:] = "HOH"
    structure = triclinic.replace(atoms=atoms)
    assert ModelAtoms.of(structure).n_atoms == triclinic.n_atoms
    assert ModelAtoms.of(structure, waters=False).n_atoms == triclinic.n_atoms - 5
    assert ModelAtoms.of(triclinic, waters=False).n_atoms == triclinic.n_atoms


def test_a_structure_without_a_crystal_is_refused(triclinic: Ensemble) -> None:
    bare = Ensemble(triclinic.atoms, triclinic.coord)
    with pytest.raises(InputError, match="no crystal"):
        ModelAtoms.of(bare)


def test_values_outside_their_bounds_are_refused(triclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(triclinic))
    with pytest.raises(InputError, match="outside its bounds"):
        model.theta(sigma=-1.0)
    with pytest.raises(InputError, match="no such parameter"):
        model.theta(gama=3.0)
