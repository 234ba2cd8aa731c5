"""Radii against the published tables, and what is a metal."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.chemistry.radii import are_hydrogens, are_metals, covalent_radii, vdw_radii
from unstill.errors import InputError

# Bondi (1964), table I; Cordero et al. (2008), table 2.
BONDI = {"H": 1.20, "C": 1.70, "N": 1.55, "O": 1.52, "F": 1.47, "P": 1.80, "S": 1.80, "Se": 1.90}
CORDERO = {"H": 0.31, "C": 0.76, "N": 0.71, "O": 0.66, "P": 1.07, "S": 1.05, "Zn": 1.22}


def test_van_der_waals_radii_are_those_of_bondi() -> None:
    assert vdw_radii(np.array(list(BONDI))).tolist() == list(BONDI.values())


def test_covalent_radii_are_those_of_cordero() -> None:
    assert covalent_radii(np.array(list(CORDERO))).tolist() == list(CORDERO.values())


@given(st.lists(st.sampled_from(["C", "n", "ZN", "Zn", "fe", "MG", "D", "cl"]), max_size=12))
def test_radii_do_not_depend_on_case_and_order(symbols: list[str]) -> None:
    elements = np.array(symbols, dtype=str)
    one_by_one = [float(vdw_radii(np.array([s.upper()]))[0]) for s in symbols]
    assert vdw_radii(elements).tolist() == one_by_one


def test_metals_are_those_that_gemmi_calls_so() -> None:
    symbols = [gemmi.Element(number).name for number in range(1, 84)]
    # Between metals and others the line is drawn as one likes; of promethium nothing is known.
    unclear = ("B", "Si", "Ge", "As", "Sb", "Te", "Pm")
    clear = np.array([symbol for symbol in symbols if symbol not in unclear])
    expected = [gemmi.Element(symbol).is_metal for symbol in clear.tolist()]
    assert are_metals(clear).tolist() == expected


def test_deuterium_is_hydrogen() -> None:
    assert vdw_radii(np.array(["D"])) == vdw_radii(np.array(["H"]))
    assert are_hydrogens(np.array(["H", "d", "He", "C"])).tolist() == [True, True, False, False]


def test_an_unknown_element_is_named() -> None:
    with pytest.raises(InputError, match="no radius of an element is known") as caught:
        vdw_radii(np.array(["C", "Xx", ""]))
    assert "'XX'" in str(caught.value)
