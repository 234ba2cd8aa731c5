"""Damage, bad ranges and stills."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import make

from unstill.reduction.scaling.damage import radiation_damage
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.scale import scale_observations
from unstill.reduction.scaling.stills import scale_stills

ONLY_SCALE = ScaleOptions(absorption="off", offset="off", detector="off")


@pytest.fixture(scope="module")
def truth():
    return make(n_voxels=3000, multiplicity=8, counts=500, effects="b", seed=21)


def counted(truth, factor, seed=1):
    """Counts with the signal changed by a factor a row."""
    rows = truth.observations
    expected = rows.background + (truth.expected - rows.background) * factor
    return rows.replace(counts=np.random.default_rng(seed).poisson(expected).astype(float))


def test_decay_with_resolution_is_measured(truth):
    rows = truth.observations
    rate = np.array([0.0, 0.08])[rows.sweep]  # Å² per degree
    damaged = counted(truth, np.exp(-rate * rows.phi * rows.s**2 / 2))
    result = scale_observations(damaged, ONLY_SCALE)
    none, some = radiation_damage(damaged, result.model, result.rejected)
    assert some.rate == pytest.approx(0.08, rel=0.1)
    assert some.significant
    assert not none.significant
    assert abs(none.rate) < 0.02
    assert len(some.phi) == len(some.sigma) == len(some.relative_b)


def test_without_decay_none_is_found(truth):
    result = scale_observations(truth.observations, ONLY_SCALE)
    for decay in radiation_damage(truth.observations, result.model, result.rejected):
        assert not decay.significant
        assert abs(decay.rate) < 5 * decay.rate_sigma
    assert result.bad_ranges == ()


def test_frames_that_disagree_are_named(truth):
    rows = truth.observations
    bad = (rows.sweep == 1) & (rows.block >= 40) & (rows.block <= 42)
    # Counts of other voxels: a slipped crystal, say.
    counts = rows.counts.copy()
    counts[bad] = np.random.default_rng(2).permutation(counts[bad])
    result = scale_observations(rows.replace(counts=counts), ONLY_SCALE)
    (found,) = result.bad_ranges
    assert (found.sweep_name, found.first_block, found.last_block) == ("sweep 2", 40, 42)
    assert "sweep 2, blocks 40–42 (φ 40" in found.text()
    frames = [(10 * k, 10 * k + 10) for k in range(90)]
    assert "frames 400–429" in found.text(frames)
    without = scale_observations(
        rows.replace(counts=counts), replace(ONLY_SCALE, reject_bad_ranges=True)
    )
    assert np.array_equal(without.rejected == 3, bad)
    assert without.bad_ranges == result.bad_ranges


def test_a_jump_of_the_scale_is_named(truth):
    rows = truth.observations
    dim = np.where((rows.sweep == 0) & (rows.block == 30), 0.4, 1.0)
    result = scale_observations(counted(truth, dim), ONLY_SCALE)
    assert any(
        found.sweep == 0 and found.first_block <= 30 <= found.last_block
        for found in result.bad_ranges
    )


def test_stills_get_one_scale_each():
    n_stills = 300
    truth = make(
        n_voxels=3000, multiplicity=10, counts=200, n_sweeps=n_stills, effects="", seed=22
    )
    rows = truth.observations
    scale = np.random.default_rng(3).uniform(0.2, 3.0, n_stills)
    rows = counted(truth, scale[rows.sweep])
    found = scale_stills(rows)
    error = np.log(found.scale / scale)
    assert np.std(error) < 0.02
    assert found.scaled.all()
    assert found.result.model.b.n_knots == n_stills
    assert 0.9 < found.result.chi2 < 1.1


def test_stills_that_share_nothing_are_left_out():
    truth = make(n_voxels=400, multiplicity=10, counts=200, n_sweeps=5, effects="", seed=23)
    rows = truth.observations
    keep = (rows.sweep != 3) | (np.cumsum(rows.sweep == 3) <= 5)
    found = scale_stills(rows.take(keep))
    assert not found.scaled[3]
    assert found.scaled[[0, 1, 2, 4]].all()
    assert np.all(found.result.rejected[rows.take(keep).sweep == 3] == 3)
