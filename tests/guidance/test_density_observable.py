from __future__ import annotations

import numpy as np
import pytest
from two_state_density import ELEMENT, MONOCLINIC, PLACES, B, map_of, two_states

from unstill.errors import InputError
from unstill.guidance.guides.proximal import Proximal
from unstill.guidance.guides.steering import Steering
from unstill.guidance.levels import karras_levels
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.priors.elastic import ElasticPrior
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.samplers import OdeHeun
from unstill.maps.density_map import DensityMap


@pytest.mark.parametrize("fit_scale", [True, False])
def test_gradients_are_central_differences(fit_scale: bool) -> None:
    coord, weights = two_states()
    target = map_of(coord, weights, 1.8)
    data = DensityObservable(
        target,
        1.8,
        ELEMENT,
        sigma=0.05,
        region=PLACES,
        radius=2.5,
        fit_scale=fit_scale,
        tolerance=1e-10,
    )
    rng = np.random.default_rng(1)
    start = EnsembleState(coord + rng.normal(0, 0.15, coord.shape), np.array([0.5, 0.5]), B + 3)
    for resolution in (1.8, 3.0):
        found = data.value_and_grad(start, resolution)
        gradients = (found.coord, found.weights, found.b_factor)
        for number, gradient in enumerate(gradients):
            along, step = rng.normal(size=gradient.shape), 1e-4

            def loss(
                by: float,
                number: int = number,
                along: np.ndarray = along,
                resolution: float = resolution,
            ) -> float:
                parts = [start.coord, start.weights, start.b_factor]
                parts[number] = parts[number] + by * along
                return data.value_and_grad(EnsembleState(*parts), resolution).loss

            numeric = (loss(step) - loss(-step)) / (2 * step)
            assert (gradient * along).sum() == pytest.approx(numeric, rel=1e-5)


def test_the_truth_has_no_loss_and_full_correlation() -> None:
    coord, weights = two_states()
    data = DensityObservable(map_of(coord, weights, 1.8), 1.8, ELEMENT, sigma=0.05)
    truth = EnsembleState(coord, weights, B)
    one = EnsembleState(coord[:1], np.ones(1), B)
    assert data.value_and_grad(truth, 1.8).loss < 1e-3 * data.value_and_grad(one, 1.8).loss
    assert data.correlation(truth, 1.8) > 0.9999 > 0.99 > data.correlation(one, 1.8)


def test_scale_and_constant_of_a_map_do_not_matter() -> None:
    coord, weights = two_states()
    target = map_of(coord, weights, 1.8)
    other = DensityMap(MONOCLINIC, 7.0 * target.values - 3.0)
    state = EnsembleState(coord[:1] + 0.1, np.ones(1), B)
    losses = [
        DensityObservable(made, 1.8, ELEMENT, sigma=sigma, region=PLACES)
        .value_and_grad(state, 1.8)
        .loss
        for made, sigma in ((target, 0.1), (other, 0.7))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_curvature_makes_gradients_steps_in_angstrom() -> None:
    data = DensityObservable(
        map_of(PLACES[None], np.ones(1), 1.5), 1.5, ELEMENT, sigma=0.05, fit_scale=False
    )
    for atom in range(len(ELEMENT)):
        moved = PLACES.copy()
        moved[atom] += [0.05, 0.0, 0.0]
        found = data.value_and_grad(EnsembleState(moved[None], np.ones(1), B), 1.5)
        step = -found.coord[0, atom, 0] / found.curvature[0, atom]
        assert step == pytest.approx(-0.05, rel=0.15)


def test_guidance_explains_a_map_of_two_states() -> None:
    coord, _ = two_states()
    target = map_of(coord, np.array([0.5, 0.5]), 1.5)
    data = DensityObservable(target, 1.5, ELEMENT, sigma=0.03, region=coord.reshape(-1, 3))
    prior = ElasticPrior(PLACES, stiffness=0.3, covalent=3.0, anchor=0.5)
    steering = Steering(data, spread=0.5, d_min=1.5, blur=2.5, b_factor=B)
    sampler = OdeHeun(karras_levels(1.5, 0.03, 25))
    quarter = np.full(4, 0.25)
    one = data.correlation(EnsembleState(PLACES[None], np.ones(1), B), 1.5)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = prior.sample_init(4, 1.5, rng)
        guided = sampler.sample(Proximal(prior, steering), x, rng)
        alone = sampler.sample(prior, x, rng)
        cc, cc_alone = (
            data.correlation(EnsembleState(found, quarter, B), 1.5) for found in (guided, alone)
        )
        assert cc >= 0.98
        assert cc > max(one, cc_alone) + 0.02
        # The state that the prior is not built around is met by a member or nearly so.
        assert distance(guided, coord[1]) <= min(1.0, distance(PLACES[None], coord[1]))


def distance(members: np.ndarray, state: np.ndarray) -> float:
    """Root mean square deviation (Å) of the nearest member in the atoms that move."""
    squares = ((members - state)[:, 3:] ** 2).sum(axis=-1).mean(axis=-1)
    return float(np.sqrt(squares.min()))


def test_a_constant_map_leaves_the_prior() -> None:
    flat = DensityMap(MONOCLINIC, np.full((48, 48, 48), 0.3))
    data = DensityObservable(flat, 2.0, ELEMENT, sigma=0.05)
    found = data.value_and_grad(EnsembleState(PLACES[None], np.ones(1), B), 2.0)
    assert found.loss == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(found.coord, 0.0, atol=1e-9)


def test_maps_that_say_nothing_are_refused() -> None:
    target = map_of(PLACES[None], np.ones(1), 1.8)
    with pytest.raises(InputError, match="must be positive"):
        DensityObservable(target, 1.8, ELEMENT, sigma=0.0)
    values = target.values.copy()
    values[: values.shape[0] // 2] = np.nan
    with pytest.raises(InputError, match="same frame"):
        DensityObservable(
            DensityMap(MONOCLINIC, values),
            1.8,
            ELEMENT,
            region=PLACES[:1] * [0.5, 1, 1],
            radius=0.5,
        )
    with pytest.raises(InputError, match="too coarse"):
        DensityObservable(target, 0.8, ELEMENT)
