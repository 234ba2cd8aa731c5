"""A predictor as a prior: closed form, gradients, batches, rotations, restarts, guidance."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from linear_worker import SPREAD, reference

from unstill.errors import InputError, UnstillWarning
from unstill.guidance.guides.dps import DpsOnXt
from unstill.guidance.guides.steering import Steering
from unstill.guidance.levels import karras_levels
from unstill.guidance.observables.distances import Distances
from unstill.guidance.predictors import Molecule, PredictorPrior, PredictorProcess
from unstill.guidance.predictors.failures import PredictorDiedError, PredictorProtocolError
from unstill.guidance.protocols import Differentiable, Prior
from unstill.guidance.samplers import OdeHeun

HERE = Path(__file__).parent
N = 12


def start(worker: str = "linear_worker.py", **options: str) -> PredictorProcess:
    process = PredictorProcess(
        "fake", Path(sys.executable), HERE / worker, options=options, timeout=30, threads=1
    )
    process.featurise([Molecule("protein", "GGG", ("A",))])
    return process


@pytest.fixture(scope="module")
def process() -> Iterator[PredictorProcess]:
    with start() as running:
        yield running


def members(n: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([40.0, -7.0, 12.0]) + 5 * rng.standard_normal((n, N, 3))


def closed_form(x: np.ndarray, sigma: float) -> np.ndarray:
    gain = SPREAD @ np.linalg.inv(SPREAD + sigma**2 * np.eye(3))
    centre = x.mean(axis=1, keepdims=True)
    return centre + reference(N) + (x - centre - reference(N)) @ gain.T


def test_it_is_a_prior_that_gradients_go_through(process: PredictorProcess) -> None:
    prior = PredictorPrior(process)
    assert isinstance(prior, Prior)
    assert isinstance(prior, Differentiable)
    assert prior.n_atoms == prior.atoms.array_length() == N


@pytest.mark.parametrize("batch", [None, 1, 3, 100])
def test_denoising_is_the_closed_form_wherever_the_molecule_stands(
    process: PredictorProcess, batch: int | None
) -> None:
    prior = PredictorPrior(process, batch=batch)
    x = members()
    np.testing.assert_allclose(prior.denoise(x, 2.0), closed_form(x, 2.0), atol=1e-10)


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("asked_before", [False, True])
def test_pullback_is_the_transposed_jacobian(
    process: PredictorProcess, batch: int | None, turned: bool, asked_before: bool
) -> None:
    rotations = np.random.default_rng(5) if turned else None
    prior = PredictorPrior(process, batch=batch, rotations=rotations)
    x, gradient = members(), np.random.default_rng(1).standard_normal((4, N, 3))
    if asked_before:
        prior.pullback(x, 1.5, gradient)
    # The map is affine: with one rotation for both ends, differences are exact.
    state = None if rotations is None else rotations.bit_generator.state
    clean = prior.denoise(x, 1.5)
    pulled = prior.pullback(x, 1.5, gradient)
    np.testing.assert_array_equal(pulled, prior.pullback(x, 1.5, gradient))
    for seed in range(3):
        step = np.random.default_rng(seed + 10).standard_normal(x.shape)
        if rotations is not None:
            rotations.bit_generator.state = state
        moved = prior.denoise(x + step, 1.5) - clean
        np.testing.assert_allclose((gradient * moved).sum(), (pulled * step).sum(), rtol=1e-9)


def test_pullback_elsewhere_does_not_use_what_was_kept(process: PredictorProcess) -> None:
    prior = PredictorPrior(process)
    gradient = np.random.default_rng(1).standard_normal((4, N, 3))
    alone = prior.pullback(members(), 0.7, gradient)
    prior.denoise(members(), 5.0)
    np.testing.assert_array_equal(prior.pullback(members(), 0.7, gradient), alone)
    prior.denoise(members(seed=1), 0.7)
    np.testing.assert_array_equal(prior.pullback(members(), 0.7, gradient), alone)


def test_random_rotations_average_out_what_is_not_isotropic(process: PredictorProcess) -> None:
    x = np.repeat(members(1), 500, axis=0)
    turning = PredictorPrior(process, rotations=np.random.default_rng(2))
    found = turning.denoise(x, 2.0)
    assert found.std(axis=0).max() > 0.1
    centre = x.mean(axis=1, keepdims=True)
    # Averaged over all orientations only the isotropic part of the gain is left, and no mean.
    gain = np.trace(SPREAD @ np.linalg.inv(SPREAD + 4 * np.eye(3))) / 3
    expected = (centre + gain * (x - centre))[0]
    error = found.std(axis=0) / np.sqrt(len(x))
    assert (np.abs(found.mean(axis=0) - expected) < 5 * error).all()


def test_sampling_starts_from_noise_that_drowns_the_structure(process: PredictorProcess) -> None:
    prior = PredictorPrior(process)
    first = prior.sample_init(300, 2560.0, np.random.default_rng(0))
    assert first.std() == pytest.approx(np.hypot(2560, 16), rel=0.02)
    with pytest.raises(InputError, match="160 Å"):
        prior.sample_init(2, 20.0, np.random.default_rng(0))


def test_numbers_out_of_range_are_refused(process: PredictorProcess) -> None:
    with pytest.raises(InputError, match="batch 0"):
        PredictorPrior(process, batch=0)
    with pytest.raises(InputError, match="restarts -1"):
        PredictorPrior(process, restarts=-1)


def guided(prior: PredictorPrior) -> np.ndarray:
    data = Distances(np.array([[0, 11]]), np.array([9.0]), np.array([0.5]))
    denoiser = DpsOnXt(prior, Steering(data))
    rng = np.random.default_rng(4)
    sampler = OdeHeun(karras_levels(200.0, 0.05, 12))
    return sampler.sample(denoiser, prior.sample_init(3, 200.0, rng), rng)


@pytest.mark.parametrize("fault", ["exit", "oom killer"])
def test_a_guided_run_ends_the_same_after_a_restart(
    process: PredictorProcess, fault: str, tmp_path: Path
) -> None:
    expected = guided(PredictorPrior(process))
    flag = str(tmp_path / "failed-once")
    with start("faulty_worker.py", fault=fault, flag=flag) as faulty:
        prior = PredictorPrior(faulty)
        with pytest.warns(UnstillWarning, match="started again"):
            found = guided(prior)
        assert prior.restarts_left == 0
    np.testing.assert_array_equal(found, expected)


def test_nonsense_is_no_accident_and_is_not_tried_again() -> None:
    with start("faulty_worker.py", fault="garbage") as faulty:
        prior = PredictorPrior(faulty)
        with pytest.raises(PredictorProtocolError):
            guided(prior)
        assert prior.restarts_left == 1


def test_a_predictor_that_keeps_dying_is_given_up() -> None:
    with start("faulty_worker.py", fault="exit") as faulty, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstillWarning)
        prior = PredictorPrior(faulty, restarts=2)
        prior.denoise(members(), 1.0)
        with pytest.raises(PredictorDiedError):
            for _ in range(10):
                prior.denoise(members(), 1.0)
        assert prior.restarts_left == 0


def test_a_predictor_that_knows_no_molecules_is_no_prior() -> None:
    with (
        PredictorProcess("fake", Path(sys.executable), HERE / "linear_worker.py") as fresh,
        pytest.raises(InputError, match="featurise first"),
    ):
        PredictorPrior(fresh)
