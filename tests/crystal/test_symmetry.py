"""Laue orbits against gemmi, in every setting that gemmi knows."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.crystal.symmetry import (
    index_operations,
    laue_operations,
    map_to_asu,
    orbit,
    orbit_size,
)
from unstill.errors import InputError

CELLS = {
    "hexagonal": (50.0, 50.0, 70.0, 90.0, 90.0, 120.0),
    "other": (50.0, 50.0, 50.0, 90.0, 90.0, 90.0),
}
SETTINGS = [group.xhm() for group in gemmi.spacegroup_table()]
LAUE_ORDER = {
    "-1": 2, "2/m": 4, "mmm": 8, "4/m": 8, "4/mmm": 16, "-3": 6, "-3m": 12,
    "6/m": 12, "6/mmm": 24, "m-3": 24, "m-3m": 48,
}  # fmt: skip


def crystal_in(space_group: str) -> Crystal:
    """Orbits depend on the group only; the cell is there because a crystal has one."""
    return Crystal(CELLS["other"], space_group)


def some_indices() -> np.ndarray:
    rng = np.random.default_rng(2)
    general = rng.integers(-9, 10, size=(40, 3))
    axes = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [0, 0, -4], [2, 2, 0], [2, -2, 0]])
    planes = np.array([[1, 2, 0], [1, 0, 2], [0, 1, 2], [1, 1, 1], [1, 1, -2], [2, -1, 5]])
    return np.concatenate([general[np.any(general != 0, axis=1)], axes, planes])


def gemmi_orbit_size(group: gemmi.SpaceGroup, hkl: np.ndarray) -> np.ndarray:
    """The point group moves h to n/ε places; Friedel's law doubles them unless h is centric."""
    ops = group.operations()
    epsilon = ops.epsilon_factor_without_centering_array(hkl.astype(np.int32))
    centric = ops.centric_flag_array(hkl.astype(np.int32))
    return np.where(centric, 1, 2) * len(ops.sym_ops) // epsilon


def test_there_are_all_230_groups_in_the_settings() -> None:
    assert {gemmi.SpaceGroup(name).number for name in SETTINGS} == set(range(1, 231))


def test_orbit_sizes_equal_those_of_gemmi_in_every_setting() -> None:
    hkl = some_indices()
    for name in SETTINGS:
        expected = gemmi_orbit_size(gemmi.SpaceGroup(name), hkl)
        assert np.array_equal(orbit_size(crystal_in(name), hkl), expected), name


def test_laue_operations_are_a_group_with_inversion_and_identity_first_in_every_setting() -> None:
    for name in SETTINGS:
        operations = laue_operations(crystal_in(name))
        keys = {op.tobytes() for op in operations}
        assert len(operations) == len(keys) == LAUE_ORDER[crystal_in(name).laue_group], name
        assert np.array_equal(operations[0], np.eye(3)), name
        assert all((-op).tobytes() in keys for op in operations), name
        products = np.einsum("aij,bjk->abik", operations, operations).reshape(-1, 3, 3)
        assert {product.tobytes() for product in products} == keys, name


def test_asu_groups_indices_as_gemmi_does_in_every_setting() -> None:
    rng = np.random.default_rng(3)
    hkl = rng.integers(-3, 4, size=(60, 3))
    for name in SETTINGS:
        group = gemmi.SpaceGroup(name)
        asu = gemmi.ReciprocalAsu(group)
        ops = group.operations()
        theirs = [tuple(asu.to_asu(h, ops)[0]) for h in hkl.tolist()]
        ours = list(map(tuple, map_to_asu(crystal_in(name), hkl).tolist()))
        assert len(set(ours)) == len(set(theirs)) == len(set(zip(ours, theirs, strict=True))), name


@given(
    space_group=st.sampled_from(SETTINGS),
    hkl=st.tuples(*[st.integers(-50, 50)] * 3),
    division=st.integers(1, 4),
)
def test_every_mate_has_the_same_representative_and_it_is_a_mate(
    space_group: str, hkl: tuple[int, int, int], division: int
) -> None:
    crystal, index = crystal_in(space_group), np.array(hkl)
    divisions = (division,) * 3
    mates = orbit(crystal, index, divisions)
    assert len(mates) == orbit_size(crystal, index, divisions)
    representatives = map_to_asu(crystal, mates, divisions)
    assert len(np.unique(representatives, axis=0)) == 1
    assert representatives[0].tolist() in mates.tolist()


def test_mates_have_the_same_resolution() -> None:
    for space_group, cell in [
        ("P 61", CELLS["hexagonal"]),
        ("R 3 2:H", CELLS["hexagonal"]),
        ("P 21 3", CELLS["other"]),
        ("I 1 2 1", (40.0, 55.0, 70.0, 90.0, 101.0, 90.0)),
    ]:
        crystal = Crystal(cell, space_group)
        for index in some_indices():
            d = crystal.d(orbit(crystal, index) / 2)
            assert np.ptp(d) < 1e-9 * d[0]


def test_axes_that_an_operation_mixes_must_be_divided_equally() -> None:
    tetragonal = crystal_in("P 4")
    assert len(index_operations(tetragonal, (2, 2, 5))) == 8
    with pytest.raises(InputError, match="mixes h and k") as caught:
        index_operations(tetragonal, (2, 4, 2))
    assert caught.value.found == "divisions (2, 4, 2)"
    with pytest.raises(InputError, match="mixes"):
        map_to_asu(crystal_in("P 2 3"), np.array([1, 2, 3]), (2, 2, 1))
    assert len(index_operations(crystal_in("P 21 21 21"), (2, 3, 4))) == 8


def test_integer_type_of_the_index_is_kept() -> None:
    index = np.array([[1, 2, 3]], dtype=np.int32)
    assert map_to_asu(crystal_in("P 4"), index).dtype == np.int32
