"""The generator of the embedded map, against sums over pairs of atoms and against itself."""

from __future__ import annotations

import math

import biotite.structure
import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.datasets import SimulationRecipe, fetch, simulate_map
from unstill.datasets.simulated import liquid_like_intensity, solvent_ring
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.io import read_map, read_structure
from unstill.scattering.form_factors import form_factors
from unstill.workflows.simulated_data import regenerate

SMALL = Crystal((7.0, 8.0, 9.5, 90.0, 90.0, 90.0), "P 21 21 21")


def small_model() -> Ensemble:
    # The third atom moves on its own as well: its B is above the lower quantile.
    b_factor = np.array([8.0, 8.0, 20.0])
    coord = np.array([[[1.0, 1.3, 2.1], [2.2, 1.9, 2.3], [3.0, 4.4, 0.7]]])
    atoms = biotite.structure.AtomArray(3)
    atoms.element = np.array(["C", "O", "N"])
    return Ensemble(
        atoms, coord, occupancy=np.array([1.0, 1.0, 0.5]), b_factor=b_factor, crystal=SMALL
    )


def pair_sum(model: Ensemble, grid: HklGrid, recipe: SimulationRecipe, reach: float) -> np.ndarray:
    """The equation of the docstring, pair by pair, over all cells within reach."""
    crystal = model.crystal
    assert crystal is not None
    frac = crystal.fractional(model.coord[0])
    mates = np.concatenate(
        [
            frac @ (np.array(op.rot) / op.DEN).T + np.array(op.tran) / op.DEN
            for op in crystal.group.operations()
        ]
    )
    weight = np.tile(model.occupancy, 4)
    element = np.tile(model.element, 4)
    hkl = grid.hkl()
    s_squared = crystal.s_squared(hkl)
    factors = {e: form_factors([e], s_squared)[0] for e in set(element)}
    cells = [math.ceil(reach / edge) for edge in crystal.unit_cell[:3]]
    shifts = np.stack(
        np.meshgrid(*[np.arange(-n, n + 1) for n in cells], indexing="ij"), axis=-1
    ).reshape(-1, 3)
    q_squared = 4 * np.pi**2 * s_squared
    exponent = q_squared * recipe.sigma**2
    u = np.tile([0.0, 0.0, 12.0 / (8 * np.pi**2)], 4)
    total = np.zeros(grid.shape)
    for i in range(len(mates)):
        for j in range(len(mates)):
            apart = mates[i] - mates[j] + shifts
            r = np.linalg.norm(crystal.cartesian(apart), axis=1)
            apart, r = apart[r < reach], r[r < reach]
            phases = np.cos(2 * np.pi * (hkl[..., None, :] * apart).sum(-1))
            damping = np.exp(-q_squared * (u[i] + u[j]) / 2 - exponent)
            ff = weight[i] * weight[j] * factors[element[i]] * factors[element[j]]
            correlated = np.expm1(exponent[..., None] * np.exp(-r / recipe.gamma))
            total += ff * damping * (phases * correlated).sum(-1)
            if i == j:
                total += ff * -np.expm1(-q_squared * u[i])
    return total


def test_intensity_equals_the_sum_over_pairs_of_atoms() -> None:
    recipe = SimulationRecipe(sigma=0.35, gamma=3.0, d_core=0.45, orders=10)
    grid = HklGrid((2, 0, 0), (1, 5, 6), (2, 2, 2))
    exact = pair_sum(small_model(), grid, recipe, reach=27.0)
    whole = HklGrid((0, 0, 0), (3, 5, 6), (2, 2, 2))
    found = liquid_like_intensity(small_model(), whole, recipe)[2:]
    # The generator blurs each peak of the Patterson function, which is about 1 Å wide, as a
    # whole; that is what is left of the difference at this short correlation length.
    assert np.abs(found - exact).max() < 0.03 * exact.max()
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.998


def test_long_correlation_gives_no_diffuse_intensity_between_the_bragg_positions() -> None:
    recipe = SimulationRecipe(sigma=0.3, gamma=12.0, d_core=0.8, orders=1)
    grid = HklGrid((0, 0, 0), (6, 6, 6), (2, 2, 2))
    intensity = liquid_like_intensity(small_model(), grid, recipe)
    at_bragg = (grid.index() % 2 == 0).all(axis=-1)
    assert intensity[at_bragg].mean() > 20 * intensity[~at_bragg].mean()


def test_embedded_map_is_regenerated_bit_for_bit() -> None:
    embedded = read_map(fetch("bpti-simulated").paths["map"])
    made = regenerate()
    # Values are whole e²: last-bit differences between maths libraries do not survive rounding.
    np.testing.assert_array_equal(made.intensity, embedded.intensity)
    assert made.sigma is not None
    assert embedded.sigma is not None
    np.testing.assert_array_equal(made.sigma, embedded.sigma)
    np.testing.assert_array_equal(made.mask, embedded.mask)
    assert made.grid == embedded.grid
    assert made.crystal == embedded.crystal


def test_another_seed_changes_the_noise_and_nothing_else() -> None:
    model = small_model()
    recipe = {"d_min": 1.5, "d_max": 8.0, "d_core": 0.9, "gamma": 2.0, "orders": 4}
    first = simulate_map(model, SimulationRecipe(**recipe, seed=1))
    second = simulate_map(model, SimulationRecipe(**recipe, seed=2))
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(first.sigma, second.sigma)
    used = first.measured
    assert first.sigma is not None
    z = (first.intensity - second.intensity)[used] / (np.sqrt(2) * first.sigma[used])
    assert abs(z.mean()) < 4 / np.sqrt(used.sum())
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * used.sum())


def test_noise_variance_follows_intensity_and_orbit_size() -> None:
    made = regenerate()
    assert made.sigma is not None
    assert made.n_obs is not None
    used = made.measured
    relative = made.sigma[used] ** 2 * made.n_obs[used] / made.intensity[used]
    assert np.std(relative) < 0.12 * np.mean(relative)
    assert set(np.unique(made.n_obs[used])) == {2, 4, 8}


def test_blind_cusp_and_beam_stop_are_unmeasured() -> None:
    made = regenerate()
    d = made.crystal.d(made.grid.hkl())
    assert made.n_obs is not None
    assert made.mask[d > 30.0].all()
    assert made.mask[d < 2.0].all()
    on_spindle = made.mask[:, 0, 0]
    assert on_spindle.all()
    assert (made.n_obs[made.mask] == 0).all()
    assert made.measured.sum() > 27_000


def test_background_is_one_at_the_ring() -> None:
    assert solvent_ring(np.array([1 / 3.2]))[0] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("group", ["P 1", "P 41"])
def test_other_laue_classes_are_refused(group: str) -> None:
    crystal = Crystal((7.0, 7.0, 9.5, 90.0, 90.0, 90.0), group)
    with pytest.raises(InputError, match="orthorhombic"):
        simulate_map(small_model().replace(crystal=crystal))


def test_embedded_coordinates_are_those_of_the_deposited_entry() -> None:
    files = pytest.importorskip("MDAnalysisTests.datafiles")
    from pathlib import Path

    deposited = Path(files.__file__).parent / "data" / "mmcif" / "5PTI.cif.gz"
    if not deposited.exists():
        pytest.skip("this version of MDAnalysisTests does not carry 5PTI")
    import gemmi

    original = gemmi.read_structure(str(deposited))
    original.remove_empty_chains()
    sites = [
        (residue.name, atom.name, atom.altloc, atom.occ, atom.b_iso, *atom.pos.tolist())
        for chain in original[0]
        for residue in chain
        for atom in residue
        if atom.element.name != "X"
    ]
    model = read_structure(fetch("bpti-simulated").paths["model"])
    assert model.n_atoms == len(sites) == 1103
    np.testing.assert_allclose(
        np.sort(model.coord[0], axis=0), np.sort([site[5:] for site in sites], axis=0), atol=1e-3
    )
    assert model.occupancy.sum() == pytest.approx(sum(site[3] for site in sites), abs=1e-3)
    assert model.b_factor.sum() == pytest.approx(sum(site[4] for site in sites), abs=0.1)
    assert model.crystal == Crystal((74.1, 23.4, 28.9, 90.0, 90.0, 90.0), "P 21 21 21")
