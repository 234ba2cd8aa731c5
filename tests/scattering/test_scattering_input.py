"""Input that cannot be right is refused, with the culprit named."""

from __future__ import annotations

import numpy as np
import pytest
from small_crystals import ENGINES, atoms, crystal, places, points, tensors

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.scattering import Scatterers, make_engine


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_coordinate_that_is_not_finite_is_refused(engine, bad):
    made = make_engine(crystal(), points(), atoms(), engine=engine)
    frac = places()
    frac[7, 1] = bad
    with pytest.raises(InputError, match=r"not finite.*position \[7\]"):
        made.structure_factors(frac)
    with pytest.raises(InputError, match="not finite"):
        made.adjoint(frac, np.ones(made.n_points, dtype=complex))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_wrong_number_of_coordinates_is_refused(engine):
    made = make_engine(crystal(), points(), atoms(), engine=engine)
    with pytest.raises(InputError, match="60 atoms"):
        made.structure_factors(places()[:-1])
    with pytest.raises(InputError, match="cotangent"):
        made.adjoint(places(), np.ones(3, dtype=complex))


def test_an_unknown_element_is_named_before_anything_is_computed():
    with pytest.raises(InputError, match="'XQ'"):
        make_engine(crystal(), points(), Scatterers(["C", "Xq"]))


def test_a_crystal_with_symmetry_is_refused():
    with pytest.raises(InputError, match="P 1"):
        make_engine(
            Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0), "P 21 21 21"), points("cubic"), atoms()
        )


def test_fractional_miller_indices_are_refused():
    with pytest.raises(InputError, match="integers"):
        make_engine(crystal(), points() / 2, atoms())


def test_the_nufft_engine_refuses_tensors_rather_than_dropping_them():
    scatterers = Scatterers(["C"] * 60, None, None, tensors(np.random.default_rng(0), 60))
    with pytest.raises(InputError, match="40 atoms"):
        make_engine(crystal(), points(), scatterers, engine="nufft")


@pytest.mark.parametrize(
    "options", [{"tolerance": 0.0}, {"tolerance": np.nan}, {"engine": "fast"}, {"device": "tpu"}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError):
        make_engine(crystal(), points(), atoms(), **options)


def test_the_gpu_serves_the_nufft_engine_only():
    with pytest.raises(InputError, match="processor only"):
        make_engine(crystal(), points(), atoms(), engine="density", device="gpu")


@pytest.mark.parametrize(
    "columns",
    [
        {"occupancy": np.ones(3)},
        {"b_factor": np.array([1.0, np.nan])},
        {"occupancy": np.array([np.inf, 1.0])},
        {"u_aniso": np.ones((2, 3))},
        {"u_aniso": np.array([[1, 1, 1, 0, 0, np.nan], [1, 1, 1, 0, 0, 0]])},
    ],
)
def test_columns_that_do_not_fit_are_refused(columns):
    with pytest.raises(InputError, match=next(iter(columns))):
        Scatterers(["C", "N"], **columns)
