from __future__ import annotations

from pathlib import Path

import biotite.structure
import gemmi
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.diffuse.density import density_of, electrons_of
from unstill.ensembles import Ensemble
from unstill.io.structure_files import read_structure


def gemmi_density(path: Path, d_min: float, shape: tuple[int, int, int]) -> np.ndarray:
    structure = gemmi.read_structure(str(path))
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min, calculator.rate, calculator.cutoff = d_min, 3, 1e-7
    calculator.set_grid_cell_and_spacegroup(structure)
    calculator.set_refmac_compatible_blur(structure[0])
    calculator.put_model_density_on_grid(structure[0])
    modes = gemmi.transform_map_to_f_phi(calculator.grid, half_l=True)
    data = modes.prepare_asu_data(dmin=d_min, unblur=calculator.blur, with_000=True)
    grid = data.get_f_phi_on_grid(list(shape), half_l=True)
    return np.array(gemmi.transform_f_phi_grid_to_map(grid))


@pytest.mark.parametrize(
    ("name", "d_min", "electrons"), [("6b8x.pdb", 1.74, 17099), ("1vme_0.5A_0.5B.cif", 1.8, 21092)]
)
def test_electrons_and_shape_of_deposited_models(
    unstill_data: Path, name: str, d_min: float, electrons: int
) -> None:
    path = unstill_data / "altloc" / name
    model = read_structure(path)
    density = density_of(model, d_min)
    assert electrons_of(model) == pytest.approx(electrons, abs=1)
    per_unit = density.integral / density.crystal.n_operations
    assert per_unit == pytest.approx(electrons, rel=5e-3)
    theirs = gemmi_density(path, d_min, density.shape)
    assert np.corrcoef(theirs.ravel(), density.values.ravel())[0, 1] >= 0.99999


@pytest.mark.parametrize("place", [(4.9, 5.0, 5.1), (0.01, 9.97, 4.4)])
def test_an_atom_stands_where_it_is(place: tuple[float, float, float]) -> None:
    atoms = biotite.structure.AtomArray(1)
    atoms.element[:] = "O"
    crystal = Crystal((10.0, 10.0, 10.0, 90.0, 90.0, 90.0))
    ensemble = Ensemble(atoms, np.array([[place]]), b_factor=np.array([20.0]), crystal=crystal)
    density = density_of(ensemble, 1.8)
    # Phases of the three first terms tell the centre of mass on a torus.
    modes = np.fft.fftn(density.values)
    first = np.array([modes[1, 0, 0], modes[0, 1, 0], modes[0, 0, 1]])
    centre = -np.angle(first) / (2 * np.pi) * 10.0
    offset = (centre - place + 5) % 10 - 5
    assert np.abs(offset).max() <= 0.005


def test_members_are_averaged_by_weight() -> None:
    atoms = biotite.structure.AtomArray(1)
    atoms.element[:] = "C"
    crystal = Crystal((9.0, 10.0, 11.0, 90.0, 104.0, 90.0), "P 1 21 1")
    coord = np.array([[[1.0, 2.0, 3.0]], [[2.0, 2.5, 3.0]]])
    both = Ensemble(
        atoms, coord, b_factor=np.array([15.0]), weights=np.array([0.3, 0.7]), crystal=crystal
    )
    one, other = (density_of(both.member(number), 1.5).values for number in (0, 1))
    mean = density_of(both, 1.5).values
    np.testing.assert_allclose(mean, 0.3 * one + 0.7 * other, atol=1e-4)
