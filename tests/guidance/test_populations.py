from __future__ import annotations

import numpy as np
import pytest
from two_state_density import ELEMENT, MONOCLINIC, PLACES, B, map_of, two_states

from unstill.diffuse.density import add_noise
from unstill.errors import InputError
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.populations import DensityPopulations
from unstill.guidance.protocols import EnsembleState
from unstill.maps.density_map import DensityMap


@pytest.mark.parametrize("minor", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_populations_of_two_states_are_recovered(minor: float, noise: float) -> None:
    coord, _ = two_states()
    target = map_of(coord, np.array([1 - minor, minor]), 2.0)
    if noise:
        target = add_noise(target, 2.0, noise, seed=5)
    # A map on another scale, without its mean, as a difference synthesis has it.
    target = DensityMap(MONOCLINIC, 3.0 * target.values - 1.0)
    data = DensityObservable(target, 2.0, ELEMENT, region=coord.reshape(-1, 3))
    found = DensityPopulations(data).fit(EnsembleState(coord, np.array([0.5, 0.5]), B), 2.0)
    assert found.sum() == pytest.approx(1)
    assert found[1] == pytest.approx(minor, abs=0.07 if noise else 0.01)


def test_a_member_that_explains_nothing_gets_nothing_and_twins_share() -> None:
    coord, _ = two_states()
    target = map_of(coord[:1], np.ones(1), 2.0)
    data = DensityObservable(target, 2.0, ELEMENT)
    three = np.stack([coord[0], coord[0], PLACES + np.array([5.0, 5.0, 0.0])])
    found = DensityPopulations(data).fit(EnsembleState(three, np.full(3, 1 / 3), B), 2.0)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.0], atol=0.02)


def test_a_flat_map_leaves_the_weights() -> None:
    coord, _ = two_states()
    flat = DensityMap(MONOCLINIC, np.full((30, 32, 32), 0.2))
    given = np.array([0.7, 0.3])
    data = DensityObservable(flat, 2.2, ELEMENT)
    found = DensityPopulations(data).fit(EnsembleState(coord, given, B), 2.2)
    np.testing.assert_array_equal(found, given)
    with pytest.raises(InputError, match="positive"):
        DensityPopulations(data, share=0.0)
