from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.scattering import Scatterers, make_engine
from unstill.scattering.grid_scattering import GridScattering
from unstill.scattering.synthesis import Synthesis, grid_shape

GROUPS = {
    "P 1": (11.0, 12.0, 13.0, 80.0, 95.0, 103.0),
    "P 1 21 1": (11.0, 12.0, 13.0, 90.0, 101.0, 90.0),
    "C 1 2 1": (14.0, 12.0, 13.0, 90.0, 98.0, 90.0),
    "P 31 2 1": (13.0, 13.0, 15.0, 90.0, 90.0, 120.0),
    "P 41 21 2": (13.0, 13.0, 17.0, 90.0, 90.0, 90.0),
    "R 3": (16.0, 16.0, 14.0, 90.0, 90.0, 120.0),
    "I 21 3": (18.0, 18.0, 18.0, 90.0, 90.0, 90.0),
}
group = st.sampled_from(sorted(GROUPS))


def crystal_of(name: str) -> Crystal:
    return Crystal(GROUPS[name], name)


def atoms(crystal: Crystal, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    element = rng.choice(["C", "N", "O", "S"], n)
    return element, crystal.cartesian(rng.random((n, 3))), rng.uniform(8, 40, n)


def cell_factors(crystal: Crystal, synthesis: Synthesis, seed: int = 0) -> np.ndarray:
    element, coord, b = atoms(crystal, 6, seed)
    engine = make_engine(
        synthesis.crystal_p1, synthesis.index, Scatterers(element, b_factor=b), engine="direct"
    )
    return synthesis.of_cell(engine.structure_factors(crystal.fractional(coord)))


@settings(max_examples=10, deadline=None)
@given(name=group, seed=st.integers(0, 1000))
def test_density_is_that_of_gemmi(name: str, seed: int) -> None:
    crystal = crystal_of(name)
    synthesis = Synthesis(crystal, 2.5)
    element, coord, b = atoms(crystal, 6, seed)
    model = gemmi.Structure()
    model.cell, model.spacegroup_hm = crystal.cell, crystal.group.xhm()
    residue = gemmi.Residue()
    residue.seqid = gemmi.SeqId("1")
    for symbol, place, b_iso in zip(element, coord, b, strict=True):
        atom = gemmi.Atom()
        atom.element, atom.pos, atom.b_iso = gemmi.Element(symbol), gemmi.Position(*place), b_iso
        residue.add_atom(atom)
    chain = gemmi.Chain("A")
    chain.add_residue(residue)
    model.add_model(gemmi.Model(1))
    model[0].add_chain(chain)
    model.setup_cell_images()
    calculator = gemmi.StructureFactorCalculatorX(model.cell)
    some = np.random.default_rng(seed).choice(synthesis.n_points, 40)
    theirs = np.array(
        [calculator.calculate_sf_from_model(model[0], h) for h in synthesis.index[some].tolist()]
    )
    ours = cell_factors(crystal, synthesis, seed)
    np.testing.assert_allclose(ours[some], theirs, atol=2e-4 * np.abs(ours).max())


@settings(max_examples=10, deadline=None)
@given(name=group)
def test_density_is_symmetric_and_holds_all_electrons(name: str) -> None:
    crystal = crystal_of(name)
    synthesis = Synthesis(crystal, 2.5)
    f = cell_factors(crystal, synthesis)
    density = synthesis.density(f)
    assert density.mean() * crystal.volume == pytest.approx(f[synthesis.origin].real, rel=1e-12)
    # Summed term by term, at grid points and at their mates.
    for frac in np.random.default_rng(1).integers(0, synthesis.shape, (5, 3)):
        x = frac / np.array(synthesis.shape)
        mates = [gemmi.Op(op.triplet()).apply_to_xyz(x) for op in crystal.group.operations()]
        places = np.rint(np.array(mates) * synthesis.shape).astype(int) % synthesis.shape
        phases = np.exp(-2j * np.pi * synthesis.index @ x)
        counted_twice = np.where(np.arange(synthesis.n_points) == synthesis.origin, 1, 2)
        by_hand = (f * phases * counted_twice).real.sum() / crystal.volume
        np.testing.assert_allclose(density[tuple(places.T)], by_hand, atol=1e-9)
    np.testing.assert_allclose(synthesis.structure_factors(density), f, atol=1e-8)


@settings(max_examples=15, deadline=None)
@given(name=group, seed=st.integers(0, 1000))
def test_adjoints_are_transposes(name: str, seed: int) -> None:
    synthesis = Synthesis(crystal_of(name), 3.0)
    rng = np.random.default_rng(seed)
    f = rng.normal(size=synthesis.n_points) + 1j * rng.normal(size=synthesis.n_points)
    f[synthesis.origin] = f[synthesis.origin].real
    g = rng.normal(size=synthesis.shape)
    back = synthesis.density_adjoint(g)
    assert np.vdot(back, f).real == pytest.approx((synthesis.density(f) * g).sum(), rel=1e-9)
    c = rng.normal(size=synthesis.n_points) + 1j * rng.normal(size=synthesis.n_points)
    left = np.vdot(c, synthesis.of_cell(f)).real
    assert np.vdot(synthesis.of_cell_adjoint(c), f).real == pytest.approx(left, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(name=group, seed=st.integers(0, 1000), electron=st.booleans())
def test_gaussians_on_the_grid_give_the_direct_sum(name: str, seed: int, electron: bool) -> None:
    crystal = crystal_of(name)
    synthesis = Synthesis(crystal, 2.2)
    element, coord, b = atoms(crystal, 5, seed)
    engine = make_engine(
        synthesis.crystal_p1,
        synthesis.index,
        Scatterers(element, b_factor=b),
        engine="direct",
        table="electron" if electron else "xray",
    )
    expected = engine.structure_factors(crystal.fractional(coord))
    ones = np.ones((1, 5))
    grid = GridScattering(synthesis, element, electron=electron, tolerance=1e-5)
    found = grid.structure_factors(coord[None], ones, b[None])
    assert np.linalg.norm(found - expected) <= 5e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_gradients_are_central_differences(name: str) -> None:
    crystal = crystal_of(name)
    synthesis = Synthesis(crystal, 2.5)
    element, coord, b = atoms(crystal, 4)
    rng = np.random.default_rng(3)
    coord = coord + rng.normal(0, 0.3, (2, 4, 3))
    amount, b = rng.uniform(0.2, 0.6, (2, 4)), np.stack([b, b + 3])
    target = rng.normal(size=synthesis.shape)
    # A tight tolerance: gradients are exact, but the cut-off moves with the atoms.
    grid = GridScattering(synthesis, element, tolerance=1e-10)

    def loss(coord: np.ndarray, amount: np.ndarray, b: np.ndarray) -> float:
        density = synthesis.density(synthesis.of_cell(grid.structure_factors(coord, amount, b)))
        return 0.5 * float(((density - target) ** 2).sum())

    density = synthesis.density(synthesis.of_cell(grid.structure_factors(coord, amount, b)))
    cotangent = synthesis.of_cell_adjoint(synthesis.density_adjoint(density - target))
    found = grid.adjoint(coord, amount, b, cotangent)
    for number, gradient in enumerate((found.coord, found.occupancy, found.b_factor)):
        direction = rng.normal(size=gradient.shape)
        step = 1e-4

        def moved(by: float, number: int = number, direction: np.ndarray = direction) -> float:
            given = [coord, amount, b]
            given[number] = given[number] + by * direction
            return loss(*given)

        numeric = (moved(step) - moved(-step)) / (2 * step)
        assert (gradient * direction).sum() == pytest.approx(numeric, rel=1e-5)


def test_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    crystal = crystal_of("P 1 21 1")
    synthesis = Synthesis(crystal, 2.5)
    element, coord, b = atoms(crystal, 8)
    coord = coord + np.random.default_rng(0).normal(0, 0.3, (5, 8, 3))
    ones, b = np.full((5, 8), 0.2), np.tile(b, (5, 1))
    grid = GridScattering(synthesis, element)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr("unstill.scattering.grid_scattering.cpu_count", lambda n=threads: n)
        found.append(grid.structure_factors(coord, ones, b))
    assert np.array_equal(*found)


def test_grids_suit_the_group_and_the_resolution() -> None:
    for name in GROUPS:
        crystal = crystal_of(name)
        shape = grid_shape(crystal, 2.0)
        assert max(np.array(crystal.unit_cell[:3]) / shape) <= 2.0 / 3 + 1e-9
    with pytest.raises(InputError, match="too coarse"):
        Synthesis(crystal_of("P 1"), 1.0, (12, 12, 12))
    with pytest.raises(InputError, match="does not suit"):
        Synthesis(crystal_of("P 31 2 1"), 4.0, (12, 12, 13))
    with pytest.raises(InputError, match="resolution"):
        Synthesis(crystal_of("P 1"), -1.0)


def test_bad_atoms_are_refused() -> None:
    synthesis = Synthesis(crystal_of("P 1"), 3.0)
    with pytest.raises(InputError, match="no form factor"):
        GridScattering(synthesis, ["X"])
    grid = GridScattering(synthesis, ["C"])
    ones = np.ones((1, 1))
    with pytest.raises(InputError, match="not finite"):
        grid.structure_factors(np.full((1, 1, 3), np.nan), ones, 20 * ones)
    with pytest.raises(InputError, match="B factor"):
        grid.structure_factors(np.zeros((1, 1, 3)), ones, -ones)
    with pytest.raises(InputError, match="do not fit"):
        grid.structure_factors(np.zeros((1, 2, 3)), ones, ones)
