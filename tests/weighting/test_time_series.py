"""Weights along time: frames, ratios, what moves together."""

from __future__ import annotations

import numpy as np
import pytest

from unstill.errors import InputError
from unstill.weighting.time_series import weights_along_time


def test_members_stand_at_their_frames_with_ratio_and_error() -> None:
    prior, weights = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.3, 0.3])
    draws = weights + np.array([[0.02, -0.01, -0.01], [-0.02, 0.01, 0.01]])
    found = weights_along_time(weights, prior, np.array([2, 3, 5]), draws)
    assert found.first_frame.tolist() == [0, 2, 5]
    assert found.last_frame.tolist() == [1, 4, 9]
    np.testing.assert_allclose(found.ratio, [2, 1, 0.6])
    np.testing.assert_allclose(found.error, np.array([0.02, 0.01, 0.01]) * np.sqrt(2))
    np.testing.assert_allclose(found.smoothed, found.ratio, rtol=1e-14)
    assert np.isnan(weights_along_time(weights, prior, np.array([2, 3, 5])).error).all()


def test_the_smooth_curve_is_the_weight_of_a_window_over_its_prior() -> None:
    rng = np.random.default_rng(0)
    prior, weights = rng.dirichlet(np.ones(40)), rng.dirichlet(np.ones(40))
    found = weights_along_time(weights, prior, np.ones(40, int), window=9)
    for at in (0, 3, 20, 39):
        part = slice(max(at - 4, 0), at + 5)
        assert found.smoothed[at] == pytest.approx(weights[part].sum() / prior[part].sum())
    flat = weights_along_time(prior, prior, np.ones(40, int), window=9)
    np.testing.assert_allclose(flat.smoothed, 1)
    many = np.full(500, 1 / 500)
    assert weights_along_time(many, many, np.ones(500, int)).window == 11


def test_weights_that_move_in_chunks_are_seen_as_so_many() -> None:
    rng = np.random.default_rng(1)
    prior, n_frames = np.full(400, 1 / 400), np.full(400, 5)
    levels = rng.normal(size=20)
    chunks = np.exp(np.repeat(levels, 20) + 0.05 * rng.normal(size=400))
    found = weights_along_time(chunks / chunks.sum(), prior, n_frames)
    assert 10 < found.n_independent < 40
    alone = np.exp(rng.normal(size=400))
    found = weights_along_time(alone / alone.sum(), prior, n_frames)
    assert found.n_independent > 200


def test_members_that_were_removed_do_not_break_it() -> None:
    weights = np.repeat([0.0, 1 / 30, 0.0], [20, 30, 10])
    found = weights_along_time(weights, np.full(60, 1 / 60), np.ones(60, int))
    assert found.ratio.tolist()[15:25] == [0.0] * 5 + [2.0] * 5
    assert 10 < found.inefficiency < 60


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"prior": np.array([0.5, 0.5, 0.0])}, "positive prior"),
        ({"prior": np.array([0.5, 0.5])}, "3 weights, 2 prior weights"),
        ({"weights": np.array([0.5, 0.6, -0.1])}, "positive prior"),
        ({"weight_draws": np.ones((4, 2))}, r"draws of shape \(4, 2\)"),
        ({"window": 4}, "odd number of members; found 4"),
    ],
)
def test_what_does_not_fit_is_refused(change, what) -> None:
    arguments = {"weights": np.ones(3) / 3, "prior": np.ones(3) / 3, "n_frames": np.ones(3, int)}
    with pytest.raises(InputError, match=what):
        weights_along_time(**(arguments | change))
