"""Supercells and the operations that fill a cell."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.supercell import lattice_translations, supercell, symmetry_operations
from unstill.errors import InputError

SKEW = Crystal((20.0, 30.0, 40.0, 70.0, 80.0, 100.0), "P 1")


def test_supercell_index_is_fractional_hkl_of_the_cell() -> None:
    large = supercell(SKEW, (2, 3, 1))
    index = np.random.default_rng(0).integers(-9, 9, (20, 3))
    assert np.allclose(large.s(index), SKEW.s(index / [2, 3, 1]))
    assert np.isclose(large.volume, 6 * SKEW.volume)
    assert large.space_group == "P 1"


def test_translations_visit_each_cell_once() -> None:
    origins = lattice_translations((2, 3, 4))
    assert len(np.unique(origins, axis=0)) == 24
    assert origins.max(axis=0).tolist() == [1, 2, 3]


@pytest.mark.parametrize("space_group", ["P 1", "P 41", "C 1 2 1", "R 3:H", "F 2 3", "P 61 2 2"])
def test_operations_move_a_point_as_gemmi_does(space_group: str) -> None:
    rotations, translations = symmetry_operations(
        Crystal((50.0, 50.0, 50.0, 90.0, 90.0, 90.0), space_group)
    )
    point = np.array([0.11, 0.23, 0.37])
    ours = (rotations @ point + translations) % 1
    theirs = [
        np.array(op.apply_to_xyz(point)) % 1 for op in gemmi.SpaceGroup(space_group).operations()
    ]
    assert np.allclose(np.sort(ours, axis=0), np.sort(theirs, axis=0))
    assert np.array_equal(rotations[0], np.eye(3))
    assert not translations[0].any()


@pytest.mark.parametrize("divisions", [(0, 1, 1), (1, -2, 1)])
def test_impossible_supercells_are_refused(divisions: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="positive whole numbers"):
        supercell(SKEW, divisions)
