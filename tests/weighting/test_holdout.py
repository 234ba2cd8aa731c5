"""Work set, free set and folds: nothing of one repeats what the other holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.symmetry import index_operations
from unstill.errors import InputError
from unstill.weighting.data import Observed
from unstill.weighting.holdout import hold_out
from unstill.weighting.orbits import find_orbits

CELLS = {
    "P 1": (21.0, 23.0, 26.0, 85.0, 95.0, 102.0),
    "C 1 2 1": (33.0, 22.0, 25.0, 90.0, 103.0, 90.0),
    "P 21 21 21": (22.0, 26.0, 30.0, 90.0, 90.0, 90.0),
    "P 43": (31.0, 31.0, 35.0, 90.0, 90.0, 90.0),
    "P 31 2 1": (34.0, 34.0, 40.0, 90.0, 90.0, 120.0),
    "P 21 3": (48.0, 48.0, 48.0, 90.0, 90.0, 90.0),
}


def observed_in(space_group: str, *, share: float = 0.9, seed: int = 0) -> Observed:
    crystal = Crystal(CELLS[space_group], space_group)
    divisions = (2, 2, 2)
    orbits = find_orbits(crystal, divisions, friedel_half(crystal, 3.0, divisions))
    rng = np.random.default_rng(seed)
    measured = rng.random(orbits.n_orbits) < share
    return Observed(orbits, rng.random(orbits.n_orbits), measured.astype(float), "file")


@given(st.sampled_from(sorted(CELLS)), st.integers(0, 1000), st.floats(0.05, 0.4))
def test_no_mate_of_a_work_voxel_is_free(space_group: str, seed: int, fraction: float) -> None:
    data = observed_in(space_group)
    held = hold_out(data, fraction, seed=seed)
    orbits = data.orbits
    every = {
        number: {tuple(mate) for mate in orbits.index[number] @ operations}
        for operations in [index_operations(orbits.crystal, orbits.divisions)]
        for number in range(0, orbits.n_orbits, 7)
    }
    free = set().union(*(every[n] for n in every if held.free[n]), set())
    work = set().union(*(every[n] for n in every if held.work[n]), set())
    assert free.isdisjoint(work)
    # The orbits are all different ones: no member belongs to two.
    assert sum(map(len, every.values())) == len(set().union(*every.values()))


@given(st.sampled_from(sorted(CELLS)), st.integers(0, 50), st.floats(0.05, 0.4))
def test_shares_are_met_and_blocks_kept_whole(
    space_group: str, seed: int, fraction: float
) -> None:
    data = observed_in(space_group)
    held = hold_out(data, fraction, seed=seed)
    assert held.n_work + held.n_free == int(data.measured.sum())
    assert held.n_free / data.measured.sum() == pytest.approx(fraction, abs=0.04)
    for block in np.unique(held.block):
        inside = held.block == block
        assert len(np.unique(held.free[inside])) == 1
        assert len(np.unique(held.fold[inside])) == 1
    assert np.all((held.fold < 0) == held.free | (held.fold < 0) & ~held.measured)
    sizes = [int((held.work & (held.fold == fold)).sum()) for fold in range(5)]
    assert min(sizes) > 0.5 * max(sizes)


def test_another_seed_draws_another_free_set() -> None:
    data = observed_in("P 43")
    one, same, other = (hold_out(data, 0.1, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.free, same.free)
    assert not np.array_equal(one.free, other.free)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 0.6, float("nan")])
def test_shares_out_of_range_are_refused(fraction: float) -> None:
    with pytest.raises(InputError, match="out of range"):
        hold_out(observed_in("P 43"), fraction)


def test_too_few_data_are_refused() -> None:
    with pytest.raises(InputError, match="too few points"):
        hold_out(observed_in("P 43", share=0.01), 0.1)


def test_permuted_data_keep_shells_and_lose_features() -> None:
    data = observed_in("P 21 21 21")
    null = data.permuted(3)
    assert np.array_equal(null.measured, data.measured)
    for shell in np.unique(data.orbits.shell):
        inside = (data.orbits.shell == shell) & data.measured
        before, after = (one.intensity - data.isotropic_curve() for one in (data, null))
        np.testing.assert_allclose(np.sort(after[inside]), np.sort(before[inside]), atol=1e-12)
    used = data.measured
    assert abs(np.corrcoef(null.intensity[used], data.intensity[used])[0, 1]) < 0.1


def test_the_share_that_touches_the_work_set_is_that_of_a_plain_count() -> None:
    data = observed_in("P 43", share=0.7)
    held = hold_out(data, 0.2, seed=2)
    orbits = data.orbits
    operations = index_operations(orbits.crystal, orbits.divisions)
    place = {
        tuple(mate): number
        for number, index in enumerate(orbits.index)
        for mate in index @ operations
    }
    free = np.flatnonzero(held.free & held.measured)
    near = 0
    for number in free:
        around = (
            place.get(tuple(orbits.index[number] + sign * axis))
            for axis in np.eye(3, dtype=int)
            for sign in (1, -1)
        )
        near += any(one is not None and held.work[one] for one in around)
    assert 0 < near < len(free)
    assert held.touching == pytest.approx(near / len(free))


def test_blocks_are_wider_than_a_voxel_however_few_the_data() -> None:
    data = observed_in("P 43", share=0.25)
    held = hold_out(data, 0.3)
    sizes = np.bincount(held.block)
    assert sizes.max() > 3
