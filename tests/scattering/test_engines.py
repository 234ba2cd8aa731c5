"""Structure factors: engines against the direct sum, and against what F must obey."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_crystals import (
    ENGINES,
    atoms,
    cells,
    crystal,
    places,
    points,
    relative,
    seeds,
    tensors,
)

from unstill.crystal import Crystal
from unstill.scattering import Scatterers, form_factors, make_engine

energies = st.sampled_from([None, 9_700.0])
tables = st.sampled_from(["xray", "electron", "neutron"])


def _f(engine: str, scatterers, frac, index=None, cell="triclinic", **options) -> np.ndarray:
    index = points(cell) if index is None else index
    made = make_engine(crystal(cell), index, scatterers, engine=engine, **options)
    return made.structure_factors(frac)


@given(cells, seeds, st.sampled_from(["rest", "isotropic"]), tables)
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-9])
def test_nufft_meets_its_tolerance_in_any_cell(tolerance, cell, seed, displaced, table):
    scatterers, frac = atoms(seed, displaced=displaced), places(seed)
    exact = _f("direct", scatterers, frac, cell=cell, table=table)
    found = _f("nufft", scatterers, frac, cell=cell, table=table, tolerance=tolerance)
    assert relative(found, exact) <= tolerance


@given(cells, seeds, st.sampled_from(["rest", "isotropic", "mixed"]), energies)
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-9])
def test_density_meets_its_tolerance_in_any_cell(tolerance, cell, seed, displaced, energy):
    scatterers, frac = atoms(seed, displaced=displaced), places(seed)
    exact = _f("direct", scatterers, frac, cell=cell, energy=energy)
    found = _f("density", scatterers, frac, cell=cell, energy=energy, tolerance=tolerance)
    assert relative(found, exact) <= tolerance


@given(cells, seeds)
def test_anomalous_scattering_breaks_friedels_law_and_every_point_is_right(cell, seed):
    scatterers, frac = atoms(seed), places(seed)
    index = points(cell)
    both = np.concatenate([index, -index])
    exact = _f("direct", scatterers, frac, both, cell, energy=9_700.0)
    found = _f("nufft", scatterers, frac, both, cell, energy=9_700.0)
    assert relative(found, exact) <= 1e-4
    plus, minus = np.split(found, 2)
    # 9.7 keV is just above the K edge of zinc: f'' is about 4 electrons.
    assert relative(np.abs(minus), np.abs(plus)) > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_without_dispersion_opposite_points_are_conjugate(engine):
    index = points()
    both = np.concatenate([index, -index])
    plus, minus = np.split(_f(engine, atoms(), places(), both), 2)
    assert relative(minus, plus.conj()) < 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_forward_scattering_is_the_sum_of_form_factors(engine):
    scatterers = atoms(displaced="mixed" if engine != "nufft" else "isotropic")
    f_000 = _f(engine, scatterers, places(), np.array([[0, 0, 0], [1, 2, 3]]))[0]
    expected = scatterers.occupancy @ form_factors(scatterers.element, np.zeros(1))[:, 0]
    assert f_000 == pytest.approx(expected, rel=1e-4)


@given(seeds, st.lists(st.floats(-3, 3), min_size=3, max_size=3))
@pytest.mark.parametrize("engine", ENGINES)
def test_a_shift_of_all_atoms_turns_the_phase_only(engine, seed, shift):
    scatterers, frac = atoms(seed), places(seed)
    turned = _f(engine, scatterers, frac) * np.exp(2j * np.pi * points() @ np.array(shift))
    assert relative(_f(engine, scatterers, frac + shift), turned) <= 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_lattice_translations_of_single_atoms_change_nothing(engine):
    rng = np.random.default_rng(4)
    frac = places()
    moved = frac + rng.integers(-2, 3, frac.shape)
    assert relative(_f(engine, atoms(), moved), _f(engine, atoms(), frac)) < 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_structure_factors_of_two_groups_add(engine):
    scatterers, frac = atoms(), places()
    parts = [
        _f(
            engine,
            Scatterers(
                scatterers.element[chosen],
                scatterers.occupancy[chosen],
                scatterers.b_factor[chosen],
            ),
            frac[chosen],
        )
        for chosen in (slice(0, 17), slice(17, None))
    ]
    assert relative(parts[0] + parts[1], _f(engine, scatterers, frac)) <= 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_one_b_factor_for_all_is_a_common_damping(engine):
    at_rest, frac = atoms(displaced="rest"), places()
    damped = Scatterers(at_rest.element, at_rest.occupancy, np.full(60, 25.0))
    damping = np.exp(-25.0 / 4 * crystal().s_squared(points()))
    assert relative(_f(engine, damped, frac), damping * _f(engine, at_rest, frac)) <= 1e-4


@pytest.mark.parametrize("engine", ["density", "direct"])
def test_a_round_tensor_equals_its_b_factor(engine):
    isotropic = atoms()
    u_aniso = np.zeros((60, 6))
    u_aniso[:, :3] = isotropic.b_factor[:, None] / (8 * np.pi**2)
    tensor = Scatterers(isotropic.element, isotropic.occupancy, None, u_aniso)
    assert relative(_f(engine, tensor, places()), _f(engine, isotropic, places())) < 1e-12


@given(cells, seeds)
def test_points_far_from_the_origin_have_a_box_of_their_own(cell, seed):
    rng = np.random.default_rng(seed)
    index = np.array([9, -12, 7]) + rng.integers(-2, 3, (40, 3))
    scatterers, frac = atoms(seed), places(seed)
    engine = make_engine(crystal(cell), index, scatterers)
    assert not engine.modes.paired
    exact = _f("direct", scatterers, frac, index, cell)
    assert relative(engine.structure_factors(frac), exact) <= 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_points_may_come_in_any_order_and_repeatedly(engine):
    index = points()
    chosen = np.random.default_rng(2).integers(0, len(index), 2 * len(index))
    listed = _f(engine, atoms(), places(), index[chosen])
    assert relative(listed, _f(engine, atoms(), places())[chosen]) <= 2e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_no_atoms_scatter_nothing_and_no_points_see_nothing(engine):
    nothing = Scatterers(np.array([], dtype="U2"))
    assert not _f(engine, nothing, np.zeros((0, 3))).any()
    assert _f(engine, atoms(), places(), np.zeros((0, 3), dtype=int)).shape == (0,)


def test_atoms_with_tensors_choose_the_density_engine():
    rng = np.random.default_rng(1)
    anisotropic = Scatterers(["C"] * 60, None, None, tensors(rng, 60))
    assert make_engine(crystal(), points(), anisotropic).name == "density"
    assert make_engine(crystal(), points(), atoms()).name == "nufft"
    all_nan = Scatterers(["C"] * 60, None, None, np.full((60, 6), np.nan))
    assert make_engine(crystal(), points(), all_nan).name == "nufft"


def test_precision_follows_the_tolerance():
    for tolerance, expected in ((1e-4, np.complex64), (1e-6, np.complex128)):
        assert _f("nufft", atoms(), places(), tolerance=tolerance).dtype == expected
    # Index 5000 would turn by a visible angle if x were rounded to single precision.
    long = Crystal((20_000.0, 15.0, 15.0, 90.0, 90.0, 90.0))
    far = np.array([[5000, 0, 0], [4999, 1, 1]])
    exact, found = (
        make_engine(long, far, atoms(), engine=engine).structure_factors(places())
        for engine in ("direct", "nufft")
    )
    assert relative(found, exact) < 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pickled_engine_gives_the_same_bits(engine):
    made = make_engine(crystal(), points(), atoms(), engine=engine)
    first = made.structure_factors(places())
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.structure_factors(places()), first)
    np.testing.assert_array_equal(made.structure_factors(places()), first)


@pytest.mark.parametrize("n_threads", ["1", "8"])
def test_another_process_gives_the_same_bits_whatever_its_threads(tmp_path, n_threads):
    program = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from small_crystals import atoms, crystal, places, points
from unstill.scattering import make_engine
engine = make_engine(crystal(), points(), atoms())
np.save(sys.argv[2], engine.structure_factors(places()))
"""
    saved = tmp_path / "f.npy"
    here = str(Path(__file__).parent)
    threads = {"OPENBLAS_NUM_THREADS": n_threads, "OMP_NUM_THREADS": n_threads}
    command = [sys.executable, "-c", program, here, str(saved)]
    subprocess.run(command, check=True, env={**os.environ, **threads})
    engine = make_engine(crystal(), points(), atoms())
    np.testing.assert_array_equal(np.load(saved), engine.structure_factors(places()))
