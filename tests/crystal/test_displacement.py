"""Displacement tensors against gemmi and by identities."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal import displacement as dp
from unstill.errors import InputError
from unstill.units import EIGHT_PI_SQUARED

TRICLINIC = Crystal((20.0, 30.0, 40.0, 70.0, 80.0, 100.0), "P -1")


def random_u(n: int, seed: int = 0) -> np.ndarray:
    """Positive-definite tensors, as covariances are."""
    root = np.random.default_rng(seed).normal(size=(n, 3, 3)) * 0.4
    return dp.six_from_tensor(root @ np.swapaxes(root, 1, 2))


def test_cif_and_cartesian_frames_agree_with_gemmi() -> None:
    for u_cif in random_u(5):
        site = gemmi.SmallStructure.Site()
        site.aniso = gemmi.SMat33d(*u_cif)
        small = gemmi.SmallStructure()
        small.cell = TRICLINIC.cell
        n = TRICLINIC.cell.reciprocal()
        frame = np.array(TRICLINIC.cell.orth.mat.tolist()) @ np.diag([n.a, n.b, n.c])
        expected = site.aniso.transformed_by(gemmi.Mat33(frame)).elements_pdb()
        assert np.allclose(dp.u_cart_from_u_cif(TRICLINIC, u_cif), expected)


def test_frames_round_trip_and_agree_in_a_right_angled_cell() -> None:
    u_cart = random_u(7)
    back = dp.u_cart_from_u_cif(TRICLINIC, dp.u_cif_from_u_cart(TRICLINIC, u_cart))
    assert np.allclose(back, u_cart)
    right = Crystal((20.0, 30.0, 40.0, 90.0, 90.0, 90.0))
    assert np.allclose(dp.u_cif_from_u_cart(right, u_cart), u_cart)


def test_debye_waller_is_the_same_in_cartesian_and_fractional_form() -> None:
    u_cart = random_u(1)[0]
    hkl = np.random.default_rng(5).integers(-5, 6, (30, 3)).astype(float)
    u_frac = dp.u_frac_from_u_cart(TRICLINIC, u_cart)
    expected = np.exp(-2 * np.pi**2 * np.einsum("ni,ij,nj->n", hkl, u_frac, hkl))
    assert np.allclose(dp.debye_waller(TRICLINIC.s(hkl), u_cart), expected)


def test_debye_waller_is_the_mean_phase_of_gaussian_displacements() -> None:
    u = random_u(1, seed=3)[0]
    rng = np.random.default_rng(4)
    moves = rng.multivariate_normal(np.zeros(3), dp.tensor_from_six(u), size=200_000)
    s = np.array([0.1, -0.2, 0.15])
    mean = np.exp(2j * np.pi * moves @ s).mean()
    assert abs(mean - dp.debye_waller(s, u)) < 5 / np.sqrt(200_000)


def test_isotropic_equivalent_is_kept_by_rotations_and_is_a_b_factor() -> None:
    crystal = Crystal((50.0, 50.0, 70.0, 90.0, 90.0, 120.0), "P 61")
    u_cart = random_u(4)
    for rotation in (np.array(op.rot) / gemmi.Op.DEN for op in crystal.group.operations()):
        moved = dp.rotated(u_cart, dp.cartesian_rotation(crystal, rotation))
        assert np.allclose(dp.u_iso_from_u_aniso(moved), dp.u_iso_from_u_aniso(u_cart))
    u_iso = np.array([0.1, 0.3])
    assert np.allclose(dp.u_iso_from_u_aniso(dp.u_aniso_from_u_iso(u_iso)), u_iso)
    s = np.array([0.0, 0.3, 0.0])
    b_factor = EIGHT_PI_SQUARED * 0.3
    factor = dp.debye_waller(s, dp.u_aniso_from_u_iso(u_iso)[1])
    assert np.isclose(factor, np.exp(-b_factor * 0.09 / 4))


def test_an_operation_that_does_not_fit_the_cell_is_refused() -> None:
    swap = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    with pytest.raises(InputError, match="does not fit the unit cell"):
        dp.cartesian_rotation(TRICLINIC, swap)


def test_negative_mean_squares_are_told() -> None:
    u = np.array([[0.1, 0.1, 0.1, 0, 0, 0], [0.1, 0.1, 0.1, 0.2, 0, 0], [np.nan] * 6])
    assert dp.is_physical(u).tolist() == [True, False, False]
