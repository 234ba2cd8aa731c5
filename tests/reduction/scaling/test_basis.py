"""Hat functions, and what is smooth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.reduction.scaling.basis import Knots, PanelKnots
from unstill.reduction.scaling.penalty import plane_differences, second_differences

numbers = st.floats(-50, 50)


@given(st.integers(1, 9), st.integers(1, 9), st.lists(numbers, min_size=1, max_size=20), st.data())
def test_hats_sum_to_one_and_reproduce_straight_lines(n_first, n_second, positions, data):
    knots = Knots.spanning([0.0, -7.0], [10.0, 5.0], [n_first, n_second])
    x = np.array(positions)
    key = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(x), max_size=len(x))))
    at = knots.locate(key, x)
    assert np.allclose(at.weight.sum(axis=1), 1)
    assert np.all(at.weight >= 0)
    assert np.all(knots.key_of_knot[at.index] == key[:, None])
    where = np.concatenate([knots.positions(0), knots.positions(1)])
    low, high = np.array([0.0, -7.0])[key], np.array([10.0, 5.0])[key]
    wanted = np.where(knots.count[key] > 1, np.clip(x, low, high), low)
    assert np.allclose((where[at.index] * at.weight).sum(axis=1), wanted)


@given(st.tuples(numbers, numbers, numbers), st.integers(2, 6), st.integers(2, 6))
def test_a_plane_of_knots_reproduces_planes(slopes, n_x, n_y):
    a, b, c = slopes
    plane = PanelKnots(
        Knots.spanning([0.0, 0.0], [100.0, 50.0], [n_x, 2]),
        Knots.spanning([0.0, 0.0], [80.0, 20.0], [n_y, 3]),
    )
    rng = np.random.default_rng(1)
    panel = rng.integers(2, size=30)
    x, y = rng.uniform(0, 50, 30), rng.uniform(0, 20, 30)
    at = plane.locate(panel, x, y)
    values = np.concatenate(
        [
            (a + b * plane.x.positions(k)[:, None] + c * plane.y.positions(k)).ravel()
            for k in range(2)
        ]
    )
    assert np.allclose((values[at.index] * at.weight).sum(axis=1), a + b * x + c * y, atol=1e-8)
    assert np.all(plane.key_of_knot[at.index] == panel[:, None])
    assert np.allclose(plane_differences(plane) @ values, 0, atol=1e-8)


def test_sweeps_without_extent_get_one_constant():
    knots = Knots.spanning([3.0, 0.0], [3.0, 9.0], [7, 10])
    assert knots.count.tolist() == [1, 10]
    assert knots.locate(np.array([0]), np.array([100.0])).index.tolist() == [[0, 0]]


def test_second_differences_do_not_cross_from_sweep_to_sweep():
    knots = Knots.spanning([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [4, 1, 3])
    rough = second_differences(knots).toarray()
    assert rough.shape == (3, 8)
    assert rough[2].tolist() == [0, 0, 0, 0, 0, -0.5, 1, -0.5]
    jump = np.array([1.0, 1, 1, 1, 50, 9, 9, 9])
    assert rough @ jump == pytest.approx(0)
