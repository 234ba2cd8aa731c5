from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from two_state_density import ELEMENT, PLACES, B, map_of, two_states

from unstill.errors import InputError
from unstill.guidance.anneal import Walk, anneal, begin
from unstill.guidance.guides.proximal import Proximal
from unstill.guidance.guides.steering import Steering
from unstill.guidance.levels import karras_levels
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.populations import DensityPopulations
from unstill.guidance.priors.elastic import ElasticPrior
from unstill.guidance.protocols import EnsembleState, Stepping
from unstill.guidance.refine_b import refine_b
from unstill.guidance.samplers import ChurnedHeun, OdeHeun, Renoise, ReverseSde

LEVELS = karras_levels(1.0, 0.02, 12)
SAMPLERS = [OdeHeun(LEVELS), ChurnedHeun(LEVELS), Renoise(LEVELS, 0.7), ReverseSde(LEVELS)]


def started() -> tuple[ElasticPrior, Walk]:
    prior = ElasticPrior(PLACES)
    rng = np.random.default_rng(5)
    return prior, begin(prior.sample_init(3, 1.0, rng), B, rng)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_a_walk_is_what_the_sampler_does(sampler: Stepping) -> None:
    prior, start = started()
    rng = np.random.default_rng()
    rng.bit_generator.state = start.generator
    expected = sampler.sample(prior, start.coord, rng)
    seen: list[float] = []
    found = anneal(sampler, lambda _: prior, start, on_level=lambda _, sigma: seen.append(sigma))
    np.testing.assert_array_equal(found.coord, expected)
    np.testing.assert_array_equal(found.clean, expected)
    assert seen == LEVELS[1:].tolist()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_an_interrupted_walk_ends_with_the_same_bits(sampler: Stepping) -> None:
    prior, start = started()
    kept: list[Walk] = []

    def refine(walk: Walk) -> EnsembleState:
        tilted = walk.weights * np.array([1.0, 1.1, 0.9])
        return EnsembleState(walk.clean, tilted / tilted.sum(), walk.b_factor + 1)

    whole = anneal(
        sampler,
        lambda _: prior,
        start,
        refine=refine,
        every=2,
        on_level=lambda w, _: kept.append(w),
    )
    again = anneal(sampler, lambda _: prior, kept[6], refine=refine, every=2)
    for part in ("coord", "weights", "b_factor"):
        np.testing.assert_array_equal(getattr(again, part), getattr(whole, part))
    assert whole.b_factor[0] > B[0]


def test_a_walk_of_other_levels_is_refused() -> None:
    prior, start = started()
    with pytest.raises(InputError, match="noise levels"):
        anneal(OdeHeun(LEVELS), lambda _: prior, replace(start, n_done=len(LEVELS)))


def test_b_factors_return_to_the_truth() -> None:
    coord, weights = two_states()
    data = DensityObservable(map_of(coord, weights, 1.5), 1.5, ELEMENT, sigma=0.01)
    far = EnsembleState(coord, weights, B + np.array([6.0, -5.0, 4.0, -4.0, 8.0]))
    found = refine_b(data, far, 1.5, reference=far.b_factor, spread=20.0, n_steps=12)
    assert np.abs(found.b_factor - B).max() < 1.0
    held = refine_b(data, far, 1.5, reference=far.b_factor, spread=1e-3, n_steps=3)
    np.testing.assert_allclose(held.b_factor, far.b_factor, atol=0.05)


def test_one_conformer_needs_more_b_than_an_ensemble() -> None:
    coord, weights = two_states()
    data = DensityObservable(map_of(coord, weights, 1.5), 1.5, ELEMENT, sigma=0.01)
    middle = np.tensordot(weights, coord, 1)[None]
    single = refine_b(
        data, EnsembleState(middle, np.ones(1), B), 1.5, reference=B, spread=50.0, n_steps=10
    )
    assert (single.b_factor[3:] > B[3:] + 10).all()


def test_weights_follow_the_data_on_the_way() -> None:
    coord, weights = two_states()
    target = map_of(coord, weights, 1.5)
    data = DensityObservable(target, 1.5, ELEMENT, sigma=0.02)
    populations = DensityPopulations(data)
    rng = np.random.default_rng(2)
    near = coord + rng.normal(0, 0.05, coord.shape)
    prior = ElasticPrior(PLACES, stiffness=0.1, covalent=5.0)

    def guiding(walk: Walk) -> Proximal:
        return Proximal(
            prior, Steering(data, d_min=1.5, weights=walk.weights, b_factor=walk.b_factor)
        )

    def refine(walk: Walk) -> EnsembleState:
        return replace(walk.state, weights=populations.fit(walk.state, 1.5))

    sampler = Renoise(karras_levels(0.2, 0.02, 10))
    found = anneal(sampler, guiding, begin(near, B, rng), refine=refine, every=3)
    assert sorted(found.weights) == pytest.approx(sorted(weights), abs=0.05)


def test_held_out_terms_are_not_seen_but_predicted() -> None:
    coord, weights = two_states()
    target = map_of(coord, weights, 1.5)
    plain = DensityObservable(target, 1.5, ELEMENT, sigma=0.02)
    held = np.random.default_rng(0).random(len(plain.index)) < 0.2
    held[np.flatnonzero(~plain.index.any(axis=1))] = False
    data = DensityObservable(target, 1.5, ELEMENT, sigma=0.02, held=held)
    truth, one = EnsembleState(coord, weights, B), EnsembleState(coord[:1], np.ones(1), B)
    seen, unseen = data.agreement(truth)
    assert seen > 0.999
    assert unseen > 0.999
    worse = data.agreement(one)
    assert worse[0] < 0.98
    assert worse[1] < 0.98
    # The loss does not change where only held-out terms of the target do.
    spoiled = plain_terms_changed(target, data, held)
    other = DensityObservable(spoiled, 1.5, ELEMENT, sigma=0.02, held=held)
    assert other.value_and_grad(one, 1.5).loss == pytest.approx(
        data.value_and_grad(one, 1.5).loss, rel=1e-9
    )
    assert other.agreement(truth)[1] < 0.9


def plain_terms_changed(target, data, held):  # type: ignore[no-untyped-def]
    from unstill.maps.density_map import DensityMap
    from unstill.scattering.synthesis import Synthesis

    synthesis = Synthesis(target.crystal, 1.5, target.shape)
    f = synthesis.structure_factors(target.values)
    assert len(f) == len(data.index)
    return DensityMap(target.crystal, synthesis.density(np.where(held, -f, f)))


def test_atoms_of_the_context_are_part_of_the_model() -> None:
    coord, weights = two_states()
    target = map_of(coord, weights, 1.8)
    moving = np.array([False, False, True, True, True])
    whole = DensityObservable(target, 1.8, ELEMENT, sigma=0.05, tolerance=1e-8)
    rest = DensityObservable(target, 1.8, ELEMENT[~moving], sigma=0.05, tolerance=1e-8)
    state = EnsembleState(coord[:, ~moving], weights, B[~moving])
    context = rest.structure_factors(state)
    part = DensityObservable(
        target, 1.8, ELEMENT[moving], sigma=0.05, context=context, tolerance=1e-8
    )
    shifted = coord + np.array([0.1, 0.0, 0.0]) * moving[:, None]
    a = whole.value_and_grad(EnsembleState(shifted, weights, B), 1.8)
    b = part.value_and_grad(EnsembleState(shifted[:, moving], weights, B[moving]), 1.8)
    assert b.loss == pytest.approx(a.loss, rel=1e-4)
    np.testing.assert_allclose(b.coord, a.coord[:, moving], atol=1e-4 * np.abs(a.coord).max())
