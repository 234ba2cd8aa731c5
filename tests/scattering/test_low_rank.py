"""The short list of curves reproduces every atom's form factor to the tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import InputError
from unstill.scattering.form_factors import form_factors
from unstill.scattering.low_rank import low_rank

ELEMENTS = ["H", "C", "N", "O", "S", "P", "MG", "ZN", "SE", "D"]


def _error(element, b_factor, s_squared, factors, **options) -> float:
    """Largest over s of rms error over the atoms, relative to rms form factor."""
    exact = form_factors(element, s_squared, **options) * np.exp(
        -b_factor[:, None] / 4 * s_squared
    )
    ours = factors.coefficient.T @ factors.profile
    square = np.mean(np.abs(ours - exact) ** 2, axis=0) / np.mean(np.abs(exact) ** 2, axis=0)
    return float(np.sqrt(square.max()))


@given(
    kinds=st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=8, unique=True),
    d_min=st.floats(0.9, 4.0),
    b_range=st.sampled_from([(0.0, 0.0), (12.0, 12.0), (2.0, 40.0), (0.0, 150.0)]),
    tolerance=st.sampled_from([1e-2, 1e-3, 1e-4, 1e-6, 1e-9]),
    energy=st.sampled_from([None, 12_700.0]),
    seed=st.integers(0, 99),
)
def test_rank_meets_the_tolerance_at_every_s(
    kinds, d_min, b_range, tolerance, energy, seed
) -> None:
    rng = np.random.default_rng(seed)
    element = rng.choice(kinds, 300)
    b_factor = rng.uniform(*b_range, 300)
    s_squared = rng.random(500) / d_min**2
    factors = low_rank(element, b_factor, s_squared, tolerance=tolerance, energy=energy)
    assert _error(element, b_factor, s_squared, factors, energy=energy) <= 1.5 * tolerance


def test_four_curves_serve_a_protein_at_two_angstroms() -> None:
    element = np.repeat(["H", "C", "N", "O", "S"], [500, 310, 80, 100, 10])
    s_squared = np.linspace(0, 0.25, 400)
    factors = low_rank(element, np.zeros(1000), s_squared, tolerance=1e-4)
    assert factors.n_channels == 4
    assert factors.profile.dtype == float


def test_as_many_curves_as_elements_are_exact() -> None:
    element = np.array(["H", "C", "N", "O", "S"])
    s_squared = np.linspace(0, 1, 100)
    factors = low_rank(element, np.zeros(5), s_squared, tolerance=1e-12)
    assert factors.n_channels == 5
    np.testing.assert_allclose(
        factors.coefficient.T @ factors.profile, form_factors(element, s_squared), atol=1e-12
    )


def test_a_lone_metal_keeps_its_own_shape() -> None:
    element = np.array(["C", "N", "O", "H"] * 2500 + ["ZN"])
    s_squared = np.linspace(0, 0.25, 200)
    factors = low_rank(element, np.zeros(len(element)), s_squared, tolerance=1e-4)
    ours = factors.coefficient[:, -1] @ factors.profile
    np.testing.assert_allclose(ours, form_factors(["ZN"], s_squared)[0], rtol=1e-3)


def test_dispersion_adds_one_imaginary_curve() -> None:
    element = np.array(["C", "N", "O", "S", "SE"])
    s_squared = np.linspace(0, 0.25, 50)
    without = low_rank(element, np.zeros(5), s_squared, tolerance=1e-9)
    with_energy = low_rank(element, np.zeros(5), s_squared, tolerance=1e-9, energy=12_700.0)
    # f'' of different elements differ by a factor only; the second curve fills the pair.
    assert without.n_channels == 5
    assert with_energy.n_channels == 7
    assert np.abs(with_energy.profile[5:].real).max() == 0


def test_continuous_b_needs_few_curves_though_every_atom_differs() -> None:
    rng = np.random.default_rng(3)
    b_factor = rng.gamma(4, 6, 5000)
    element = rng.choice(["H", "C", "N", "O", "S"], 5000)
    s_squared = np.linspace(0, 0.25, 300)
    factors = low_rank(element, b_factor, s_squared, tolerance=1e-4)
    assert factors.n_channels <= 8
    assert _error(element, b_factor, s_squared, factors) <= 1e-4


def test_no_atoms_and_no_points_give_no_curves() -> None:
    assert low_rank([], np.zeros(0), np.ones(4)).profile.shape == (0, 4)
    assert low_rank(["C"], np.zeros(1), np.zeros(0)).coefficient.shape == (0, 1)


def test_absurd_b_factors_are_refused() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(InputError, match="B factors spread"):
        low_rank(["C"] * 1000, rng.uniform(0, 1e7, 1000), np.linspace(0, 1, 50), tolerance=1e-9)
