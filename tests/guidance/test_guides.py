"""Guides against the closed form: Gaussian prior, linear data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import InputError
from unstill.guidance.guides.dps import DpsOnX0, DpsOnXt
from unstill.guidance.guides.feynman_kac import FeynmanKac, Particles
from unstill.guidance.guides.proximal import Proximal
from unstill.guidance.guides.steering import Steering
from unstill.guidance.levels import karras_levels
from unstill.guidance.observables.distances import Distances
from unstill.guidance.priors.elastic import ElasticPrior
from unstill.guidance.protocols import EnsembleState, Evaluation
from unstill.guidance.samplers import OdeHeun, ReverseSde

REFERENCE = np.array([[0.0, 0.0, 0.0], [1.5, 0.2, 0.1], [2.6, 1.2, -0.3], [3.8, 0.9, 0.8]])


@dataclass(frozen=True, eq=False)
class Linear:
    """Data y = A x + noise of s.d. sigma, of the mean structure."""

    matrix: np.ndarray
    observed: np.ndarray
    sigma: float

    def value_and_grad(self, state: EnsembleState, resolution: float) -> Evaluation:
        mean = np.tensordot(state.weights, state.coord, axes=1).ravel()
        residual = (self.matrix @ mean - self.observed) / self.sigma
        by_mean = (self.matrix.T @ residual / self.sigma).reshape(-1, 3)
        diagonal = ((self.matrix / self.sigma) ** 2).sum(axis=0).reshape(-1, 3).mean(axis=1)
        return Evaluation(
            0.5 * float(residual @ residual),
            state.weights[:, None, None] * by_mean,
            state.coord.reshape(state.n_members, -1) @ by_mean.ravel(),
            np.zeros_like(state.b_factor),
            state.weights[:, None] ** 2 * diagonal,
        )


def problem() -> tuple[ElasticPrior, Linear, np.ndarray, np.ndarray]:
    """Prior, data, and the closed form: mean and covariance of the posterior."""
    prior = ElasticPrior(REFERENCE, stiffness=4.0, covalent=30.0, anchor=3.0)
    rng = np.random.default_rng(11)
    matrix = rng.normal(size=(3, 12)) / np.sqrt(12)
    sigma = 0.12
    observed = matrix @ (REFERENCE.ravel() + rng.normal(0, 0.4, 12))
    precision = prior.hessian.toarray() + matrix.T @ matrix / sigma**2
    covariance = np.linalg.inv(precision)
    right = prior.hessian @ REFERENCE.ravel() + matrix.T @ observed / sigma**2
    return prior, Linear(matrix, observed, sigma), covariance @ right, covariance


def pooled(runs: list[Particles]) -> tuple[np.ndarray, np.ndarray]:
    evidence = np.array([run.log_evidence for run in runs])
    share = np.exp(evidence - evidence.max())
    x = np.concatenate([run.coord.reshape(len(run.weights), -1) for run in runs])
    weights = np.concatenate([w * run.weights for w, run in zip(share, runs, strict=True)])
    weights /= weights.sum()
    mean = weights @ x
    return mean, (x - mean).T @ ((x - mean) * weights[:, None])


def test_feynman_kac_reaches_the_closed_form() -> None:
    prior, data, mean, covariance = problem()
    steering = Steering(data, spread=1.0)
    kernel = ReverseSde(karras_levels(4.0, 0.02, 60))
    runs = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        start = prior.sample_init(64, 4.0, rng)[:, None]
        runs.append(FeynmanKac(kernel, steering).sample(prior, start, rng))
    found_mean, found_covariance = pooled(runs)
    # The mean is off by less than 2 % of what the data moved it by, and of its own size.
    assert np.linalg.norm(found_mean - mean) <= 0.02 * np.linalg.norm(mean)
    off = np.linalg.norm(found_covariance - covariance) / np.linalg.norm(covariance)
    assert off <= 0.10
    unguided = np.linalg.norm(REFERENCE.ravel() - mean)
    assert np.linalg.norm(found_mean - mean) <= 0.3 * unguided
    assert all(run.n_resamplings < 60 for run in runs)


def test_equal_losses_never_resample_and_weights_stay_equal() -> None:
    prior, _, _, _ = problem()
    nothing = Linear(np.zeros((1, 12)), np.zeros(1), 1.0)
    rng = np.random.default_rng(0)
    start = prior.sample_init(16, 4.0, rng)[:, None]
    kernel = ReverseSde(karras_levels(4.0, 0.02, 30))
    found = FeynmanKac(kernel, Steering(nothing)).sample(prior, start, rng)
    assert found.n_resamplings == 0
    np.testing.assert_allclose(found.weights, 1 / 16)
    # The same random numbers without steering give the same bits.
    again = np.random.default_rng(0)
    start = prior.sample_init(16, 4.0, again)
    assert np.array_equal(kernel.sample(prior, start, again), found.coord[:, 0])


def test_steering_needs_a_density() -> None:
    _, data, _, _ = problem()
    with pytest.raises(InputError, match="steps with a density") as told:
        FeynmanKac(OdeHeun(karras_levels(4.0, 0.02, 30)), Steering(data))
    assert "ReverseSde" in str(told.value.fix)
    with pytest.raises(InputError, match="ends at"):
        FeynmanKac(ReverseSde(karras_levels(4.0, 0.02, 9, to_zero=False)), Steering(data)).sample(
            ElasticPrior(REFERENCE), np.zeros((2, 1, 4, 3)), np.random.default_rng(0)
        )


@pytest.mark.parametrize("make", [DpsOnX0, DpsOnXt, Proximal])
def test_strength_zero_is_the_prior_to_the_bit(make: type[DpsOnX0]) -> None:
    prior, data, _, _ = problem()
    x = prior.sample_init(5, 2.0, np.random.default_rng(3))
    sampler = OdeHeun(karras_levels(2.0, 0.02, 20))
    guided = sampler.sample(make(prior, Steering(data, strength=0)), x, np.random.default_rng(0))
    assert np.array_equal(guided, sampler.sample(prior, x, np.random.default_rng(0)))


class Alone:
    """A guide asked about one member at a time, as the closed form has it."""

    def __init__(self, guide: DpsOnX0) -> None:
        self.guide = guide

    def denoise(self, x: np.ndarray, sigma: float) -> np.ndarray:
        return np.concatenate([self.guide.denoise(member[None], sigma) for member in x])


@pytest.mark.parametrize("make", [DpsOnX0, DpsOnXt, Proximal])
def test_the_dps_family_nears_the_posterior(make: type[DpsOnX0]) -> None:
    prior, data, mean, covariance = problem()
    rng = np.random.default_rng(4)
    x = prior.sample_init(300, 4.0, rng)
    sampler = OdeHeun(karras_levels(4.0, 0.02, 40))
    guide = Alone(make(prior, Steering(data, spread=0.5)))
    found = sampler.sample(guide, x, rng).reshape(300, -1)
    # Along what was measured the mean is reached; the spread is right within sampling noise.
    deviation = (data.matrix @ found.mean(axis=0) - data.observed) / data.sigma
    unguided = (data.matrix @ REFERENCE.ravel() - data.observed) / data.sigma
    assert np.linalg.norm(deviation) <= 0.2 * np.linalg.norm(unguided)
    total = np.cov(found.T).trace() / covariance.trace()
    assert 0.85 <= total <= 1.2
    standard_error = np.sqrt(covariance.trace() / 300)
    assert np.linalg.norm(found.mean(axis=0) - mean) <= 3 * standard_error


def test_a_guided_denoiser_is_a_denoiser() -> None:
    prior, data, _, _ = problem()
    x = prior.sample_init(3, 1.0, np.random.default_rng(3))
    inner = DpsOnX0(prior, Steering(data))
    outer = Proximal(inner, Steering(data))
    lower = [
        data.value_and_grad(EnsembleState(g.denoise(x, 0.5), np.full(3, 1 / 3), np.zeros(4)), 2.0)
        for g in (prior, inner, outer)
    ]
    assert lower[0].loss > lower[1].loss > lower[2].loss


def test_guidance_on_x_t_needs_a_pullback() -> None:
    prior, data, _, _ = problem()
    with pytest.raises(InputError, match="no pullback"):
        DpsOnXt(DpsOnX0(prior, Steering(data)), Steering(data))
    with pytest.raises(InputError, match="strength"):
        Steering(data, strength=-1)


@given(seed=st.integers(0, 200), power=st.sampled_from([6.0, 3.0, -1.0]))
def test_gradients_of_distances(seed: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.array([[0, 1], [1, 3], [0, 3]])
    data = Distances(pairs, rng.uniform(2, 6, 3), rng.uniform(0.2, 1, 3), power)
    coord = rng.uniform(0, 8, (3, 4, 3))
    weights = rng.dirichlet(np.ones(3))
    b = np.full(4, 20.0)
    found = data.value_and_grad(EnsembleState(coord, weights, b), 2.0)
    along, step = rng.normal(size=coord.shape), 1e-6

    def loss(coord: np.ndarray, weights: np.ndarray) -> float:
        return data.value_and_grad(EnsembleState(coord, weights, b), 2.0).loss

    numeric = (loss(coord + step * along, weights) - loss(coord - step * along, weights)) / (
        2 * step
    )
    scale = np.linalg.norm(found.coord) * np.linalg.norm(along)
    assert abs((found.coord * along).sum() - numeric) <= 1e-5 * scale + 1e-7
    lean = rng.normal(size=3)
    numeric = (loss(coord, weights + step * lean) - loss(coord, weights - step * lean)) / (
        2 * step
    )
    assert (
        abs(found.weights @ lean - numeric)
        <= 1e-5 * (np.linalg.norm(found.weights) * np.linalg.norm(lean)) + 1e-7
    )
