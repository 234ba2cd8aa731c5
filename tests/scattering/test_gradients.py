"""The adjoint: transposed exactly, equal to finite differences and to the direct one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_crystals import ENGINES, atoms, cells, crystal, places, points, relative, seeds

from unstill.scattering import Scatterers, make_engine

FIELDS = ("coord", "occupancy", "b_factor")
energies = st.sampled_from([None, 9_700.0])


def _displaced(engine: str) -> str:
    return "isotropic" if engine == "nufft" else "mixed"


def _cotangent(seed: int, n_points: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n_points) + 1j * rng.normal(size=n_points)


def _loss(f: np.ndarray, target: np.ndarray) -> float:
    """A loss of intensities, as fits to data use: not linear in F, not analytic."""
    return float(np.sum((np.abs(f) ** 2 - target) ** 2))


def _loss_cotangent(f: np.ndarray, target: np.ndarray) -> np.ndarray:
    return 4 * (np.abs(f) ** 2 - target) * f


VARIABLES = ("coord", "occupancy", "b_factor", "u_aniso")
CASES = [(e, v) for e in ENGINES for v in VARIABLES if (e, v) != ("nufft", "u_aniso")]


@pytest.mark.parametrize("energy", [None, 9_700.0])
@pytest.mark.parametrize(("engine", "variable"), CASES)
def test_gradients_equal_central_differences(engine, variable, energy):
    scatterers, frac = atoms(3, 6, _displaced(engine)), places(3, 6)
    options = {"engine": engine, "energy": energy, "tolerance": 1e-12}
    index = points(d_min=3.0)
    rng = np.random.default_rng(8)
    made = make_engine(crystal(), index, scatterers, **options)
    f = made.structure_factors(frac)
    target = np.abs(f) ** 2 * rng.uniform(0.5, 1.5, len(index))
    found = getattr(made.adjoint(frac, _loss_cotangent(f, target)), variable)

    def loss(values: np.ndarray) -> float:
        if variable == "coord":
            moved = crystal().fractional(values)
            return _loss(made.structure_factors(moved), target)
        columns = {"occupancy": scatterers.occupancy, "b_factor": scatterers.b_factor}
        columns = {**columns, "u_aniso": scatterers.u_aniso, variable: values}
        other = make_engine(crystal(), index, Scatterers(scatterers.element, **columns), **options)
        return _loss(other.structure_factors(frac), target)

    start = crystal().cartesian(frac) if variable == "coord" else getattr(scatterers, variable)
    expected = _central_differences(loss, start, step=1e-3 if variable == "b_factor" else 1e-5)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def _central_differences(loss, start: np.ndarray, step: float) -> np.ndarray:
    gradient = np.zeros_like(start)
    for place in np.ndindex(start.shape):
        if np.isnan(start[place]):
            continue
        ends = []
        for sign in (-1, 1):
            moved = start.copy()
            moved[place] += sign * step
            ends.append(loss(moved))
        gradient[place] = (ends[1] - ends[0]) / (2 * step)
    return gradient


@given(cells, seeds, energies)
@pytest.mark.parametrize("tolerance", [1e-4, 1e-9])
@pytest.mark.parametrize("engine", ["nufft", "density"])
def test_gradients_equal_those_of_the_direct_sum(engine, tolerance, cell, seed, energy):
    scatterers, frac = atoms(seed, displaced=_displaced(engine)), places(seed)
    index = points(cell)
    fast, slow = (
        make_engine(
            crystal(cell), index, scatterers, engine=name, tolerance=tolerance, energy=energy
        ).adjoint(frac, _cotangent(seed, len(index)))
        for name in (engine, "direct")
    )
    for field in FIELDS if engine == "nufft" else (*FIELDS, "u_aniso"):
        assert relative(getattr(fast, field), getattr(slow, field)) <= 5 * tolerance


@given(cells, seeds, energies)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_adjoint_is_the_transpose(engine, cell, seed, energy):
    """F is linear in the occupancies: ⟨g, F⟩ = ⟨∂L/∂occupancy, occupancy⟩ for any g."""
    scatterers, frac = atoms(seed, displaced=_displaced(engine)), places(seed)
    index = points(cell)
    made = make_engine(
        crystal(cell), index, scatterers, engine=engine, energy=energy, tolerance=1e-9
    )
    g = _cotangent(seed, len(index))
    f = made.structure_factors(frac)
    forward = np.vdot(g, f).real
    backward = made.adjoint(frac, g).occupancy @ scatterers.occupancy
    assert abs(forward - backward) <= 1e-8 * np.linalg.norm(g) * np.linalg.norm(f)


@given(cells, seeds)
@pytest.mark.parametrize("engine", ENGINES)
def test_forces_on_all_atoms_sum_to_the_derivative_of_a_common_shift(engine, cell, seed):
    scatterers, frac = atoms(seed, displaced=_displaced(engine)), places(seed)
    index = points(cell)
    made = make_engine(crystal(cell), index, scatterers, engine=engine, tolerance=1e-8)
    g, f = _cotangent(seed, len(index)), made.structure_factors(frac)
    # F(H) of a crystal moved by t is F exp(2πi s·t).
    by_shift = np.real(np.conj(g) * f * 2j * np.pi) @ crystal(cell).s(index)
    summed = made.adjoint(frac, g).coord.sum(axis=0)
    np.testing.assert_allclose(summed, by_shift, atol=1e-6 * np.abs(by_shift).max())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_that_a_shift_cannot_change_gives_no_net_force(engine):
    made = make_engine(crystal(), points(), atoms(), engine=engine, tolerance=1e-9)
    f = made.structure_factors(places())
    gradients = made.adjoint(places(), _loss_cotangent(f, np.ones(len(f))))
    net = np.abs(gradients.coord.sum(axis=0)).max()
    assert net <= 1e-6 * np.abs(gradients.coord).sum()


def test_points_far_from_the_origin_have_gradients_too():
    rng = np.random.default_rng(5)
    index = np.array([9, -12, 7]) + rng.integers(-2, 3, (80, 3))
    g = _cotangent(1, len(index))
    fast, slow = (
        make_engine(crystal(), index, atoms(), engine=name, tolerance=1e-9).adjoint(places(), g)
        for name in ("nufft", "direct")
    )
    for field in FIELDS:
        assert relative(getattr(fast, field), getattr(slow, field)) < 1e-8


@pytest.mark.parametrize("engine", ENGINES)
def test_an_absent_atom_feels_its_occupancy_and_no_force(engine):
    given_atoms = atoms(displaced="isotropic")
    occupancy = given_atoms.occupancy.copy()
    occupancy[5] = 0
    absent = Scatterers(given_atoms.element, occupancy, given_atoms.b_factor)
    made = make_engine(crystal(), points(), absent, engine=engine)
    gradients = made.adjoint(places(), _cotangent(2, made.n_points))
    assert np.abs(gradients.coord[5]).max() == 0
    assert gradients.b_factor[5] == 0
    assert gradients.occupancy[5] != 0


@pytest.mark.parametrize("engine", ["density", "direct"])
def test_a_tensor_takes_the_place_of_b(engine):
    mixed = atoms(displaced="mixed")
    made = make_engine(crystal(), points(), mixed, engine=engine)
    gradients = made.adjoint(places(), _cotangent(2, made.n_points))
    assert not gradients.b_factor[mixed.anisotropic].any()
    assert gradients.b_factor[~mixed.anisotropic].all()
    assert gradients.u_aniso is not None
    assert not gradients.u_aniso[~mixed.anisotropic].any()
    assert gradients.u_aniso[mixed.anisotropic].all()


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_has_no_gradient(engine):
    nothing = Scatterers(np.array([], dtype="U2"))
    made = make_engine(crystal(), points(), nothing, engine=engine)
    gradients = made.adjoint(np.zeros((0, 3)), np.ones(made.n_points, dtype=complex))
    assert gradients.coord.shape == (0, 3)
    unseen = make_engine(crystal(), np.zeros((0, 3), dtype=int), atoms(), engine=engine)
    gradients = unseen.adjoint(places(), np.zeros(0, dtype=complex))
    assert not gradients.coord.any()
    assert gradients.occupancy.shape == (60,)
