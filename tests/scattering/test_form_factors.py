"""Tables against gemmi's own evaluation, physics of the forward direction, and refusals."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import InputError
from unstill.scattering.form_factors import dispersion, form_factors, parse_symbol

SYMBOLS = [gemmi.Element(z).name for z in range(1, 99)]


@given(st.sampled_from(SYMBOLS), st.floats(0, 4))
def test_xray_and_electron_factors_equal_gemmi(symbol: str, s_squared: float) -> None:
    element = gemmi.Element(symbol)
    point = np.array([s_squared])
    for table, fit in (("xray", element.it92), ("electron", element.c4322)):
        ours = form_factors([symbol], point, table=table)[0, 0]
        assert ours == pytest.approx(fit.calculate_sf(s_squared / 4), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("symbol", SYMBOLS[:92])
def test_forward_scattering_of_x_rays_counts_electrons(symbol: str) -> None:
    forward = form_factors([symbol], np.zeros(1))[0, 0]
    assert forward == pytest.approx(gemmi.Element(symbol).atomic_number, rel=2e-3)


@pytest.mark.parametrize(
    ("symbol", "electrons"), [("Fe3+", 23), ("ZN2+", 28), ("Cl1-", 18), ("O-1", 9), ("Na+", 10)]
)
def test_an_ion_has_lost_or_gained_its_electrons(symbol: str, electrons: int) -> None:
    assert form_factors([symbol], np.zeros(1))[0, 0] == pytest.approx(electrons, abs=0.02)


def test_asking_for_an_ion_leaves_gemmi_as_it_was() -> None:
    before = gemmi.IT92_get_ignore_charge()
    form_factors(["Fe3+"], np.zeros(1))
    assert gemmi.IT92_get_ignore_charge() == before


@pytest.mark.parametrize("symbol", ["C", "N", "O", "S", "FE"])
def test_electrons_see_nucleus_less_electrons(symbol: str) -> None:
    # Mott-Bethe: f_e = 0.023934 (Z - f_x) / (s/2)^2, Å; two independent tables must agree.
    s_squared = np.linspace(0.3, 1.5, 20)
    z = gemmi.Element(symbol).atomic_number
    mott_bethe = 0.023934 * (z - form_factors([symbol], s_squared)[0]) / (s_squared / 4)
    electron = form_factors([symbol], s_squared, table="electron")[0]
    np.testing.assert_allclose(electron, mott_bethe, rtol=0.05)


def test_deuterium_is_hydrogen_to_x_rays_and_not_to_neutrons() -> None:
    s_squared = np.linspace(0, 1, 5)
    hydrogen, deuterium = form_factors(["H", "D"], s_squared)
    np.testing.assert_array_equal(hydrogen, deuterium)
    lengths = form_factors(["H", "D"], s_squared, table="neutron")
    np.testing.assert_allclose(lengths[:, 0], [-3.739, 6.671], atol=1e-3)
    assert np.ptp(lengths, axis=1).max() == 0


def test_dispersion_adds_the_same_complex_number_everywhere() -> None:
    s_squared = np.linspace(0, 1, 7)
    with_energy = form_factors(["SE", "C"], s_squared, energy=12_700.0)
    shift = with_energy - form_factors(["SE", "C"], s_squared)
    np.testing.assert_allclose(
        shift, np.repeat(dispersion(["SE", "C"], energy=12_700.0)[:, None], 7, 1)
    )
    # Above its K edge (12,658 eV) selenium absorbs about four electrons' worth.
    assert 3 < shift[0, 0].imag < 5
    assert shift[1, 0].imag < 0.01


@pytest.mark.parametrize("symbol", ["XX", "", "Q", "CQ", "X", "12", "carbon"])
@pytest.mark.parametrize("table", ["xray", "electron", "neutron"])
def test_an_unknown_element_is_named(symbol: str, table: str) -> None:
    with pytest.raises(InputError, match=repr(symbol)):
        form_factors(["C", symbol], np.zeros(2), table=table)


@pytest.mark.parametrize(
    ("symbol", "table"), [("N1+", "xray"), ("Es", "xray"), ("Fe3+", "electron"), ("Po", "neutron")]
)
def test_an_element_outside_its_table_is_refused(symbol: str, table: str) -> None:
    with pytest.raises(InputError, match=symbol.replace("+", r"\+")):
        form_factors([symbol], np.zeros(1), table=table)


def test_symbols_may_be_of_any_case() -> None:
    assert [parse_symbol(name)[0].name for name in ("ca", "CA", "Ca")] == ["Ca"] * 3


@pytest.mark.parametrize(
    ("table", "energy"),
    [("neutron", 12_000.0), ("electron", 12_000.0), ("xray", -1.0), ("gamma", None)],
)
def test_impossible_radiation_is_refused(table: str, energy: float | None) -> None:
    with pytest.raises(InputError):
        form_factors(["C"], np.zeros(1), table=table, energy=energy)
