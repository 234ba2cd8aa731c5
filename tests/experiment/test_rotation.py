"""Rotations and their interpolation against scipy."""

from __future__ import annotations

import numpy as np
from geometries import lattice, sweep
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from unstill.experiment.rotation import between, rotation_about

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, angle=st.floats(-720, 720))
def test_rotation_about_an_axis_is_that_of_scipy(seed: int, angle: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    axis /= np.linalg.norm(axis)
    expected = Rotation.from_rotvec(np.radians(angle) * axis).as_matrix()
    np.testing.assert_allclose(rotation_about(axis, angle), expected, atol=1e-12)


@given(seed=seeds, angle=st.floats(0, 170), share=st.floats(0, 1))
def test_rotation_between_two_is_that_of_slerp(seed: int, angle: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    first = Rotation.random(rng=rng)
    axis = rng.normal(size=3)
    second = Rotation.from_rotvec(np.radians(angle) * axis / np.linalg.norm(axis)) * first
    expected = Slerp([0, 1], Rotation.concatenate([first, second]))(share).as_matrix()
    found = between(first.as_matrix(), second.as_matrix(), share)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_many_rotations_at_once_are_those_one_by_one() -> None:
    rng = np.random.default_rng(0)
    first, second = (Rotation.random(7, rng=rng).as_matrix() for _ in range(2))
    share = rng.uniform(0, 1, 7)
    each = [between(a, b, float(t)) for a, b, t in zip(first, second, share, strict=True)]
    np.testing.assert_allclose(between(first, second, share), each, atol=1e-14)


def test_a_drifting_lattice_passes_through_its_scan_points_and_stays_beyond() -> None:
    drifting = lattice(1, n_frames=8)
    points = drifting.a_at_scan_points
    assert points is not None
    at = drifting.a_at(np.arange(9.0))
    np.testing.assert_allclose(at, points, atol=1e-15)
    np.testing.assert_allclose(drifting.a_at(-3.0), points[0], atol=1e-15)
    np.testing.assert_allclose(drifting.a_at(99.0), points[-1], atol=1e-15)
    np.testing.assert_allclose(drifting.a_at(np.array([2.3]))[0], drifting.a_at(2.3), atol=1e-16)


def test_a_part_of_a_sweep_has_the_settings_of_the_whole() -> None:
    whole = sweep(2, drifts=True)
    part = whole.part(5, 12)
    assert part.n_frames == 7
    for position in (0.0, 3.5, 7.0):
        np.testing.assert_allclose(part.setting(position), whole.setting(position + 5), atol=1e-14)
