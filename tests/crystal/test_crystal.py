"""Cells and coordinates against gemmi and by round trips."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.errors import InputError

CELLS = [
    (48.5, 48.5, 63.4, 90.0, 90.0, 90.0),
    (50.0, 50.0, 80.0, 90.0, 90.0, 120.0),
    (30.0, 40.0, 50.0, 90.0, 104.0, 90.0),
    (27.0, 32.0, 34.0, 88.5, 108.5, 111.9),
]
# Multiples of 1e-6: the squares of denormal numbers keep too few digits to be compared.
FRACTIONAL_HKL = st.tuples(*[st.integers(-20_000_000, 20_000_000)] * 3).map(
    lambda n: np.array(n) / 1e6
)


@pytest.mark.parametrize("unit_cell", CELLS)
@given(hkl=FRACTIONAL_HKL)
def test_q_d_and_s_say_the_same_and_lead_back_to_hkl(
    unit_cell: tuple[float, ...], hkl: np.ndarray
) -> None:
    crystal = Crystal(unit_cell)  # type: ignore[arg-type]
    q = crystal.q(hkl)
    np.testing.assert_allclose(crystal.hkl_from_q(q), hkl, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(q) ** 2, 4 * np.pi**2 * crystal.s_squared(hkl))
    if np.abs(hkl).max() > 0.01:
        np.testing.assert_allclose(np.linalg.norm(q), 2 * np.pi / crystal.d(hkl))


@pytest.mark.parametrize("unit_cell", CELLS)
def test_d_is_that_of_gemmi(unit_cell: tuple[float, ...]) -> None:
    crystal = Crystal(unit_cell)  # type: ignore[arg-type]
    hkl = np.random.default_rng(0).integers(-9, 10, (50, 3))
    hkl = hkl[np.any(hkl != 0, axis=1)]
    expected = gemmi.UnitCell(*unit_cell).calculate_d_array(hkl.astype(np.int32))
    np.testing.assert_allclose(crystal.d(hkl), expected, rtol=1e-6)
    assert crystal.d(np.zeros(3)) == np.inf


@pytest.mark.parametrize("unit_cell", CELLS)
def test_phases_do_not_depend_on_the_axes_they_are_computed_in(
    unit_cell: tuple[float, ...],
) -> None:
    crystal = Crystal(unit_cell)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    frac, hkl = rng.uniform(-2, 2, (20, 3)), rng.uniform(-8, 8, (20, 3))
    coord = crystal.cartesian(frac)
    np.testing.assert_allclose(crystal.fractional(coord), frac, atol=1e-12)
    in_cartesian = np.sum(crystal.q(hkl) * coord, axis=1)
    np.testing.assert_allclose(in_cartesian, 2 * np.pi * np.sum(hkl * frac, axis=1), atol=1e-9)


@pytest.mark.parametrize(
    ("unit_cell", "says"),
    [
        ((10.0, 10.0, 0.0, 90.0, 90.0, 90.0), "impossible"),
        ((10.0, 10.0, float("nan"), 90.0, 90.0, 90.0), "impossible"),
        ((10.0, 10.0, 10.0, 60.0, 60.0, 120.0), "no volume"),
        ((10.0, 10.0, 10.0, 90.0, 90.0, 180.0), "no volume"),
    ],
)
def test_impossible_cells_are_refused(unit_cell: tuple[float, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Crystal(unit_cell)  # type: ignore[arg-type]


def test_a_space_group_has_one_name() -> None:
    cell = CELLS[0]
    assert Crystal(cell, "76") == Crystal(cell, "P 41") == Crystal(cell, "P41")
    with pytest.raises(InputError, match="unknown space group"):
        Crystal(cell, "P 47")
