"""Populations of states: what they must be, and whether their errors come true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import InputError
from unstill.weighting.states import StatePopulation, state_populations, state_shares
from unstill.weighting.statistical_inefficiency import statistical_inefficiency

STATES = np.array(["A", "B", "C"])


def equal(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def populations(
    labels: np.ndarray,
    weights: np.ndarray,
    n_frames: np.ndarray | None = None,
    draws: np.ndarray | None = None,
) -> tuple[StatePopulation, ...]:
    n = len(weights)
    n_frames = np.ones(n, dtype=int) if n_frames is None else n_frames
    return state_populations(labels, weights, n_frames / n_frames.sum(), n_frames, draws)


def two_state_chain(n: int, leave: tuple[float, float], seed: int) -> np.ndarray:
    """0 or 1 at each time; ``leave`` is the chance to leave 0, and 1, at a step."""
    rng = np.random.default_rng(seed)
    first = int(rng.random() < leave[0] / sum(leave))
    stay = rng.geometric([leave[first], leave[1 - first]], size=(n, 2)).ravel()
    visits = np.tile([first, 1 - first], n)
    return np.repeat(visits, stay)[:n]


@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), blocks=st.booleans())
def test_populations_sum_to_one_and_equal_weights_give_plain_shares(seed, n, blocks) -> None:
    rng = np.random.default_rng(seed)
    n_frames = rng.integers(1, 9, n) if blocks else np.ones(n, dtype=int)
    labels = rng.choice(STATES, n_frames.sum())
    found = populations(labels, rng.dirichlet(np.full(n, 0.5)), n_frames)
    assert sum(one.population for one in found) == pytest.approx(1, abs=1e-12)
    assert sum(one.prior for one in found) == pytest.approx(1, abs=1e-12)
    for one in found:
        # Blocks weigh as many frames as they hold, so the prior is the plain share of frames.
        assert one.prior == pytest.approx(np.mean(labels == one.label), abs=1e-12)
        assert one.n_frames == np.count_nonzero(labels == one.label)


def test_populations_are_sums_of_the_weights_of_their_frames() -> None:
    rng = np.random.default_rng(0)
    labels, weights = rng.choice(STATES, 50), rng.dirichlet(np.ones(50))
    for one in populations(labels, weights):
        assert one.population == pytest.approx(weights[labels == one.label].sum(), abs=1e-14)
    by_member = populations(labels, weights, np.full(50, 4))
    for one, other in zip(by_member, populations(labels, weights), strict=True):
        assert one.population == other.population
        assert one.n_frames == 4 * other.n_frames


def test_blocks_that_hold_one_state_each_say_what_their_frames_say() -> None:
    state = np.repeat(two_state_chain(300, (0.1, 0.2), seed=1), 10)
    weights = np.random.default_rng(1).dirichlet(np.full(300, 5.0))
    blocks = populations(state, weights, np.full(300, 10))
    frames = populations(state, np.repeat(weights / 10, 10))
    for block, frame in zip(blocks, frames, strict=True):
        assert block.label == frame.label
        assert block.population == pytest.approx(frame.population, abs=1e-12)
        assert block.n_frames == frame.n_frames
        # Ten frames of a block are not ten times the evidence.
        assert frame.inefficiency == pytest.approx(10 * block.inefficiency, rel=0.1)
        assert frame.error_time == pytest.approx(block.error_time, rel=0.05)
        assert frame.n_effective == pytest.approx(block.n_effective, rel=0.1)


def test_errors_grow_by_the_root_of_the_inefficiency() -> None:
    rng = np.random.default_rng(2)
    state = two_state_chain(2000, (0.02, 0.03), seed=2)
    weights = rng.dirichlet(np.full(2000, 3.0))
    order = rng.permutation(2000)
    ordered, mixed = populations(state, weights), populations(state[order], weights[order])
    for one, other in zip(ordered, mixed, strict=True):
        assert one.population == pytest.approx(other.population, abs=1e-12)
        assert one.inefficiency > 20 > 2 > other.inefficiency
        assert one.error_time / other.error_time == pytest.approx(
            np.sqrt(one.inefficiency / other.inefficiency), rel=1e-9
        )
        deviation = (state == int(one.label)) - one.population
        assert one.error_time**2 == pytest.approx(
            statistical_inefficiency(state) * np.sum(weights**2 * deviation**2), rel=1e-9
        )


def errors_and_spread(favour: float, noise: float) -> tuple[float, float, float]:
    """Mean error of 400 simulations, the spread of their populations, mean n Σw²."""
    found, kish = [], []
    for seed in range(400):
        state = two_state_chain(1000, (0.05, 0.1), seed=seed)
        drawn = np.random.default_rng(seed + 1000).normal(size=1000)
        weights = np.exp(favour * state + noise * drawn)
        weights /= weights.sum()
        found.append(populations(state, weights)[1])
        kish.append(1000 * np.sum(weights**2))
    # The spread of the plain populations, of which the error is known as well.
    assert np.mean([one.prior_error for one in found]) == pytest.approx(
        np.std([one.prior for one in found]), rel=0.12
    )
    spread = np.std([one.population for one in found])
    return float(np.mean([one.error_time for one in found])), float(spread), float(np.mean(kish))


@pytest.mark.parametrize("favour", [-1.0, 1.5])
def test_errors_in_time_come_true_in_simulations_that_are_repeated(favour: float) -> None:
    error, spread, _ = errors_and_spread(favour, noise=0.0)
    # The spread of 400 is sure to 4 %; without g the error would be a quarter of it.
    assert error == pytest.approx(spread, rel=0.12)


def test_errors_are_on_the_safe_side_where_weights_vary_faster_than_states() -> None:
    error, spread, kish = errors_and_spread(0.0, noise=0.8)
    assert kish > 1.5
    assert 1 < error / spread < 1.1 * np.sqrt(kish)


def test_errors_of_the_data_are_the_spread_of_the_draws_and_add_in_quadrature() -> None:
    rng = np.random.default_rng(3)
    labels, weights = rng.choice(STATES[:2], 40), rng.dirichlet(np.ones(40))
    draws = rng.dirichlet(weights * 500 + 0.1, 60)
    for one in populations(labels, weights, draws=draws):
        drawn = [row[labels == one.label].sum() for row in draws]
        assert one.error_data == pytest.approx(np.std(drawn, ddof=1), rel=1e-12)
        assert one.error == pytest.approx(np.sqrt(one.error_time**2 + one.error_data**2))
    for one in populations(labels, weights):
        assert np.isnan(one.error_data)
        assert one.error == one.error_time > 0


def test_a_state_that_was_never_left_has_one_value_behind_it() -> None:
    (only,) = populations(np.full(20, "A"), equal(20))
    assert only.error_time == 0
    assert (only.population, only.n_effective) == (pytest.approx(1), pytest.approx(1))


def test_states_stand_in_the_order_of_numbers_or_of_the_alphabet() -> None:
    names, shares = state_shares([10, 2, -1, 2], np.array([2, 2]))  # type: ignore[list-item]
    assert names == ("-1", "2", "10")
    assert shares.tolist() == [[0, 0.5, 0.5], [0.5, 0.5, 0]]
    assert state_shares(["b", "10", "a"], np.ones(3, int))[0] == ("10", "a", "b")


def test_labels_that_do_not_fit_are_refused_with_both_counts() -> None:
    with pytest.raises(InputError, match="7 labels for 12 frames in 3 members"):
        populations(np.full(7, "A"), equal(3), np.full(3, 4))
    with pytest.raises(InputError, match="0 labels for 3 frames"):
        populations(np.zeros(0, str), equal(3))
    with pytest.raises(InputError, match=r"empty; found label 1 \(counting from 0\) of 3"):
        populations(np.array(["A", " ", "B"]), equal(3))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"weights": equal(4)}, r"shape \(4,\) summing to 1 for 3 members"),
        ({"weights": np.array([1.0, -1.0, 1.0])}, "non-negative"),
        ({"weights": np.array([1.0, np.nan, 1.0])}, "non-negative"),
        ({"n_frames": np.array([1, 0, 1])}, "at least one frame"),
        ({"draws": np.ones((5, 4))}, r"shape \(5, 4\) for 3 members"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, what) -> None:
    arguments = {"weights": equal(3), "n_frames": np.ones(3, int), "draws": None} | change
    with pytest.raises(InputError, match=what):
        state_populations(
            np.array(["A", "B", "A"]),
            arguments["weights"],
            equal(3),
            arguments["n_frames"],
            arguments["draws"],
        )
