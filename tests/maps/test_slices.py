"""Planes of a map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.slices import extract_plane

MakeMap = Callable[..., IntensityMap]
MONOCLINIC = Crystal((20.0, 30.0, 40.0, 90.0, 110.0, 90.0), "P 1 21 1")


def test_a_plane_holds_the_voxels_of_its_value(make_map: MakeMap) -> None:
    mask = np.random.default_rng(0).random((17, 17, 21)) < 0.2
    full = make_map(MONOCLINIC, divisions=(2, 2, 2), mask=mask)
    for axis, letter in enumerate("hkl"):
        plane = extract_plane(full, letter, -1.5)
        at = full.grid.axes()[axis].tolist().index(-1.5)
        expected = np.where(mask, np.nan, full.intensity).take(at, axis=axis)
        assert np.array_equal(plane.intensity, expected, equal_nan=True)
        assert plane.axes == tuple(name for name in "hkl" if name != letter)
        assert (len(plane.x), len(plane.y)) == plane.intensity.shape


def test_angles_and_lengths_in_the_plane_are_true(make_map: MakeMap) -> None:
    full = make_map(MONOCLINIC)
    reciprocal = MONOCLINIC.cell.reciprocal()
    assert extract_plane(full, "k", 0.0).angle == pytest.approx(reciprocal.beta)
    assert extract_plane(full, "l", 0.0).angle == pytest.approx(reciprocal.gamma)
    plane = extract_plane(full, "k", 0.0)
    s = 3 * plane.basis[0] - 2 * plane.basis[1]
    assert np.linalg.norm(s) == pytest.approx(1 / float(MONOCLINIC.cell.calculate_d([3, 0, -2])))


def test_values_off_the_grid_and_outside_are_refused(make_map: MakeMap) -> None:
    full = make_map(divisions=(2, 2, 2))
    for value in (0.25, 6.0):
        with pytest.raises(InputError, match="no voxels lie at l") as caught:
            extract_plane(full, "l", value)
        assert "steps of 1/2" in str(caught.value)
