"""Every target: gradient against differences, invariances, and independent computations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_states import frame_sums, mixed_map

from unstill.errors import InputError
from unstill.maps.correlation import correlate
from unstill.maps.members import BlockMembers
from unstill.maps.symmetrize import symmetrize
from unstill.weighting.agreement import correlations
from unstill.weighting.backends import weighting_backend
from unstill.weighting.forward import weighted_intensity
from unstill.weighting.objective import Objective
from unstill.weighting.prepare import Prepared, map_of_orbits, prepare
from unstill.weighting.problems import Problems
from unstill.weighting.targets import TARGETS, AutodiffTarget, ChiSquare, Target

SHORT = {"d_min": 3.0}
BACKEND = weighting_backend()


@pytest.fixture(scope="module")
def ready() -> Prepared:
    observed = mixed_map(noise=0.01, n_frames=60, **SHORT)
    return prepare(BlockMembers(frame_sums(12, **SHORT)), observed, dtype="float64")


@pytest.fixture(scope="module")
def problems(ready: Prepared) -> Problems:
    data = ready.observed
    rng = np.random.default_rng(0)
    return Problems.of(
        [data, data.permuted(1)], [rng.random(data.orbits.n_orbits) < 0.8 for _ in range(2)]
    )


@pytest.fixture(scope="module")
def x(ready: Prepared) -> np.ndarray:
    w = np.random.default_rng(1).random((2, 12))
    return weighted_intensity(ready.table, w / w.sum(axis=1, keepdims=True))[0]


@pytest.mark.parametrize("name", list(TARGETS))
def test_gradient_to_the_intensity_is_that_of_differences(
    name: str, problems: Problems, x: np.ndarray
) -> None:
    target = TARGETS[name].prepare(problems, BACKEND)
    both = np.arange(2)
    _, gradient = target.value_and_gradient(x, both)
    rng = np.random.default_rng(2)
    for _ in range(5):
        direction = rng.normal(size=x.shape) * x.std()
        step = 1e-6
        above, below = (
            target.value_and_gradient(x + sign * step * direction, both)[0] for sign in (1, -1)
        )
        expected = (above - below) / (2 * step)
        found = np.sum(gradient * direction, axis=1)
        size = np.sum(np.abs(gradient * direction), axis=1)
        assert np.all(np.abs(found - expected) <= 1e-6 * size)


@pytest.mark.parametrize("name", list(TARGETS))
@pytest.mark.parametrize("theta", [0.0, 0.3])
def test_gradient_of_the_whole_objective_is_that_of_differences(
    name: str, theta: float, ready: Prepared, problems: Problems
) -> None:
    evaluate = Objective(ready.table, TARGETS[name]).evaluation(problems, np.full(2, theta))
    logits = np.random.default_rng(4).normal(size=(2, 12))
    _, gradient = evaluate(logits, np.arange(2))
    step = 1e-5
    for member in range(12):
        shift = np.zeros(12)
        shift[member] = step
        above, below = (evaluate(logits + sign * shift, np.arange(2))[0] for sign in (1, -1))
        expected = (above - below) / (2 * step)
        scale = np.abs(gradient).max(axis=1)
        assert np.all(np.abs(gradient[:, member] - expected) <= 1e-6 * scale)


@pytest.mark.parametrize("name", list(TARGETS))
def test_scale_of_the_model_does_not_matter(name: str, problems: Problems, x: np.ndarray) -> None:
    target = TARGETS[name].prepare(problems, BACKEND)
    value, gradient = target.value_and_gradient(x, np.arange(2))
    again, _ = target.value_and_gradient(7.5 * x, np.arange(2))
    np.testing.assert_allclose(again, value, rtol=1e-9)
    # Hence the gradient has no part along x.
    assert np.all(np.abs(np.sum(gradient * x, axis=1)) < 1e-7 * np.sum(np.abs(gradient * x), 1))


@pytest.mark.parametrize("name", ["chi2", "likelihood", "cc-aniso"])
def test_smooth_isotropic_background_does_not_matter(
    name: str, problems: Problems, x: np.ndarray
) -> None:
    target = TARGETS[name].prepare(problems, BACKEND)
    s = problems.observed.orbits.s
    value, _ = target.value_and_gradient(x, np.arange(2))
    again, _ = target.value_and_gradient(x + x.mean() * (1 + (s / s.max()) ** 2), np.arange(2))
    np.testing.assert_allclose(again, value, rtol=4e-3)
    total = TARGETS["cc"].prepare(problems, BACKEND)
    assert np.all(
        np.abs(
            total.value_and_gradient(x + x.mean() * (s / s.max()) ** 2, np.arange(2))[0]
            - total.value_and_gradient(x, np.arange(2))[0]
        )
        > 0.005
    )


def test_chi_square_is_that_of_a_plain_least_squares_fit(
    problems: Problems, x: np.ndarray
) -> None:
    found, _ = ChiSquare().prepare(problems, BACKEND).value_and_gradient(x, np.arange(2))
    for row in range(2):
        used = problems.work[row] > 0
        root = np.sqrt(problems.precision[row, used])
        columns = np.column_stack([x[row, used], problems.observed.interpolation[used]])
        y = problems.intensity[row, used] * root
        solution, *_ = np.linalg.lstsq(columns * root[:, None], y, rcond=None)
        if solution[0] < 0:
            columns[:, 0] = 0
            solution, *_ = np.linalg.lstsq(columns * root[:, None], y, rcond=None)
        residual = y - (columns * root[:, None]) @ solution
        assert found[row] == pytest.approx(residual @ residual / (2 * used.sum()), rel=1e-8)


def test_likelihood_is_half_the_logarithm_of_chi_square(problems: Problems, x: np.ndarray) -> None:
    half, _ = TARGETS["chi2"].prepare(problems, BACKEND).value_and_gradient(x, np.arange(2))
    found, _ = TARGETS["likelihood"].prepare(problems, BACKEND).value_and_gradient(x, np.arange(2))
    np.testing.assert_allclose(found, np.log(2 * half) / 2, rtol=1e-12)


def test_fixed_scale_sees_absolute_intensities(problems: Problems, x: np.ndarray) -> None:
    target = ChiSquare(scale=1.0).prepare(problems, BACKEND)
    value, _ = target.value_and_gradient(x, np.arange(2))
    assert np.all(target.value_and_gradient(3 * x, np.arange(2))[0] > value)


def test_correlations_are_those_of_a_comparison_of_maps(ready: Prepared, x: np.ndarray) -> None:
    data = ready.observed
    everything = np.ones((1, data.orbits.n_orbits))
    total, aniso = correlations(x[:1], [data], everything)[0]
    calculated = map_of_orbits(data.orbits, x[0])
    found = correlate(calculated, symmetrize(ready.observed_map, expand=True))
    assert total == pytest.approx(found.cc_total, abs=1e-9)
    assert aniso == pytest.approx(found.cc_aniso, abs=1e-9)


def test_cross_entropy_is_that_of_normalised_maps(problems: Problems, x: np.ndarray) -> None:
    found, _ = TARGETS["cross-entropy"].prepare(problems, BACKEND).value_and_gradient(x, [0, 1])
    for row in range(2):
        used = problems.work[row] > 0
        size = problems.observed.multiplicity[used]
        y, q = np.maximum(problems.intensity[row, used], 1e-300), x[row, used]
        p, q = y / (size @ y), q / (size @ q)
        assert found[row] == pytest.approx(float(size @ (p * np.log(p / q))), rel=1e-8)
        assert found[row] > 0
    same, _ = (
        TARGETS["cross-entropy"]
        .prepare(problems, BACKEND)
        .value_and_gradient(np.maximum(problems.intensity, 0), [0, 1])
    )
    np.testing.assert_allclose(same, 0, atol=1e-12)


def test_cross_entropy_refuses_negative_data(problems: Problems) -> None:
    negative = Problems(
        problems.observed, problems.intensity - 1e6, problems.precision, problems.work
    )
    with pytest.raises(InputError, match="too many are negative"):
        TARGETS["cross-entropy"].prepare(negative, BACKEND)


@pytest.mark.parametrize("name", list(TARGETS))
@pytest.mark.parametrize("library", ["jax", "torch"])
def test_the_same_lines_run_elsewhere(
    name: str, library: str, problems: Problems, x: np.ndarray
) -> None:
    pytest.importorskip(library)
    backend = weighting_backend(library)
    here = TARGETS[name].prepare(problems, BACKEND).value_and_gradient(x, np.arange(2))
    with backend.scope():
        there = TARGETS[name].prepare(problems, backend)
        value, gradient = there.value_and_gradient(backend.array(x), np.arange(2))
        value, gradient = backend.to_host(value), backend.to_host(gradient)
    np.testing.assert_allclose(value, here[0], rtol=1e-9)
    np.testing.assert_allclose(gradient, here[1], rtol=1e-6, atol=1e-9 * np.abs(here[1]).max())


def test_automatic_differentiation_gives_the_closed_form_of_chi_square(
    problems: Problems, x: np.ndarray
) -> None:
    jnp = pytest.importorskip("jax.numpy")
    basis = problems.observed.interpolation
    basis = basis[:, np.abs(basis[problems.work.min(axis=0) > 0]).sum(axis=0) > 0]

    def loss(x, y, weight, s):  # type: ignore[no-untyped-def]
        # Scale and curve by least squares, differentiated through.
        b = jnp.asarray(basis)
        gram = b.T @ (weight[:, None] * b)

        def without_curve(values):  # type: ignore[no-untyped-def]
            return values - b @ jnp.linalg.solve(gram, b.T @ (weight * values))

        x, y = without_curve(x), without_curve(y)
        k = jnp.maximum((weight * x * y).sum() / (weight * x * x).sum(), 0)
        return (weight * (y - k * x) ** 2).sum() / (2 * (weight > 0).sum())

    assert_equal_to_autodiff(ChiSquare(), loss, problems, x)


def test_automatic_differentiation_gives_the_closed_form_of_the_correlation(
    problems: Problems, x: np.ndarray
) -> None:
    jnp = pytest.importorskip("jax.numpy")
    size = problems.observed.multiplicity

    def loss(x, y, weight, s):  # type: ignore[no-untyped-def]
        p = (weight > 0) * jnp.asarray(size)
        xc, yc = x - (p * x).sum() / p.sum(), y - (p * y).sum() / p.sum()
        return 1 - (p * xc * yc).sum() / jnp.sqrt((p * xc**2).sum() * (p * yc**2).sum())

    assert_equal_to_autodiff(TARGETS["cc"], loss, problems, x)


def assert_equal_to_autodiff(
    closed: Target, loss: Callable[..., Any], problems: Problems, x: np.ndarray
) -> None:
    value, gradient = closed.prepare(problems, BACKEND).value_and_gradient(x, np.arange(2))
    auto = AutodiffTarget(loss).prepare(problems, BACKEND)
    their_value, their_gradient = auto.value_and_gradient(x, np.arange(2))
    np.testing.assert_allclose(their_value, value, rtol=1e-5)
    assert np.abs(their_gradient - gradient).max() <= 1e-5 * np.abs(gradient).max()


def test_a_target_of_ones_own_comes_from_a_file(tmp_path: Path, problems: Problems) -> None:
    pytest.importorskip("jax")
    file = tmp_path / "mine.py"
    file.write_text(
        "def loss(x, y, weight, s):\n    return (weight * (y - x) ** 2).sum() / 2\n",
        encoding="utf-8",
    )
    target = AutodiffTarget.from_file(f"{file}:loss").prepare(problems, BACKEND)
    x = problems.intensity + 1.0
    value, gradient = target.value_and_gradient(x, np.arange(2))
    weight = problems.work * problems.precision
    np.testing.assert_allclose(value, weight.sum(axis=1) / 2, rtol=1e-12)
    np.testing.assert_allclose(gradient, weight, rtol=1e-12)
    with pytest.raises(InputError, match="no such function"):
        AutodiffTarget.from_file(f"{file}:other")
    with pytest.raises(InputError, match="no such target"):
        AutodiffTarget.from_file("absent.py:loss")
