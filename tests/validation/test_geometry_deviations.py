"""Deviations from ideal geometry: closed forms, gemmi's angles and volumes, invariances."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from unstill.errors import InputError
from unstill.validation.geometry import (
    angle_deviations,
    bond_deviations,
    chirality_flips,
    plane_deviations,
    root_mean_square,
    signed_volumes,
)

seeds = st.integers(0, 9999)


@given(seed=seeds)
def test_lengths_angles_and_volumes_are_those_of_gemmi(seed: int) -> None:
    coord = np.random.default_rng(seed).normal(0, 2, (2, 4, 3))
    for number, member in enumerate(coord):
        a, b, c, d = (gemmi.Position(*place) for place in member.tolist())
        length = bond_deviations(coord, np.array([[0, 1]]), np.array([1.0]))[number, 0]
        assert length == pytest.approx(a.dist(b) - 1)
        angle = angle_deviations(coord, np.array([[0, 1, 2]]), np.array([10.0]))[number, 0]
        assert angle == pytest.approx(np.degrees(gemmi.calculate_angle(a, b, c)) - 10)
        volume = (b - a).dot((c - a).cross(d - a))
        found = signed_volumes(coord, np.array([[0, 1, 2, 3]]))[number, 0]
        assert found == pytest.approx(volume)


@given(seed=seeds)
def test_turning_changes_nothing_and_a_mirror_flips(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coord = rng.normal(0, 1.5, (1, 8, 3))
    turned = coord @ Rotation.random(rng=rng).as_matrix().T + rng.normal(0, 20, 3)
    chirals = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
    volumes = signed_volumes(coord, chirals)[0]
    assert not chirality_flips(turned, chirals, volumes).any()
    assert chirality_flips(turned * [1, 1, -1], chirals, volumes).all()
    planes = [np.arange(5), np.arange(2, 8), np.arange(3, 8)]
    np.testing.assert_allclose(
        plane_deviations(turned, planes), plane_deviations(coord, planes), atol=1e-9
    )


def test_a_plane_with_one_atom_out_of_it() -> None:
    # A square with its corners up and down in turn is h from the plane, everywhere.
    square = np.array([[1.0, 1, 0.3], [-1, 1, -0.3], [-1, -1, 0.3], [1, -1, -0.3]])
    found = plane_deviations(np.stack([square, square * [1, 1, 0]]), [np.arange(4)])
    np.testing.assert_allclose(found[:, 0], [0.3, 0.0], atol=1e-12)


def test_straight_and_folded_angles_are_exact() -> None:
    line = np.array([[[1.0, 0, 0], [0, 0, 0], [-1, 1e-9, 0], [1, 1e-9, 0]]])
    angles = np.array([[0, 1, 2], [0, 1, 3]])
    found = angle_deviations(line, angles, np.array([180.0, 0.0]))
    np.testing.assert_allclose(found, [[-np.degrees(1e-9), np.degrees(1e-9)]], rtol=1e-3)


def test_rms_is_by_member() -> None:
    coord = np.zeros((2, 3, 3))
    coord[0, 1:, 0] = 1.0, 2.1
    coord[1, 1:, 0] = 1.3, 2.3
    bonds = np.array([[0, 1], [1, 2]])
    found = root_mean_square(bond_deviations(coord, bonds, np.ones(2)))
    np.testing.assert_allclose(found, [0.1 / np.sqrt(2), 0.3 / np.sqrt(2)])
    none = bond_deviations(coord, np.zeros((0, 2), dtype=int), np.zeros(0))
    assert np.isnan(root_mean_square(none)).all()


def test_refuses_what_is_no_restraint() -> None:
    coord = np.random.default_rng(0).normal(size=(1, 4, 3))
    with pytest.raises(InputError, match="one target each"):
        bond_deviations(coord, np.array([[0, 1]]), np.ones(2))
    with pytest.raises(InputError, match="does not exist"):
        angle_deviations(coord, np.array([[0, 1, 4]]), np.ones(1))
    with pytest.raises(InputError, match="without a sign"):
        chirality_flips(coord, np.array([[0, 1, 2, 3]]), np.zeros(1))
    with pytest.raises(InputError, match="three atoms"):
        plane_deviations(coord, [np.arange(3)])
