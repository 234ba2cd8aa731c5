"""Softmax, and the searches for a minimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from unstill.weighting.adam import adam
from unstill.weighting.lbfgs import minimise
from unstill.weighting.softmax import (
    n_effective,
    n_effective_kl,
    relative_entropy,
    softmax,
    to_logits,
)

logits = arrays(float, (2, 9), elements=st.floats(-400, 400))


@given(logits)
def test_weights_sum_to_one_whatever_the_logits(g: np.ndarray) -> None:
    w = softmax(g)
    assert np.all(w >= 0)
    np.testing.assert_allclose(w.sum(axis=1), 1, rtol=0, atol=1e-12)


@given(logits, st.floats(-50, 50))
def test_weights_do_not_feel_a_constant(g: np.ndarray, shift: float) -> None:
    np.testing.assert_allclose(softmax(g + shift), softmax(g), atol=1e-12)


@given(
    arrays(float, 7, elements=st.floats(1e-3, 1)), arrays(float, 7, elements=st.floats(1e-3, 1))
)
def test_relative_entropy_and_effective_numbers(w: np.ndarray, prior: np.ndarray) -> None:
    w, prior = w / w.sum(), prior / prior.sum()
    kl = relative_entropy(w[None], prior)[0]
    assert kl >= 0
    assert kl == pytest.approx(float(np.sum(w * np.log(w / prior))), abs=1e-12)
    assert n_effective_kl(w, prior) == pytest.approx(7 * np.exp(-kl))
    assert 1 - 1e-9 <= n_effective(w) <= 7 + 1e-9
    assert n_effective_kl(prior, prior) == pytest.approx(7)


def test_gradient_goes_through_the_softmax() -> None:
    rng = np.random.default_rng(0)
    g, direction = rng.normal(size=(1, 6)), rng.normal(size=6)
    found = to_logits(softmax(g), direction[None])[0]
    step = 1e-6
    for i in range(6):
        shift = step * np.eye(6)[i]
        expected = (softmax(g + shift) - softmax(g - shift))[0] @ direction / (2 * step)
        assert found[i] == pytest.approx(expected, rel=1e-7, abs=1e-10)


def rosenbrock(x: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = 1.0 + which
    value = (a - x[:, 0]) ** 2 + 100 * (x[:, 1] - x[:, 0] ** 2) ** 2
    slope = np.stack(
        [
            -2 * (a - x[:, 0]) - 400 * x[:, 0] * (x[:, 1] - x[:, 0] ** 2),
            200 * (x[:, 1] - x[:, 0] ** 2),
        ],
        axis=1,
    )
    return value, slope


def test_problems_side_by_side_end_where_each_alone_would() -> None:
    start = np.array([[-1.2, 1.0], [2.0, -1.0], [0.5, 0.5]])
    together = minimise(rosenbrock, start, max_iterations=200, tolerance=1e-14)
    for number in range(3):

        def alone(x: np.ndarray, which: np.ndarray, number: int = number) -> tuple:
            return rosenbrock(x, which + number)

        single = minimise(alone, start[number : number + 1], max_iterations=200, tolerance=1e-14)
        np.testing.assert_array_equal(single.point[0], together.point[number])
        a = 1.0 + number
        np.testing.assert_allclose(together.point[number], [a, a * a], rtol=1e-4)
    assert together.converged.all()


def test_minimum_is_that_of_scipy_on_a_badly_scaled_quadratic() -> None:
    rng = np.random.default_rng(1)
    scales = np.logspace(0, 4, 30)
    turn = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    matrix = turn @ np.diag(scales) @ turn.T
    right = rng.normal(size=30)

    def evaluate(x: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 0.5 * np.sum(x @ matrix * x, axis=1) - x @ right, x @ matrix - right

    found = minimise(evaluate, np.zeros((1, 30)), max_iterations=500, tolerance=1e-12)
    theirs = minimize(
        lambda x: tuple(part[0] for part in evaluate(x[None], np.zeros(1))),
        np.zeros(30),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500},
    )
    exact = np.linalg.solve(matrix, right)
    assert found.value[0] <= theirs.fun + 1e-6
    np.testing.assert_allclose(found.point[0], exact, atol=2e-3)


def test_a_metric_that_knows_the_scales_saves_steps() -> None:
    scales = np.logspace(0, 6, 40)

    def evaluate(x: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sum(scales * (x - 1) ** 2, axis=1), 2 * scales * (x - 1)

    start = np.zeros((1, 40))
    plain = minimise(evaluate, start, max_iterations=300)
    known = minimise(evaluate, start, max_iterations=300, metric=lambda x: 1 / scales + 0 * x)
    assert known.iterations[0] <= 3 < plain.iterations[0]
    np.testing.assert_allclose(known.point, 1, rtol=1e-6)


def test_a_function_that_is_not_finite_is_stepped_back_from() -> None:
    def evaluate(x: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return x[:, 0] - np.log(x[:, 0]), 1 - 1 / x

    found = minimise(evaluate, np.array([[0.05]]), first_step=5.0)
    assert found.point[0, 0] == pytest.approx(1, abs=1e-3)


def test_a_start_at_the_minimum_takes_no_step() -> None:
    found = minimise(rosenbrock, np.array([[1.0, 1.0]]))
    assert found.iterations[0] == 0
    assert found.converged[0]


def test_adam_returns_the_best_point_on_its_way() -> None:
    def evaluate(x: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sum((x - 3) ** 2, axis=1), 2 * (x - 3)

    found = adam(evaluate, np.zeros((2, 3)), n_steps=400, learning_rate=0.1)
    np.testing.assert_allclose(found.point, 3, atol=0.02)
    np.testing.assert_allclose(found.value, evaluate(found.point, np.arange(2))[0])
