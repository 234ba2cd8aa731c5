"""Samplers against the exact Gaussian: variance of every mode by linear propagation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import InputError
from unstill.guidance.levels import af3_levels, karras_levels
from unstill.guidance.priors.elastic import ElasticPrior
from unstill.guidance.protocols import Differentiable, Prior
from unstill.guidance.samplers import Af3, AnnealedLangevin, ChurnedHeun, OdeHeun, ReverseSde


class Modes:
    """Exact denoiser of independent modes, as coordinates of a single atom row."""

    def __init__(self, variances: np.ndarray) -> None:
        self.variances = variances

    def denoise(self, x: np.ndarray, sigma: float) -> np.ndarray:
        return x * (self.variances / (self.variances + sigma**2))


class Impulses:
    """Draws noise of one for one member after another: member k feels the draw k alone."""

    def __init__(self) -> None:
        self.drawn = 0

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        self.drawn += 1
        noise = np.zeros(shape)
        noise[self.drawn] = 1.0
        return noise


def recovered(sampler: object, variances: np.ndarray, n_draws: int) -> np.ndarray:
    """Variance of every mode at the end over the true one; exact, since all is linear."""
    first = float(sampler.levels[0])  # type: ignore[attr-defined]
    x = np.zeros((n_draws + 1, len(variances)))
    x[0] = np.sqrt(variances + first**2)
    impulses = Impulses()
    end = sampler.sample(Modes(variances), x, impulses)  # type: ignore[attr-defined]
    assert impulses.drawn <= n_draws
    return (end**2).sum(axis=0) / variances


def chain(n: int = 120) -> ElasticPrior:
    """An elastic network of a globular bundle of atoms, 1.5 Å apart along a walk."""
    rng = np.random.default_rng(5)
    places = [np.zeros(3)]
    while len(places) < n:
        step = rng.normal(size=3) - 0.15 * places[-1]
        new = places[-1] + 1.5 * step / np.linalg.norm(step)
        if np.linalg.norm(np.array(places) - new, axis=1).min() > 1.4:
            places.append(new)
    # Root mean square displacement of 0.35 Å: the share AF3 keeps depends on it, 0.33 to 0.45.
    return ElasticPrior(np.array(places), anchor=0.5)


@pytest.fixture(scope="module")
def network() -> ElasticPrior:
    return chain()


def test_heun_keeps_the_variance_of_all_and_of_the_softest_modes(network: ElasticPrior) -> None:
    variances = network.variances()
    for n_steps in (60, 100):
        ratio = recovered(OdeHeun(karras_levels(30.0, 0.01, n_steps)), variances, 0)
        assert (ratio * variances).sum() / variances.sum() == pytest.approx(1, abs=0.03)
        np.testing.assert_allclose(ratio[:20], 1, atol=0.03)


def test_af3_settings_lose_more_than_half_of_it(network: ElasticPrior) -> None:
    variances = network.variances()
    ratio = recovered(Af3(), variances, 200)
    total = (ratio * variances).sum() / variances.sum()
    assert 0.36 <= total <= 0.44
    assert ratio[-1] < 0.05


@pytest.mark.parametrize(
    ("sampler", "n_draws", "tolerance"),
    [
        (ReverseSde(karras_levels(30.0, 0.01, 300)), 300, 0.05),
        (ChurnedHeun(karras_levels(30.0, 0.01, 100), churn=0.1), 100, 0.05),
        (AnnealedLangevin(karras_levels(30.0, 0.01, 60), n_moves=5, step=0.05), 300, 0.1),
    ],
)
def test_the_others_keep_it_nearly(
    network: ElasticPrior, sampler: object, n_draws: int, tolerance: float
) -> None:
    variances = network.variances()
    ratio = recovered(sampler, variances, n_draws)
    assert (ratio * variances).sum() / variances.sum() == pytest.approx(1, abs=tolerance)
    np.testing.assert_allclose(ratio[:20], 1, atol=tolerance)


def test_af3_levels_are_the_formula() -> None:
    levels = af3_levels(200)
    assert levels[0] == pytest.approx(2560)
    assert levels[-1] == pytest.approx(0.0064)
    k = 77
    formula = 16 * (160 ** (1 / 7) + k / 200 * (4e-4 ** (1 / 7) - 160 ** (1 / 7))) ** 7
    assert levels[k] == pytest.approx(formula, rel=1e-12)


class Target:
    def __init__(self, place: np.ndarray) -> None:
        self.place = place

    def denoise(self, x: np.ndarray, sigma: float) -> np.ndarray:
        return np.broadcast_to(self.place, x.shape)


@pytest.mark.parametrize(
    "sampler",
    [
        Af3(),
        OdeHeun(karras_levels(30.0, 0.01, 40)),
        ReverseSde(karras_levels(30.0, 0.01, 40)),
        ChurnedHeun(karras_levels(30.0, 0.01, 40)),
    ],
)
def test_a_fixed_target_is_reached_and_seeds_give_bits(sampler: OdeHeun) -> None:
    place = np.arange(12.0).reshape(4, 3)
    start = place + sampler.levels[0] * np.random.default_rng(1).standard_normal((3, 4, 3))
    ends = [sampler.sample(Target(place), start, np.random.default_rng(seed)) for seed in (7, 7)]
    assert np.sqrt(((ends[0] - place) ** 2).sum(axis=-1).mean()) <= 1e-3
    assert np.array_equal(*ends)


def test_the_network_is_the_gaussian_that_it_says(network: ElasticPrior) -> None:
    assert isinstance(network, Prior)
    assert isinstance(network, Differentiable)
    rng = np.random.default_rng(0)
    drawn = network.sample(4000, rng)
    # The energy of a Gaussian in 3n dimensions: mean 3n/2, variance 3n/2.
    n = 3 * network.n_atoms
    energy = network.energy(drawn)
    assert energy.mean() == pytest.approx(n / 2, abs=5 * np.sqrt(n / 2 / 4000))
    assert energy.var() == pytest.approx(n / 2, rel=0.15)
    total = ((drawn - network.reference) ** 2).sum() / 4000
    assert total == pytest.approx(network.variances().sum(), rel=0.05)


@given(sigma=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_denoising_is_the_posterior_mean(sigma: float, seed: int) -> None:
    prior = ElasticPrior(np.random.default_rng(2).uniform(0, 6, (7, 3)))
    rng = np.random.default_rng(seed)
    x = prior.reference + rng.normal(0, sigma, (2, 7, 3))
    covariance = np.linalg.inv(prior.hessian.toarray())
    gain = covariance @ np.linalg.inv(covariance + sigma**2 * np.eye(21))
    expected = (x - prior.reference).reshape(2, 21) @ gain.T
    found = prior.denoise(x, sigma) - prior.reference
    np.testing.assert_allclose(found.reshape(2, 21), expected, atol=1e-8 * (1 + sigma))
    gradient = rng.normal(size=(2, 7, 3))
    pulled = prior.pullback(x, sigma, gradient).reshape(2, 21)
    np.testing.assert_allclose(pulled, gradient.reshape(2, 21) @ gain, atol=1e-8)


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError, match="must fall"):
        karras_levels(0.1, 1.0, 10)
    with pytest.raises(InputError, match="fall strictly"):
        OdeHeun(np.array([1.0, 2.0, 0.0]))
    with pytest.raises(InputError, match="stable"):
        AnnealedLangevin(karras_levels(1.0, 0.1, 5), step=2.0)
    with pytest.raises(InputError, match="negative"):
        ChurnedHeun(karras_levels(1.0, 0.1, 5), churn=-1)
    with pytest.raises(InputError, match="finite"):
        ElasticPrior(np.full((3, 3), np.nan))
    with pytest.raises(InputError, match="same place"):
        ElasticPrior(np.zeros((2, 3)))
    with pytest.raises(InputError, match="positive"):
        ElasticPrior(np.eye(3), anchor=0)
