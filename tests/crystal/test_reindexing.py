"""Operators that the metric of the lattice cannot tell apart."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.reindexing import (
    IDENTITY,
    candidate_operators,
    lattice_operations,
    parse_operator,
    reindexed_crystal,
)
from unstill.crystal.same_lattice import same_lattice
from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError, UnstillWarning

TETRAGONAL = (48.5, 48.5, 63.4, 90.0, 90.0, 90.0)
HEXAGONAL = (50.0, 50.0, 70.0, 90.0, 90.0, 120.0)
CUBIC = (50.0, 50.0, 50.0, 90.0, 90.0, 90.0)
CASES = [
    (TETRAGONAL, "P 41", ["h,k,l", "k,h,-l"]),
    (TETRAGONAL, "P 41 21 2", ["h,k,l"]),
    (HEXAGONAL, "P 31", ["h,k,l", "k,h,-l", "-h,-k,l", "-k,-h,-l"]),
    (HEXAGONAL, "P 32 2 1", ["h,k,l", "-h,-k,l"]),
    (HEXAGONAL, "P 32 1 2", ["h,k,l", "k,h,-l"]),
    (HEXAGONAL, "P 61", ["h,k,l", "k,h,-l"]),
    (HEXAGONAL, "R 3:H", ["h,k,l", "k,h,-l"]),
    (CUBIC, "P 21 3", ["h,k,l", "k,h,-l"]),
    (CUBIC, "P 41 3 2", ["h,k,l"]),
    ((50.0, 60.0, 70.0, 90.0, 90.0, 90.0), "P 21 21 21", ["h,k,l"]),
    ((50.0, 60.0, 70.0, 90.0, 90.0, 90.0), "P 1 21 1", ["h,k,l", "h,-k,-l"]),
    ((50.0, 60.0, 70.0, 80.0, 85.0, 75.0), "P 1", ["h,k,l"]),
]


@pytest.mark.parametrize(("cell", "space_group", "names"), CASES)
def test_candidates_are_the_known_ones(
    cell: tuple[float, ...], space_group: str, names: list[str]
) -> None:
    assert [op.name for op in candidate_operators(Crystal(cell, space_group))] == names


@pytest.mark.parametrize(("cell", "space_group", "names"), CASES)
def test_there_is_one_more_candidate_than_gemmi_has_twin_laws(
    cell: tuple[float, ...], space_group: str, names: list[str]
) -> None:
    crystal = Crystal(cell, space_group)
    laws = gemmi.find_twin_laws(crystal.cell, crystal.group, 3.0, False)
    assert len(names) == len(laws) + 1


@pytest.mark.parametrize(("cell", "space_group", "names"), CASES)
def test_cosets_are_disjoint_and_cover_the_lattice_group(
    cell: tuple[float, ...], space_group: str, names: list[str]
) -> None:
    crystal = Crystal(cell, space_group)
    laue = laue_operations(crystal)
    members = [
        (op @ candidate.matrix).round().tobytes()
        for candidate in candidate_operators(crystal)
        for op in laue
    ]
    assert len(set(members)) == len(members) == len(lattice_operations(crystal))


def test_candidates_keep_the_resolution() -> None:
    hkl = np.random.default_rng(1).integers(-9, 10, (30, 3))
    for cell, space_group, _ in CASES:
        crystal = Crystal(cell, space_group)
        for operator in candidate_operators(crystal):
            moved = crystal.s_squared(hkl @ operator.matrix)
            assert np.allclose(moved, crystal.s_squared(hkl))


def test_a_partner_merges_candidates_that_its_symmetry_makes_equal() -> None:
    # The Laue group 2/m is not normal in m-3m: twelve cosets, but fewer distinct agreements.
    crystal = Crystal(CUBIC, "P 1 2 1")
    assert len(candidate_operators(crystal)) == 12
    assert len(candidate_operators(crystal, crystal)) == 8
    raw, merged = Crystal(TETRAGONAL, "P 1"), Crystal(TETRAGONAL, "P 41")
    assert len(candidate_operators(raw)) == 8
    assert [op.name for op in candidate_operators(raw, merged)] == ["h,k,l", "k,h,-l"]


def test_a_loose_metric_finds_the_pseudo_symmetry_and_a_strict_one_does_not() -> None:
    nearly = Crystal((48.5, 49.0, 63.4, 90.0, 90.0, 90.0), "P 21 21 21")
    assert [op.name for op in candidate_operators(nearly)] == ["h,k,l", "k,h,-l"]
    assert [op.name for op in candidate_operators(nearly, max_obliquity=0.1)] == ["h,k,l"]


@pytest.mark.parametrize("name", ["k,h,-l", "h,k,l", "-h-k,k,-l", "l,h,k"])
def test_operators_act_as_gemmi_applies_them(name: str) -> None:
    operator = parse_operator(name)
    assert operator.name == name
    moved = np.array([3, -5, 7]) @ operator.matrix
    assert moved.tolist() == gemmi.Op(name).apply_to_hkl([3, -5, 7])
    back = moved @ operator.inverse.matrix
    assert np.allclose(back, [3, -5, 7])


def test_spaces_do_not_matter_and_the_identity_is_known() -> None:
    assert parse_operator(" h, k, l ") == IDENTITY
    assert IDENTITY.is_identity
    assert not parse_operator("k,h,-l").is_identity


@pytest.mark.parametrize("name", ["k,h", "x,y,z", "y,x,-z", "h,h,l", "2h,k,l", "", "k,h,-l+1/2"])
def test_what_is_no_operator_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="reindexing operator"):
        parse_operator(name)


def test_the_crystal_follows_its_axes() -> None:
    tetragonal = Crystal(TETRAGONAL, "P 41")
    assert reindexed_crystal(tetragonal, parse_operator("k,h,-l")) == tetragonal
    # An improper change of axes is the other hand.
    assert reindexed_crystal(tetragonal, parse_operator("k,h,l")).space_group == "P 43"
    orthorhombic = Crystal((50.0, 60.0, 70.0, 90.0, 90.0, 90.0), "P 21 21 2")
    cycled = reindexed_crystal(orthorhombic, parse_operator("k,l,h"))
    assert cycled.space_group == "P 21 2 21"
    assert cycled.unit_cell == (60.0, 70.0, 50.0, 90.0, 90.0, 90.0)


def test_reindexed_crystal_has_the_same_spacings_in_a_skew_cell() -> None:
    crystal = Crystal((40.0, 55.0, 70.0, 90.0, 101.0, 90.0), "P 1 21 1")
    operator = parse_operator("-h-l,-k,l")
    hkl = np.random.default_rng(0).integers(-9, 10, (20, 3))
    moved = reindexed_crystal(crystal, operator)
    # The new cell is written with six decimals.
    assert np.allclose(moved.s_squared(hkl @ operator.matrix), crystal.s_squared(hkl), rtol=1e-6)
    assert moved.laue_group == crystal.laue_group


def test_a_group_without_a_name_in_the_new_axes_is_declared_p1() -> None:
    crystal = Crystal(CUBIC, "P 1 21 1")
    with pytest.warns(UnstillWarning, match="no name"):
        moved = reindexed_crystal(crystal, parse_operator("h+k,k-h,l/2"))
    assert moved.space_group == "P 1"
    assert np.isclose(moved.volume, crystal.volume)


def test_cells_agree_within_a_percent() -> None:
    one = Crystal(TETRAGONAL)
    assert same_lattice(one, Crystal((48.9, 48.5, 63.4, 90.0, 90.0, 90.4)))
    assert not same_lattice(one, Crystal((49.1, 48.5, 63.4, 90.0, 90.0, 90.0)))
    assert not same_lattice(one, Crystal((48.5, 48.5, 63.4, 90.0, 91.0, 90.0)))
