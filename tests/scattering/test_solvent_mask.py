"""The flat solvent mask: closed forms, distances measured one by one, gemmi's map transform."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.scattering.solvent import solvent_grid, solvent_mask, solvent_structure_factors

CARBON = 1.775  # Å, of cctbx, as gemmi has it


def _distances(crystal: Crystal, coord: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(n_atoms, nu, nv, nw): to the nearest image of each atom, over all mates."""
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), -1)
    found = []
    for place in crystal.fractional(coord):
        best = np.full(shape, np.inf)
        for operation in crystal.group.operations():
            mate = np.array(operation.apply_to_xyz(place.tolist()))
            for shift in np.ndindex(3, 3, 3):
                apart = points - (mate - np.floor(mate)) - (np.array(shift) - 1)
                best = np.minimum(best, np.linalg.norm(crystal.cartesian(apart), axis=-1))
        found.append(best)
    return np.array(found)


def test_one_atom_keeps_a_ball_dry() -> None:
    cube = Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0))
    coord, element = np.array([[10.0, 10.0, 10.0]]), np.array(["C"])
    mask = solvent_mask(cube, coord, element, (100, 100, 100), shrink_radius=0.0)
    dry = (1 - mask.mean()) * cube.volume
    assert dry == pytest.approx(4 / 3 * np.pi * (CARBON + 1.11) ** 3, rel=0.01)
    # Solvent grows back all round, as far as points of the grid lie within the radius.
    grown = (1 - solvent_mask(cube, coord, element, (100, 100, 100)).mean()) * cube.volume
    assert grown == pytest.approx(4 / 3 * np.pi * (CARBON + 1.11 - 0.9) ** 3, rel=0.06)


@pytest.mark.parametrize("group", ["P 1", "P 1 21 1"])
def test_solvent_is_what_is_far_from_all_atoms(group: str) -> None:
    crystal = Crystal((14.0, 13.0, 15.0, 90.0, 101.0, 90.0), group)
    coord = np.random.default_rng(3).uniform(0, 13, (4, 3))
    shape = solvent_grid(crystal, 2.4)
    mask = solvent_mask(crystal, coord, np.array(["C"] * 4), shape, shrink_radius=0.0)
    nearest = _distances(crystal, coord, shape).min(axis=0)
    clear = np.abs(nearest - CARBON - 1.11) > 1e-3
    np.testing.assert_array_equal(mask[clear] > 0, (nearest > CARBON + 1.11)[clear])


def test_hydrogens_keep_solvent_out_only_where_asked() -> None:
    cube = Crystal((12.0, 12.0, 12.0, 90.0, 90.0, 90.0))
    place, element, shape = np.array([[6.0, 6.0, 6.0]]), np.array(["H"]), (24, 24, 24)
    assert solvent_mask(cube, place, element, shape).min() == 1
    assert solvent_mask(cube, place, element, shape, hydrogens=True).min() == 0


def test_transform_is_that_of_gemmi() -> None:
    crystal = Crystal((14.0, 13.0, 15.0, 88.0, 101.0, 95.0))
    mask = np.random.default_rng(0).random((16, 18, 20))
    grid = gemmi.FloatGrid(mask.astype(np.float32), crystal.cell, crystal.group)
    reference = gemmi.transform_map_to_f_phi(grid)
    rng = np.random.default_rng(1)
    hkl = rng.integers(-6, 7, (200, 3))
    expected = np.array([reference.get_value(*h) for h in hkl.tolist()])
    found = solvent_structure_factors(crystal, mask, hkl)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@given(seed=st.integers(0, 999), probe=st.floats(0.3, 2.0))
def test_a_larger_probe_and_more_atoms_leave_less_solvent(seed: int, probe: float) -> None:
    crystal = Crystal((18.0, 17.0, 19.0, 90.0, 90.0, 90.0), "P 21 21 21")
    coord = np.random.default_rng(seed).uniform(0, 17, (6, 3))
    element, shape = np.array(["C", "N", "O", "S", "C", "C"]), solvent_grid(crystal, 3.0)

    def of(n: int, radius: float) -> np.ndarray:
        return solvent_mask(crystal, coord[:n], element[:n], shape, probe_radius=radius)

    assert (of(6, probe) <= of(3, probe)).all()
    assert of(6, probe + 0.3).sum() <= of(6, probe).sum() + 1e-9


def test_refuses_what_cannot_be_masked() -> None:
    crystal = Crystal((14.0, 14.0, 15.0, 90.0, 90.0, 90.0), "P 41")
    element = np.array(["C"])
    with pytest.raises(InputError, match="does not suit"):
        solvent_mask(crystal, np.zeros((1, 3)), element, (15, 16, 16))
    with pytest.raises(InputError, match="do not fit"):
        solvent_mask(crystal, np.zeros((2, 3)), element, (16, 16, 16))
    with pytest.raises(InputError, match="negative"):
        solvent_mask(crystal, np.zeros((1, 3)), element, (16, 16, 16), probe_radius=-1.0)
    with pytest.raises(InputError, match="too coarse"):
        solvent_structure_factors(crystal, np.ones((8, 8, 8)), np.array([[4, 0, 0]]))
    with pytest.raises(InputError, match="no length"):
        solvent_grid(crystal, 0.0)
