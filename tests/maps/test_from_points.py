"""Maps from half of reciprocal space."""

from __future__ import annotations

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.errors import InputError
from unstill.maps.from_points import map_from_points

CRYSTAL = Crystal((20.0, 24.0, 31.0, 80.0, 95.0, 103.0), "P 1")


def test_a_half_space_fills_the_whole_sphere_by_friedels_law() -> None:
    index = friedel_half(CRYSTAL, 4.0, (2, 1, 3))
    values = np.random.default_rng(0).random(len(index))
    found = map_from_points(CRYSTAL, (2, 1, 3), index, values, sigma=values / 10)
    inside = CRYSTAL.s_squared(found.grid.hkl()) <= (1 + 1e-9) / 4.0**2
    assert np.array_equal(found.measured, inside)
    flat = found.intensity.ravel()
    assert np.array_equal(flat[found.grid.position(index)], values)
    assert np.array_equal(flat[found.grid.position(-index)], values)
    assert np.array_equal(found.sigma.ravel()[found.grid.position(-index)], values / 10)  # type: ignore[union-attr]
    mates = found.intensity[::-1, ::-1, ::-1]
    assert np.array_equal(found.intensity[inside], mates[inside])


def test_a_mate_that_is_given_keeps_its_own_value() -> None:
    index = np.array([[0, 0, 1], [0, 0, -1]])
    found = map_from_points(CRYSTAL, (1, 1, 1), index, np.array([1.0, 2.0]))
    assert found.intensity.ravel()[[0, 2]].tolist() == [2.0, 1.0]


def test_lengths_that_disagree_are_refused() -> None:
    with pytest.raises(InputError, match="2 values for 1 points"):
        map_from_points(CRYSTAL, (1, 1, 1), np.array([[0, 0, 1]]), np.zeros(2))
    with pytest.raises(InputError, match="needs points"):
        map_from_points(CRYSTAL, (1, 1, 1), np.zeros((0, 3), int), np.zeros(0))
